-- Ends a destruction: a tombstone is left, so that a repeated DELETE is
-- answered as the first one and the sandbox can be listed for a while.  The
-- tombstone has the fields that clients may see, and no token, address or
-- environment.  A member of a warm pool that nobody has claimed leaves none.
--
-- KEYS  1 record
-- Gives 1, or 0 if the operation was fenced off.

local owner, fence, retention_ms, id, channel,
      index_prefix  -- of the tenant index
      = unpack(ARGV)

local prefix = string.sub(KEYS[1], 1, -#id - 1)
local origin = redis.call('HGET', KEYS[1], 'origin')
local snapshot = redis.call('HGET', KEYS[1], 'snapshot_id')
local fields = { 'tenant', 'template', 'vcpus', 'memory_mb', 'disk_mb',
                 'created_at', 'started_at', 'timeout_ms', 'timeout_at',
                 'timeout_action', 'metadata', 'cwd', 'error_detail',
                 'hold_at' }
local record = redis.call('HMGET', KEYS[1], 'owner', 'fence', unpack(fields))
local member = redis.call('HGET', KEYS[1], 'member')

if record[1] ~= owner or record[2] ~= fence then
    return 0
end

if member then
    for _, set in ipairs({ ':draining', ':expired', ':failed' }) do
        redis.call('ZREM', member .. set, id)
    end

    redis.call('DEL', KEYS[1])
    redis.call('PUBLISH', channel, id .. ' destroyed')
    return 1
end

-- Takes an id out of the sets that it joined at its first execution: the lives
-- of a snapshot, and the members claimed from a warm pool.
local function leave(who)
    local sets = redis.call('HMGET', prefix .. who, 'lives', 'claimed_from')

    if sets[1] then
        redis.call('SREM', sets[1], who)
    end

    if sets[2] then
        redis.call('ZREM', sets[2] .. ':claimed', who)
    end
end

leave(id)

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stone = { 'state', 'destroyed', 'destroyed_at', now }

for i, field in ipairs(fields) do
    if record[i + 2] then
        table.insert(stone, field)
        table.insert(stone, record[i + 2])
    end
end

redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(stone))
redis.call('PEXPIRE', KEYS[1], retention_ms)

local index = index_prefix .. record[3]
local destroyed, graves = index .. ':destroyed', index .. ':graves'

redis.call('ZADD', destroyed, record[8] or 0, id)
redis.call('ZADD', graves, now + tonumber(retention_ms), id)

-- Each burial adds one id and trims up to 100, so the index does not grow.
local old = redis.call('ZRANGEBYSCORE', graves, '-inf', now, 'LIMIT', 0, 100)

if #old > 0 then
    redis.call('ZREM', destroyed, unpack(old))
    redis.call('ZREM', graves, unpack(old))
end

if snapshot then
    redis.call('DEL', (string.gsub(prefix, ':sandbox:$', ':snapshot:'))
                      .. snapshot)
end

-- The ids of its earlier executions, which are aliases of it, end with it.
if origin and redis.call('HGET', prefix .. origin, 'next') == id then
    local aliases = prefix .. origin .. ':aliases'

    for _, alias in ipairs(redis.call('LRANGE', aliases, 0, -1)) do
        redis.call('PEXPIRE', prefix .. alias, retention_ms)
    end

    redis.call('DEL', aliases)
    leave(origin)
    redis.call('HSET', prefix .. origin, 'state', 'destroyed',
               'destroyed_at', now)
    redis.call('HDEL', prefix .. origin, 'next')
    redis.call('PEXPIRE', prefix .. origin, retention_ms)
    redis.call('PUBLISH', channel, origin .. ' destroyed')
end

redis.call('PEXPIRE', destroyed, retention_ms)
redis.call('PEXPIRE', graves, retention_ms)
redis.call('PUBLISH', channel, id .. ' destroyed')

return 1
