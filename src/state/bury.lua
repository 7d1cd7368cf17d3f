-- Ends a destruction: a tombstone is left, so that a repeated DELETE is
-- answered as the first one and the sandbox can be listed for a while.  The
-- tombstone has the fields that clients may see, and no token, address or
-- environment.  A member of a warm pool that nobody has claimed leaves none.
--
-- KEYS  1 record
-- ARGV  1 owner  2 fence  3 retention ms  4 id  5 channel
--       6 prefix of the tenant index
-- Gives 1, or 0 if the operation was fenced off.

local prefix = string.sub(KEYS[1], 1, -#ARGV[4] - 1)
local origin = redis.call('HGET', KEYS[1], 'origin')
local snapshot = redis.call('HGET', KEYS[1], 'snapshot_id')
local fields = { 'tenant', 'template', 'vcpus', 'memory_mb', 'disk_mb',
                 'created_at', 'started_at', 'timeout_ms', 'timeout_at',
                 'timeout_action', 'metadata', 'cwd', 'error_detail',
                 'hold_at' }
local record = redis.call('HMGET', KEYS[1], 'owner', 'fence', unpack(fields))
local member = redis.call('HGET', KEYS[1], 'member')

if record[1] ~= ARGV[1] or record[2] ~= ARGV[2] then
    return 0
end

if member then
    for _, set in ipairs({ ':draining', ':expired', ':failed' }) do
        redis.call('ZREM', member .. set, ARGV[4])
    end

    redis.call('DEL', KEYS[1])
    redis.call('PUBLISH', ARGV[5], ARGV[4] .. ' destroyed')
    return 1
end

-- Takes an id out of the sets that it joined at its first execution: the lives
-- of a snapshot, and the members claimed from a warm pool.
local function leave(id)
    local sets = redis.call('HMGET', prefix .. id, 'lives', 'claimed_from')

    if sets[1] then
        redis.call('SREM', sets[1], id)
    end

    if sets[2] then
        redis.call('ZREM', sets[2] .. ':claimed', id)
    end
end

leave(ARGV[4])

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
redis.call('PEXPIRE', KEYS[1], ARGV[3])

local index = ARGV[6] .. record[3]
local destroyed, graves = index .. ':destroyed', index .. ':graves'

redis.call('ZADD', destroyed, record[8] or 0, ARGV[4])
redis.call('ZADD', graves, now + tonumber(ARGV[3]), ARGV[4])

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
if origin and redis.call('HGET', prefix .. origin, 'next') == ARGV[4] then
    local aliases = prefix .. origin .. ':aliases'

    for _, id in ipairs(redis.call('LRANGE', aliases, 0, -1)) do
        redis.call('PEXPIRE', prefix .. id, ARGV[3])
    end

    redis.call('DEL', aliases)
    leave(origin)
    redis.call('HSET', prefix .. origin, 'state', 'destroyed',
               'destroyed_at', now)
    redis.call('HDEL', prefix .. origin, 'next')
    redis.call('PEXPIRE', prefix .. origin, ARGV[3])
    redis.call('PUBLISH', ARGV[5], origin .. ' destroyed')
end

redis.call('PEXPIRE', destroyed, ARGV[3])
redis.call('PEXPIRE', graves, ARGV[3])
redis.call('PUBLISH', ARGV[5], ARGV[4] .. ' destroyed')

return 1
