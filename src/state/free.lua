-- Frees a running sandbox after a checkpoint of it was taken for a fork: other
-- operations may use the sandbox, and the fork's record names it no longer.
--
-- KEYS  1 record of the sandbox
-- ARGV  1 id of the fork  2 id of the sandbox  3 channel
-- Gives 1, or 0 if the sandbox was busy for another operation.

if redis.call('HGET', KEYS[1], 'busy_by') ~= ARGV[1] then
    return 0
end

redis.call('HDEL', KEYS[1], 'busy_by', 'busy_until')
redis.call('HDEL', string.sub(KEYS[1], 1, -#ARGV[2] - 1) .. ARGV[1], 'fork_of')
redis.call('PUBLISH', ARGV[3], ARGV[2] .. ' free')

return 1
