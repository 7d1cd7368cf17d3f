-- Reserves a member of a warm pool, in state warming, if the pool still wants
-- one and its lease has not gone to another node.  So there are never too many
-- members, even if several workers tend the pool at the same moment.
--
-- KEYS  1 record  2 pool
-- Gives {"new", fence, created_at}, {"late"} or {"enough"}.

local id, owner, lease_ms,
      admitted_until, -- ms; later the admission may have been taken back
      most_warming,
      pool_fence      -- of the pool's lease
      -- and from the 7th on: fields and values of the record
      = unpack(ARGV)

local function count(name)
    return redis.call('ZCARD', KEYS[2] .. ':' .. name)
end

local pool = redis.call('HMGET', KEYS[2], 'state', 'target', 'fence')
local warming = count('warming')

if pool[1] ~= 'enabled' or pool[3] ~= pool_fence
   or warming >= tonumber(most_warming)
   or count('ready') + warming >= tonumber(pool[2])
then
    return { 'enough' }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if now >= tonumber(admitted_until) then
    return { 'late' }
end

redis.call('HSET', KEYS[1], 'state', 'warming', 'owner', owner,
           'lease_at', now + tonumber(lease_ms), 'fence', 1,
           'created_at', now, 'member', KEYS[2], 'pool_fence', pool_fence,
           unpack(ARGV, 7))
redis.call('ZADD', KEYS[2] .. ':warming', now, id)

return { 'new', 1, now }
