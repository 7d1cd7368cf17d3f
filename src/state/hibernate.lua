-- Claims a running sandbox for its hibernation, or one whose hibernation was
-- begun by a worker that has died.  Or one that has been hibernated, but Redis
-- has lost the claim: then its machine is gone, and all there is is in the
-- snapshot, so neither its deadline nor who keeps it busy matters any more, nor
-- that it was called lost.
--
-- KEYS  1 record  2 record of the snapshot that is to be taken
-- Gives {"none"}, {"alias", id} (it is one of id), {"conflict", state},
--       {"wait", until ms}, {"elsewhere", node}, {"paused", snapshot,
--       created_at, bytes} (it is paused already) or {"claimed", fence,
--       snapshot, its own checkpoint or "", 1 if another worker has begun it,
--       tenant}.

local id,
      by_tenant, -- asked by a client, or "": due on the agenda
      owner, lease_ms, channel,
      allowed,   -- states of the record
      new_state,
      self,      -- this node
      snapshot_id,
      ended      -- 1: it has been hibernated into that snapshot
      = unpack(ARGV)

local record = redis.call('HMGET', KEYS[1], 'state', 'tenant', 'node',
                          'lease_at', 'busy_until', 'snapshot_id',
                          'checkpoint', 'next', 'timeout_at', 'timeout_action',
                          'member')
local state, snapshot = record[1], record[6]
local due = by_tenant == ''

if not state or (not due and record[2] ~= by_tenant)
   or state == 'destroying' or state == 'destroyed' or record[11]
then
    return { 'none' }
end

if state == 'resumed' then
    return { 'alias', record[8] }
end

if state == 'paused' and not due then
    local key = string.sub(KEYS[2], 1, -#snapshot_id - 1) .. snapshot
    local made = redis.call('HMGET', key, 'created_at', 'size_bytes')

    return { 'paused', snapshot, made[1] or 0, made[2] or 0 }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local again = state == new_state
local whole = ended == '1'
local forgotten = whole and (state == 'running' or state == 'error')

if state == 'resuming' and not due then
    return { 'wait', now }
end

if again then
    if tonumber(record[4] or 0) > now then
        return { 'wait', tonumber(record[4]) }
    end

elseif not forgotten
       and not string.find(allowed, ' ' .. state .. ' ', 1, true)
then
    return { 'conflict', state }

elseif not forgotten and due
       and (record[10] ~= 'hibernate' or tonumber(record[9] or 0) > now)
then
    return { 'conflict', state }
end

if record[3] ~= self then
    return { 'elsewhere', record[3] or '' }
end

if tonumber(record[5] or 0) > now and not forgotten then
    return { 'wait', tonumber(record[5]) }
end

if not again or whole then
    snapshot = snapshot_id
end

local fence = redis.call('HINCRBY', KEYS[1], 'fence', 1)

redis.call('HSET', KEYS[1], 'state', new_state, 'owner', owner,
           'lease_at', now + tonumber(lease_ms), 'snapshot_id', snapshot)
redis.call('PUBLISH', channel, id .. ' ' .. new_state)

return { 'claimed', fence, snapshot, record[7] or '', again and 1 or 0,
         record[2] or '' }
