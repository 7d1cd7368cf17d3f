-- Prolongs the lease of an operation, and the busy time of the source of which
-- it takes a checkpoint, or which it settles: syncing a disk may take any time.
--
-- KEYS  1 record, of a sandbox or a snapshot
-- Gives 1, or 0 if the operation was fenced off or has lost its source.

local owner, fence,
      lease_ms, -- 0: the lease is given up
      id
      = unpack(ARGV)

local record = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'sandbox_id',
                          'fork_of', 'settle_until')
local source = record[3] or record[4]

if record[1] ~= owner or record[2] ~= fence then
    return 0
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = tonumber(lease_ms)

if source then
    local prefix = string.sub(KEYS[1], 1, -#id - 1)
    local key = string.gsub(prefix, ':snapshot:$', ':sandbox:') .. source
    local is = redis.call('HMGET', key, 'state', 'busy_by', 'busy_until')
    local busy = tonumber(is[3] or 0)
    local ours = is[2] == id

    -- Fence 1 is the first owner's, who takes: it may have slept so long that
    -- its source is used by another operation.
    if fence == '1' and not (ours and is[1] == 'running') then
        return 0
    end

    if fence == '1' then
        -- two leases: time for the agenda to settle it, should this worker die
        redis.call('HSET', key, 'busy_until', math.max(busy, now + 2 * lease))

    elseif ours and busy > now then
        -- a later one settles, and keeps what its claim made busy, for as
        -- long as that has said: snapshot_claim.lua and claim.lua
        redis.call('HSET', key, 'busy_until',
                   math.max(busy, math.min(tonumber(record[5] or 0),
                                           now + lease)))
    end
end

redis.call('HSET', KEYS[1], 'lease_at', now + lease)

return 1
