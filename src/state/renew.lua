-- Prolongs the lease of an operation.
--
-- KEYS  1 record
-- ARGV  1 owner  2 fence  3 lease ms
-- Gives 1, or 0 if the operation was fenced off.

local record = redis.call('HMGET', KEYS[1], 'owner', 'fence')

if record[1] ~= ARGV[1] or record[2] ~= ARGV[2] then
    return 0
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('HSET', KEYS[1], 'lease_at', now + tonumber(ARGV[3]))

return 1
