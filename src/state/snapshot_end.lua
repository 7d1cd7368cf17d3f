-- Ends a snapshot, or the taking or the deletion of one.
--
-- KEYS  1 snapshot
-- ARGV  1 owner  2 fence  3 id  4 channel  5 prefix of sandbox records
--       6 prefix of the tenant index  7 what is done:
--         "gone"  nothing of it is left: the record is removed, and a deleted
--                 snapshot leaves a tombstone for a repeated DELETE
--         "left"  its taking has failed and could not be undone yet: the
--                 record stays for the agenda, and its source stays busy
--         "kept"  it is whole, and in use after all: it is ready again
--       8 code of the error, for waiting requests  9 retention ms
-- Gives 1, or 0 if the operation was fenced off.

local record = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'state',
                          'tenant', 'sandbox_id', 'idem')

if record[1] ~= ARGV[1] or record[2] ~= ARGV[2] then
    return 0
end

local id, taking = ARGV[3], record[3] == 'taking'

if record[6] and redis.call('HGET', record[6], 'id') == id then
    redis.call('DEL', record[6])
end

if ARGV[7] == 'kept' then
    redis.call('HSET', KEYS[1], 'state', 'ready')
    redis.call('HDEL', KEYS[1], 'owner', 'lease_at')
    redis.call('PUBLISH', ARGV[4], id .. ' kept ' .. ARGV[8])
    return 1
end

redis.call('ZREM', ARGV[6] .. record[4] .. ':snapshots', id)

if ARGV[7] == 'left' then
    redis.call('HSET', KEYS[1], 'lease_at', 0, 'owner', '')
    redis.call('HDEL', KEYS[1], 'idem')
    redis.call('PUBLISH', ARGV[4], id .. ' failed ' .. ARGV[8])
    return 1
end

redis.call('DEL', KEYS[1], KEYS[1] .. ':lives')

if not taking then
    redis.call('HSET', KEYS[1], 'state', 'deleted', 'tenant', record[4],
               'kind', 'reusable')
    redis.call('PEXPIRE', KEYS[1], ARGV[9])
end

redis.call('PUBLISH', ARGV[4], id .. (taking and ' failed ' .. ARGV[8]
                                      or ' deleted'))

local source = ARGV[5] .. record[5]

if redis.call('HGET', source, 'busy_by') == id then
    redis.call('HDEL', source, 'busy_by', 'busy_until')
    redis.call('PUBLISH', ARGV[4], record[5] .. ' free')
end

return 1
