-- Reserves the new execution of a paused sandbox.
--
-- KEYS  1 new record  2 tenant index  3 paused sandbox's record
-- ARGV  1 id of the paused sandbox  2 new id  3 owner  4 lease ms
--       5 end of the admission (ms), after which it may have been taken back
--       6 channel  7 states of the paused record that allow it  8 state that
--       it gets  9 its network_generation as it was read, "" if it has none
--       10 interval (ms) in which wakes are counted, or 0 if this is no wake
--       11... fields and values of the new record
-- Gives {"new", fence, created_at}, {"late"}, or {"changed"} if the sandbox is
--       not paused any more, or its network policy was changed.

local old = redis.call('HMGET', KEYS[3], 'state', 'network_generation')
local state = old[1]

if not state or not string.find(ARGV[7], ' ' .. state .. ' ', 1, true)
   or (old[2] or '') ~= ARGV[9]
then
    return { 'changed' }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if now >= tonumber(ARGV[5]) then
    return { 'late' }
end

redis.call('HSET', KEYS[3], 'state', ARGV[8], 'next', ARGV[2])
redis.call('HSET', KEYS[1], 'state', 'creating', 'owner', ARGV[3],
           'lease_at', now + tonumber(ARGV[4]), 'fence', 1,
           'created_at', now, 'resume_of', ARGV[1], unpack(ARGV, 11))

-- the count of wakes is passed on from execution to execution
local wakes = redis.call('HMGET', KEYS[3], 'wakes', 'wakes_since')
local n, since = tonumber(wakes[1] or 0), tonumber(wakes[2] or 0)
local interval = tonumber(ARGV[10])

if interval > 0 then
    if now - since >= interval then
        n, since = 0, now
    end
    n = n + 1
end

if n > 0 then
    redis.call('HSET', KEYS[1], 'wakes', n, 'wakes_since', since)
end

redis.call('ZADD', KEYS[2], now, ARGV[2])
redis.call('PUBLISH', ARGV[6], ARGV[1] .. ' ' .. ARGV[8])

return { 'new', 1, now }
