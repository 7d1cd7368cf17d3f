-- Marks a ready member of a warm pool that does not answer as failed, unless it
-- was claimed meanwhile or is to be destroyed already.
--
-- KEYS  1 record  2 pool
-- Gives 1, or 0 if the member is not ready any more.

local id = ARGV[1]

if redis.call('HGET', KEYS[1], 'state') ~= 'pooled' then
    return 0
end

if redis.call('ZREM', KEYS[2] .. ':ready', id)
   + redis.call('ZREM', KEYS[2] .. ':old', id) == 0
then
    return 0
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('ZADD', KEYS[2] .. ':failed', now, id)
redis.call('HSET', KEYS[1], 'timeout_at', now)

return 1
