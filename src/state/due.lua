-- Hands out ids that are due on a node's agenda, or on another list of that
-- kind, and moves them to a later time, in case the worker that got them dies.
--
-- KEYS  1 agenda  2 host that has the node's name; not of another list
-- Gives {time (ms), {id, ms since it was due...}}; or -1 if another host has
-- the node's name.

local hold_ms,
      most,    -- ids
      machine  -- machine-id of this host, or ""
      = unpack(ARGV)

local host = KEYS[2] and redis.call('GET', KEYS[2])

if host and machine ~= '' and host ~= machine then
    return -1
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES',
                       'LIMIT', 0, most)

for i = 1, #ids, 2 do
    redis.call('ZADD', KEYS[1], now + tonumber(hold_ms), ids[i])
    ids[i + 1] = now - ids[i + 1]
end

return { now, ids }
