-- Takes ids that are due off the top of a node's agenda, or of another list of
-- that kind, and puts them back at a later time, in case the taker dies.
--
-- KEYS  1 agenda  2 host that the node is; not of another list
-- ARGV  1 hold ms  2 most ids  3 this host, "" if it has no name
-- Gives {time (ms), {id, how late (ms) it is...}}; or -1 if another host has the
-- node's name.

local host = KEYS[2] and redis.call('GET', KEYS[2])

if host and ARGV[3] ~= '' and host ~= ARGV[3] then
    return -1
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES',
                       'LIMIT', 0, ARGV[2])

for i = 1, #ids, 2 do
    redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), ids[i])
    ids[i + 1] = now - ids[i + 1]
end

return { now, ids }
