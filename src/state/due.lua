-- Hands out ids that are due on a node's agenda, or on another list of that
-- kind, and moves them to a later time, in case the worker that got them dies.
--
-- KEYS  1 agenda  2 host that has the node's name; not of another list
-- ARGV  1 hold ms  2 most ids  3 this host's machine-id, or ""
-- Gives {time (ms), {id, ms since it was due...}}; or -1 if another host has
-- the node's name.

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
