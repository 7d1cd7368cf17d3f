-- Ends a hibernation: the sandbox is paused, or runs as before.
--
-- KEYS  1 record  2 record of its snapshot
-- ARGV  1 owner  2 fence  3 id  4 channel  5 states it is allowed in
--       6 state it leads to  7 id of the snapshot, or "" if none was taken
--       8 size of the snapshot in bytes
-- Gives {1, created_at of the snapshot}, or {0} if the operation was fenced
--       off.

local record = redis.call('HMGET', KEYS[1], 'state', 'owner', 'fence')

if record[2] ~= ARGV[1] or record[3] ~= ARGV[2]
   or not string.find(ARGV[5], ' ' .. record[1] .. ' ', 1, true)
then
    return { 0 }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('HSET', KEYS[1], 'state', ARGV[6])
redis.call('HDEL', KEYS[1], 'owner', 'lease_at')

if ARGV[7] == '' then
    redis.call('HDEL', KEYS[1], 'snapshot_id')

else
    -- a paused sandbox has no deadline, no address, and no checkpoint of its
    -- own: its memory is in the snapshot
    redis.call('HDEL', KEYS[1], 'timeout_at', 'address', 'checkpoint')

    local names = { 'tenant', 'node', 'template', 'vcpus', 'memory_mb',
                    'disk_mb' }
    local values = redis.call('HMGET', KEYS[1], unpack(names))
    local made = { 'state', 'ready', 'kind', 'hibernate', 'sandbox_id',
                   ARGV[3], 'created_at', now, 'size_bytes', ARGV[8],
                   'metadata', '{}' }

    for i, name in ipairs(names) do
        if values[i] then
            table.insert(made, name)
            table.insert(made, values[i])
        end
    end

    redis.call('HSET', KEYS[2], unpack(made))
end

redis.call('PUBLISH', ARGV[4], ARGV[3] .. ' ' .. ARGV[6])

return { 1, now }
