-- Puts a sandbox that has a record back on the node's agenda, and gives it its
-- address back, if Redis has lost them.
--
-- KEYS  as admit.lua
-- ARGV  1 id  2 time for the agenda (ms)  3 address (integer), 0 if none
-- Gives 1, 2 if nothing was missing, or 0 if another sandbox has the address.

local added = redis.call('ZADD', KEYS[1], 'NX', ARGV[2], ARGV[1])

if ARGV[3] == '0' or redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 then
    return added == 1 and 1 or 2
end

if redis.call('HSETNX', KEYS[2], ARGV[3], ARGV[1]) == 0
   and redis.call('HGET', KEYS[2], ARGV[3]) ~= ARGV[1]
then
    return 0
end

redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])

return 1
