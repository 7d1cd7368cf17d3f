-- Reserves an idempotency key, if it is free, together with the record of a
-- snapshot in state taking, and keeps its source busy.
--
-- KEYS  1 snapshot  2 index of snapshots  3 idempotency key  4 source
-- ARGV  1 fingerprint of the request  2 id  3 owner  4 lease ms
--       5 time (ms) after which its place on the agenda may be gone
--       6 tenant  7 id of the source  8 this node  9 states of the source it
--       is allowed in  10 ms for which the source is busy  11 kind
--       12 metadata  13 ms for which the key is kept if nothing ends the taking
-- Gives {"new", fence, created_at}, {"late"}, {"none"}, {"conflict", state},
--       {"busy", until ms, state}, {"next", id} (the source is an alias of
--       id), {"elsewhere", node}, or what HMGET gives of the key that is
--       taken: {fingerprint, state, status, answer, id}.

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

if not state or record[2] ~= ARGV[6] or state == 'destroying'
   or state == 'destroyed' or record[6]
then
    return { 'none' }
end

if state == 'resumed' and record[4] then
    return { 'next', record[4] }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local busy = tonumber(record[5] or 0)

if state == 'hibernating' or state == 'resuming' then
    return { 'busy', now, state }
end

if not string.find(ARGV[9], ' ' .. state .. ' ', 1, true) then
    return { 'conflict', state }
end

if record[3] and record[3] ~= ARGV[8] then
    return { 'elsewhere', record[3] }
end

if busy > now then
    return { 'busy', busy, state }
end

if now >= tonumber(ARGV[5]) then
    return { 'late' }
end

local fields = { 'state', 'taking', 'tenant', ARGV[6], 'node', ARGV[8],
                 'sandbox_id', ARGV[7], 'kind', ARGV[11],
                 'metadata', ARGV[12], 'created_at', now, 'owner', ARGV[3],
                 'lease_at', now + tonumber(ARGV[4]), 'fence', 1,
                 'idem', KEYS[3] }

for i, field in ipairs(kept) do
    if record[i + 6] then
        fields[#fields + 1] = field
        fields[#fields + 1] = record[i + 6]
    end
end

redis.call('HSET', KEYS[3], 'fingerprint', ARGV[1], 'state', 'running',
           'id', ARGV[2])
redis.call('PEXPIRE', KEYS[3], ARGV[13])
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('ZADD', KEYS[2], now, ARGV[2])
redis.call('HSET', KEYS[4], 'busy_until', now + tonumber(ARGV[10]),
           'busy_by', ARGV[2])

return { 'new', 1, now }
