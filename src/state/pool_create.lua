-- Makes a warm pool; the node of the request gets its lease.
--
-- KEYS  1 pool  2 pools of the tenant  3 their names
-- Gives {"new", created_at}, {"taken", id} (pool id has the name) or
--       {"full"}.

local id, name,
      most, -- pools of a tenant
      lease_ms
      -- and from the 5th on: fields and values
      = unpack(ARGV)

local taken = redis.call('HGET', KEYS[3], name)

if taken then
    return { 'taken', taken }
end

if redis.call('ZCARD', KEYS[2]) >= tonumber(most) then
    return { 'full' }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('HSET', KEYS[3], name, id)
redis.call('ZADD', KEYS[2], now, id)
redis.call('HSET', KEYS[1], 'state', 'enabled', 'name', name,
           'created_at', now, 'updated_at', now, 'fence', 1,
           'lease_at', now + tonumber(lease_ms), unpack(ARGV, 5))
redis.call('HSET', KEYS[1], 'target', redis.call('HGET', KEYS[1], 'min_ready'))

return { 'new', now }
