-- Makes a warm pool; the node of the request gets its lease.
--
-- KEYS  1 pool  2 pools of the tenant  3 their names
-- ARGV  1 id  2 name  3 most pools of a tenant  4 lease ms
--       5... fields and values
-- Gives {"new", created_at}, {"taken", id} (pool id has the name) or
--       {"full"}.

local taken = redis.call('HGET', KEYS[3], ARGV[2])

if taken then
    return { 'taken', taken }
end

if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[3]) then
    return { 'full' }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('HSET', KEYS[3], ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'enabled', 'name', ARGV[2],
           'created_at', now, 'updated_at', now, 'fence', 1,
           'lease_at', now + tonumber(ARGV[4]), unpack(ARGV, 5))
redis.call('HSET', KEYS[1], 'target', redis.call('HGET', KEYS[1], 'min_ready'))

return { 'new', now }
