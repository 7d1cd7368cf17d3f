-- A checkpoint of a running sandbox was taken: others may do with it what they
-- want, and the end of its fork is no affair of its any more.
--
-- KEYS  1 record of the sandbox
-- ARGV  1 who took it  2 id  3 channel
-- Gives 1, or 0 if it was busy for somebody else.

if redis.call('HGET', KEYS[1], 'busy_by') ~= ARGV[1] then
    return 0
end

redis.call('HDEL', KEYS[1], 'busy_by', 'busy_until')
redis.call('HDEL', string.sub(KEYS[1], 1, -#ARGV[2] - 1) .. ARGV[1], 'fork_of')
redis.call('PUBLISH', ARGV[3], ARGV[2] .. ' free')

return 1
