-- Notes that a member of a warm pool could not be made: the next one is tried
-- after a wait, which doubles with each failure.
--
-- KEYS  1 pool
-- ARGV  1 reason  2 first wait ms  3 longest wait ms
--       4 fence of the pool's lease under which the member was made
-- Gives the wait (ms), or 0 if the pool is gone or its lease has another fence.

if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[4] then
    return 0
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
local wait = math.min(ARGV[2] * 2 ^ math.min(failures - 1, 20),
                      tonumber(ARGV[3]))

redis.call('HSET', KEYS[1], 'reason', ARGV[1], 'reason_at', now,
           'retry_at', now + wait)

return wait
