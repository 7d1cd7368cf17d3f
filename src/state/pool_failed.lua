-- Notes that a member of a warm pool could not be made: the next one is tried
-- after a wait, which doubles with each failure.
--
-- KEYS  1 pool
-- Gives the wait (ms), or 0 if the pool is gone or its lease has another fence.

local reason,
      first_ms,   -- the first wait
      longest_ms, -- the longest wait
      fence       -- of the pool's lease under which the member was made
      = unpack(ARGV)

if redis.call('HGET', KEYS[1], 'fence') ~= fence then
    return 0
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
local wait = math.min(first_ms * 2 ^ math.min(failures - 1, 20),
                      tonumber(longest_ms))

redis.call('HSET', KEYS[1], 'reason', reason, 'reason_at', now,
           'retry_at', now + wait)

return wait
