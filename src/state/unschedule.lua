-- Takes an id that has no business on an agenda off it, unless somebody has put
-- it there anew since: a DELETE does so before it begins.
--
-- KEYS  1 agenda
-- ARGV  1 id  2 time (ms) at which the agenda has it
-- Gives 1, or 0 if the agenda has it at another time, or not at all.

local at = redis.call('ZSCORE', KEYS[1], ARGV[1])

if not at or tonumber(at) ~= tonumber(ARGV[2]) then
    return 0
end

return redis.call('ZREM', KEYS[1], ARGV[1])
