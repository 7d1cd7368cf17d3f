-- A member of a warm pool could not be made: the next one is tried later,
-- twice as late each time.
--
-- KEYS  1 pool
-- ARGV  1 reason  2 first wait ms  3 longest wait ms
--       4 fence of the lease under which it was tried
-- Gives the wait (ms), or 0 if there is no such pool, or another node has it.

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
