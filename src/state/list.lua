-- The newest records of a tenant.
--
-- KEYS  1 tenant index
-- ARGV  1 most records  2 prefix of record keys  3... fields
-- Gives a list of {id, value...}; ids whose record is gone are left out.

local out = {}
local fields = { unpack(ARGV, 3) }

for _, id in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, ARGV[1] - 1)) do
    local values = redis.call('HMGET', ARGV[2] .. id, unpack(fields))

    if values[1] then
        table.insert(values, 1, id)
        table.insert(out, values)
    end
end

return out
