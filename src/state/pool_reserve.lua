-- Reserves a member of a warm pool, in state warming, if the pool still wants
-- one and its lease has not gone to another node.  So there are never too many
-- members, even if several workers tend the pool at the same moment.
--
-- KEYS  1 record  2 pool
-- ARGV  1 id  2 owner  3 lease ms  4 end of the admission (ms), after which it
--       may have been taken back  5 most members in the making
--       6 fence of the pool's lease  7... fields and values of the record
-- Gives {"new", fence, created_at}, {"late"} or {"enough"}.

local function count(name)
    return redis.call('ZCARD', KEYS[2] .. ':' .. name)
end

local pool = redis.call('HMGET', KEYS[2], 'state', 'target', 'fence')
local warming = count('warming')

if pool[1] ~= 'enabled' or pool[3] ~= ARGV[6] or warming >= tonumber(ARGV[5])
   or count('ready') + warming >= tonumber(pool[2])
then
    return { 'enough' }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if now >= tonumber(ARGV[4]) then
    return { 'late' }
end

redis.call('HSET', KEYS[1], 'state', 'warming', 'owner', ARGV[2],
           'lease_at', now + tonumber(ARGV[3]), 'fence', 1,
           'created_at', now, 'member', KEYS[2], 'pool_fence', ARGV[6],
           unpack(ARGV, 7))
redis.call('ZADD', KEYS[2] .. ':warming', now, ARGV[1])

return { 'new', 1, now }
