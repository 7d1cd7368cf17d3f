-- Puts an id on an agenda, or on another list that due.lua reads, at a time
-- from now by Redis' clock, which due.lua goes by, too.
--
-- KEYS  1 agenda
-- ARGV  1 id  2 ms from now  3 "hasten" to move the id only if it is there at
--       a later time, else ""
-- Gives {the time (ms), 1 if the id was not there}.

local time = redis.call('TIME')
local at = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[2])

if ARGV[3] == 'hasten' then
    redis.call('ZADD', KEYS[1], 'XX', 'LT', at, ARGV[1])
    return { at, 0 }
end

return { at, redis.call('ZADD', KEYS[1], at, ARGV[1]) }
