-- Claims a running sandbox for its hibernation, or one whose hibernation was
-- begun by a worker that has died.
--
-- KEYS  1 record  2 record of the snapshot that is to be taken
-- ARGV  1 id  2 tenant (asked by a client) or "" (due on the agenda)
--       3 owner  4 lease ms  5 channel  6 states it is allowed in
--       7 state it leads to  8 this node  9 id of the snapshot
-- Gives {"none"}, {"moved", id} (it is an alias of id), {"conflict", state},
--       {"wait", until ms}, {"elsewhere", node}, {"paused", snapshot,
--       created_at, bytes} (it is paused already) or {"claimed", fence,
--       snapshot, its own checkpoint or "", 1 if another worker has begun it}.

local record = redis.call('HMGET', KEYS[1], 'state', 'tenant', 'node',
                          'lease_at', 'busy_until', 'snapshot_id',
                          'checkpoint', 'next', 'timeout_at', 'timeout_action',
                          'member')
local state, snapshot = record[1], record[6]
local due = ARGV[2] == ''

if not state or (not due and record[2] ~= ARGV[2])
   or state == 'destroying' or state == 'destroyed' or record[11]
then
    return { 'none' }
end

if state == 'resumed' then
    return { 'moved', record[8] }
end

if state == 'paused' and not due then
    local key = string.sub(KEYS[2], 1, -#ARGV[9] - 1) .. snapshot
    local made = redis.call('HMGET', key, 'created_at', 'size_bytes')

    return { 'paused', snapshot, made[1] or 0, made[2] or 0 }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local again = state == ARGV[7]

if state == 'resuming' and not due then
    return { 'wait', now }
end

if again then
    if tonumber(record[4] or 0) > now then
        return { 'wait', tonumber(record[4]) }
    end

elseif not string.find(ARGV[6], ' ' .. state .. ' ', 1, true) then
    return { 'conflict', state }

elseif due and (record[10] ~= 'hibernate'
                or tonumber(record[9] or 0) > now)
then
    return { 'conflict', state }
end

if record[3] ~= ARGV[8] then
    return { 'elsewhere', record[3] or '' }
end

if tonumber(record[5] or 0) > now then
    return { 'wait', tonumber(record[5]) }
end

if not again then
    snapshot = ARGV[9]
end

local fence = redis.call('HINCRBY', KEYS[1], 'fence', 1)

redis.call('HSET', KEYS[1], 'state', ARGV[7], 'owner', ARGV[3],
           'lease_at', now + tonumber(ARGV[4]), 'snapshot_id', snapshot)
redis.call('PUBLISH', ARGV[5], ARGV[1] .. ' ' .. ARGV[7])

return { 'claimed', fence, snapshot, record[7] or '', again and 1 or 0 }
