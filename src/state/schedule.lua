-- Puts an id on an agenda, or on another list that due.lua reads, at a time
-- from now by Redis' clock, which due.lua goes by, too.
--
-- KEYS  1 agenda
-- Gives {the time (ms), 1 if the id was not there}.

local id,
      wait_ms, -- from now
      hasten   -- "hasten": only move the id, if it is there at a later time
      = unpack(ARGV)

local time = redis.call('TIME')
local at = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(wait_ms)

if hasten == 'hasten' then
    redis.call('ZADD', KEYS[1], 'XX', 'LT', at, id)
    return { at, 0 }
end

return { at, redis.call('ZADD', KEYS[1], at, id) }
