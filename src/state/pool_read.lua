-- Reads warm pools of a tenant, newest first, and counts their members.
--
-- KEYS  1 pools of the tenant
-- Gives rows {id, value..., ready, warming, claimed, draining, failed,
--       expired}.

local pool_prefix,
      pool_id, -- "" for all
      most_rows
      -- and from the 4th on: fields
      = unpack(ARGV)

local ids = { pool_id }
local rows = {}

if pool_id == '' then
    ids = redis.call('ZREVRANGE', KEYS[1], 0, tonumber(most_rows) - 1)

elseif not redis.call('ZSCORE', KEYS[1], pool_id) then
    ids = {}
end

for _, id in ipairs(ids) do
    local key = pool_prefix .. id
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
