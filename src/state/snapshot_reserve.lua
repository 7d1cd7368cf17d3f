-- Reserves an idempotency key, if it is free, together with the record of a
-- snapshot in state taking, and keeps its source busy.
--
-- KEYS  1 snapshot  2 index of snapshots  3 idempotency key  4 source
-- Gives {"new", fence, created_at}, {"late"}, {"none"}, {"conflict", state},
--       {"busy", until ms, state}, {"alias", id} (the source is one of
--       id), {"elsewhere", node}, or what HMGET gives of the key that is
--       taken: {fingerprint, state, status, answer, id}.

local fingerprint,  -- of the request
      id, owner, lease_ms,
      placed_until, -- ms; later its place on the agenda may be gone
      tenant, source_id,
      self,         -- this node
      allowed,      -- states of the source
      busy_ms,      -- for which the source is busy
      kind, metadata,
      key_ms        -- for which the key is kept if nothing ends the taking
      = unpack(ARGV)

local idem = redis.call('HMGET', KEYS[3], 'fingerprint', 'state', 'status',
                        'answer', 'id')

if idem[1] then
    return idem
end

local kept = { 'template', 'vcpus', 'memory_mb', 'disk_mb', 'cwd', 'envs',
               'public_traffic', 'mask_host', 'origin', 'internet_access',
               'allow_out', 'deny_out' }
local record = redis.call('HMGET', KEYS[4], 'state', 'tenant', 'node', 'next',
                          'busy_until', 'member', unpack(kept))
local state = record[1]

if not state or record[2] ~= tenant or state == 'destroying'
   or state == 'destroyed' or record[6]
then
    return { 'none' }
end

if state == 'resumed' and record[4] then
    return { 'alias', record[4] }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local busy = tonumber(record[5] or 0)

if state == 'hibernating' or state == 'resuming' then
    return { 'busy', now, state }
end

if not string.find(allowed, ' ' .. state .. ' ', 1, true) then
    return { 'conflict', state }
end

if record[3] and record[3] ~= self then
    return { 'elsewhere', record[3] }
end

if busy > now then
    return { 'busy', busy, state }
end

if now >= tonumber(placed_until) then
    return { 'late' }
end

local fields = { 'state', 'taking', 'tenant', tenant, 'node', self,
                 'sandbox_id', source_id, 'kind', kind,
                 'metadata', metadata, 'created_at', now, 'owner', owner,
                 'lease_at', now + tonumber(lease_ms), 'fence', 1,
                 'idem', KEYS[3] }

for i, field in ipairs(kept) do
    if record[i + 6] then
        fields[#fields + 1] = field
        fields[#fields + 1] = record[i + 6]
    end
end

redis.call('HSET', KEYS[3], 'fingerprint', fingerprint, 'state', 'running',
           'id', id)
redis.call('PEXPIRE', KEYS[3], key_ms)
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('ZADD', KEYS[2], now, id)
redis.call('HSET', KEYS[4], 'busy_until', now + tonumber(busy_ms),
           'busy_by', id)

return { 'new', 1, now }
