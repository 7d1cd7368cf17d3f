-- Prolongs the lease of an operation, and how long what it is taking a
-- checkpoint of stays busy: nothing bounds how long a disk takes to be synced.
--
-- KEYS  1 record, of a sandbox or a snapshot
-- ARGV  1 owner  2 fence  3 lease ms (0: it is given up)  4 id
-- Gives 1, or 0 if the operation was fenced off, or its source is another's.

local record = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'sandbox_id',
                          'fork_of')
local source = record[3] or record[4]

if record[1] ~= ARGV[1] or record[2] ~= ARGV[2] then
    return 0
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = tonumber(ARGV[3])

-- Whoever settles what another one has left comes later, and is bounded.
if source and ARGV[2] == '1' then
    local prefix = string.sub(KEYS[1], 1, -#ARGV[4] - 1)
    local key = string.gsub(prefix, ':snapshot:$', ':sandbox:') .. source
    local is = redis.call('HMGET', key, 'state', 'busy_by', 'busy_until')

    -- it was away for so long that something else is made of its source
    if is[1] ~= 'running' or is[2] ~= ARGV[4] then
        return 0
    end

    -- should the taker die, until the agenda has settled it
    redis.call('HSET', key, 'busy_until',
               math.max(tonumber(is[3] or 0), now + 2 * lease))
end

redis.call('HSET', KEYS[1], 'lease_at', now + lease)

return 1
