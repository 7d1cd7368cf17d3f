-- Claims the network policy of a sandbox, which is about to be changed.
--
-- KEYS  1 record
-- Gives {"none"}, {"alias", id} (it is one of id), {"conflict", state}, {"busy"}
--       (another change is under way), or {"claimed", generation, state, node,
--       address, internet access, allow_out, deny_out}, the last three "" if
--       the record has none.
--
-- A generation is used once, also if Redis has lost the last ones: what the
-- host has in force may be later than the record, never than the clock.  The
-- generation after it belongs to the claimer, too, in case the change has to be
-- undone.

local tenant,
      claim,    -- a token of the claimer
      claim_ms, -- for which the claim lasts
      allowed   -- states of the record
      = unpack(ARGV)

local record = redis.call('HMGET', KEYS[1], 'state', 'tenant', 'next',
                          'network_until', 'node', 'address',
                          'internet_access', 'allow_out', 'deny_out', 'member',
                          'network_generation')
local state = record[1]

if not state or record[2] ~= tenant or state == 'destroying'
   or state == 'destroyed' or record[10]
then
    return { 'none' }
end

if state == 'resumed' then
    return { 'alias', record[3] }
end

if not string.find(allowed, ' ' .. state .. ' ', 1, true) then
    return { 'conflict', state }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if tonumber(record[4] or 0) > now then
    return { 'busy' }
end

local generation = math.max(tonumber(record[11] or 0) + 2, now)

redis.call('HSET', KEYS[1], 'network_generation', generation,
           'network_by', claim, 'network_until', now + tonumber(claim_ms))

return { 'claimed', generation, state, record[5] or '', record[6] or '0',
         record[7] or '', record[8] or '', record[9] or '' }
