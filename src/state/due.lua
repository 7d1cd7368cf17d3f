-- Takes ids that are due off the top of a node's agenda and puts them back
-- at a later time, in case the taker dies.
--
-- KEYS  1 agenda
-- ARGV  1 hold ms  2 most ids
-- Gives the ids.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0,
                       ARGV[2])

for _, id in ipairs(ids) do
    redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), id)
end

return ids
