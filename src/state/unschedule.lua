-- Takes an id that has no business on an agenda off it, unless somebody has put
-- it there anew since: a DELETE does so before it begins.
--
-- KEYS  1 agenda
-- Gives 1, or 0 if the agenda has it at another time, or not at all.

local id,
      listed_at -- time (ms) at which the agenda has it
      = unpack(ARGV)

local at = redis.call('ZSCORE', KEYS[1], id)

if not at or tonumber(at) ~= tonumber(listed_at) then
    return 0
end

return redis.call('ZREM', KEYS[1], id)
