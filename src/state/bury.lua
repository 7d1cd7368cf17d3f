-- Ends a destruction: only a tombstone is left, so that a repeated DELETE
-- is answered as the first one.
--
-- KEYS  1 record
-- ARGV  1 owner  2 fence  3 retention ms  4 id  5 channel
-- Gives 1, or 0 if the operation was fenced off.

local record = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'tenant')

if record[1] ~= ARGV[1] or record[2] ~= ARGV[2] then
    return 0
end

redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'state', 'destroyed', 'tenant', record[3])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PUBLISH', ARGV[5], ARGV[4] .. ' destroyed')

return 1
