-- Puts a sandbox that has a record back on the node's agenda, and gives it its
-- address back, if Redis has lost them.
--
-- KEYS  as admit.lua
-- Gives 1, 2 if nothing was missing, or 0 if another sandbox has the address.

local id,
      at,      -- time for the agenda (ms)
      address  -- an integer, 0 if none
      = unpack(ARGV)

local added = redis.call('ZADD', KEYS[1], 'NX', at, id)

if address == '0' or redis.call('HEXISTS', KEYS[3], id) == 1 then
    return added == 1 and 1 or 2
end

if redis.call('HSETNX', KEYS[2], address, id) == 0
   and redis.call('HGET', KEYS[2], address) ~= id
then
    return 0
end

redis.call('HSET', KEYS[3], id, address)

return 1
