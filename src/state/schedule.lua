-- Puts an id on a node's agenda.
--
-- KEYS  1 agenda
-- ARGV  1 id  2 ms from now
-- Gives the time (ms).

local time = redis.call('TIME')
local at = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[2])

redis.call('ZADD', KEYS[1], at, ARGV[1])

return at
