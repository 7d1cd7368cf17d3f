-- Deletes a warm pool that was drained.  A tombstone is left, so that a
-- repeated DELETE is answered as the first one.  Members on a node that had the
-- pool before do not count: they end when that node is back.
--
-- KEYS  1 pool  2 pools of the tenant  3 their names
-- Gives {"none"}, {"conflict", state} (it is not draining, or has members),
--       or {"deleted", node}.

local pool_id, tenant, retention_ms = unpack(ARGV)

local pool = redis.call('HMGET', KEYS[1], 'state', 'tenant', 'name', 'node')

if not pool[1] or pool[2] ~= tenant then
    return { 'none' }
end

if pool[1] == 'deleted' then
    return { 'deleted', '' }
end

if pool[1] ~= 'draining' then
    return { 'conflict', pool[1] }
end

local records = string.gsub(string.sub(KEYS[1], 1, -#pool_id - 1),
                            ':pool:$', ':sandbox:')
local keys = { KEYS[1], KEYS[1] .. ':claimed' }

for _, set in ipairs({ 'warming', 'ready', 'old', 'draining', 'expired',
                       'failed' })
do
    keys[#keys + 1] = KEYS[1] .. ':' .. set

    for _, id in ipairs(redis.call('ZRANGE', keys[#keys], 0, -1)) do
        if redis.call('HGET', records .. id, 'node') == pool[4] then
            return { 'conflict', pool[1] }
        end
    end
end

redis.call('HDEL', KEYS[3], pool[3])
redis.call('ZREM', KEYS[2], pool_id)
redis.call('DEL', unpack(keys))
redis.call('HSET', KEYS[1], 'state', 'deleted', 'tenant', tenant)
redis.call('PEXPIRE', KEYS[1], retention_ms)

return { 'deleted', pool[4] }
