-- Reads warm pools of a tenant, newest first, and counts their members.
--
-- KEYS  1 pools of the tenant
-- ARGV  1 prefix of pool keys  2 id, or "" for all  3 most rows  4... fields
-- Gives rows {id, value..., ready, warming, claimed, draining, failed,
--       expired}.

local ids = { ARGV[2] }
local rows = {}

if ARGV[2] == '' then
    ids = redis.call('ZREVRANGE', KEYS[1], 0, tonumber(ARGV[3]) - 1)

elseif not redis.call('ZSCORE', KEYS[1], ARGV[2]) then
    ids = {}
end

for _, id in ipairs(ids) do
    local key = ARGV[1] .. id
    local row = redis.call('HMGET', key, unpack(ARGV, 4))

    local function count(set)
        return redis.call('ZCARD', key .. ':' .. set)
    end

    table.insert(row, 1, id)
    row[#row + 1] = count('ready') + count('old')

    for _, set in ipairs({ 'warming', 'claimed', 'draining', 'failed',
                           'expired' })
    do
        row[#row + 1] = count(set)
    end

    rows[#rows + 1] = row
end

return rows
