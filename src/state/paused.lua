-- Ends a hibernation: the sandbox is paused, or runs as before.
--
-- KEYS  1 record  2 record of its snapshot
-- Gives {1, created_at of the snapshot}, or {0} if the operation was fenced
--       off.

local owner, fence, id, channel,
      allowed,     -- states of the record
      new_state,
      snapshot_id, -- "" if none was taken
      size_bytes   -- of the snapshot
      = unpack(ARGV)

local record = redis.call('HMGET', KEYS[1], 'state', 'owner', 'fence')

if record[2] ~= owner or record[3] ~= fence
   or not string.find(allowed, ' ' .. record[1] .. ' ', 1, true)
then
    return { 0 }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('HSET', KEYS[1], 'state', new_state)
redis.call('HDEL', KEYS[1], 'owner', 'lease_at')

if snapshot_id == '' then
    redis.call('HDEL', KEYS[1], 'snapshot_id')

else
    -- a paused sandbox has no deadline, no address, and no checkpoint of its
    -- own: its memory is in the snapshot
    redis.call('HDEL', KEYS[1], 'timeout_at', 'address', 'checkpoint',
               'error_detail')

    local names = { 'tenant', 'node', 'template', 'vcpus', 'memory_mb',
                    'disk_mb' }
    local values = redis.call('HMGET', KEYS[1], unpack(names))
    local made = { 'state', 'ready', 'kind', 'hibernate', 'sandbox_id',
                   id, 'created_at', now, 'size_bytes', size_bytes,
                   'metadata', '{}' }

    for i, name in ipairs(names) do
        if values[i] then
            table.insert(made, name)
            table.insert(made, values[i])
        end
    end

    redis.call('HSET', KEYS[2], unpack(made))
end

redis.call('PUBLISH', channel, id .. ' ' .. new_state)

return { 1, now }
