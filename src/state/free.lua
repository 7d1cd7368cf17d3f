-- Frees a running sandbox after a checkpoint of it was taken for a fork: other
-- operations may use the sandbox, and the fork's record names it no longer.
--
-- KEYS  1 record of the sandbox
-- Gives 1, or 0 if the sandbox was busy for another operation.

local fork, -- id of the fork
      id,   -- of the sandbox
      channel
      = unpack(ARGV)

if redis.call('HGET', KEYS[1], 'busy_by') ~= fork then
    return 0
end

redis.call('HDEL', KEYS[1], 'busy_by', 'busy_until')
redis.call('HDEL', string.sub(KEYS[1], 1, -#id - 1) .. fork, 'fork_of')
redis.call('PUBLISH', channel, id .. ' free')

return 1
