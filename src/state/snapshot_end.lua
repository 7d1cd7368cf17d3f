-- Ends a snapshot, or the taking or the deletion of one.  How:
--
--   "gone"  nothing of it is left: the record is removed, and a deleted
--           snapshot leaves a tombstone for a repeated DELETE
--   "left"  its taking has failed and could not be undone yet: the record
--           stays for the agenda, and its source stays busy
--   "untried"  that was not tried after all: the claim is not counted as a
--           try, see snapshot_claim.lua, and all stays as it is
--   "kept"  it is whole, and in use after all: it is ready again
--
-- KEYS  1 snapshot
-- Gives 1, or 0 if the operation was fenced off.

local owner, fence, id, channel,
      record_prefix, -- of sandbox records
      index_prefix,  -- of the tenant index
      how,           -- see above
      code,          -- of the error, for waiting requests
      retention_ms
      = unpack(ARGV)

local record = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'state',
                          'tenant', 'sandbox_id', 'idem')

if record[1] ~= owner or record[2] ~= fence then
    return 0
end

if how == 'untried' then
    redis.call('HINCRBY', KEYS[1], 'tries', -1)
    return 1
end

local taking = record[3] == 'taking'

if record[6] and redis.call('HGET', record[6], 'id') == id then
    redis.call('DEL', record[6])
end

if how == 'kept' then
    redis.call('HSET', KEYS[1], 'state', 'ready')
    redis.call('HDEL', KEYS[1], 'owner', 'lease_at')
    redis.call('PUBLISH', channel, id .. ' kept ' .. code)
    return 1
end

redis.call('ZREM', index_prefix .. record[4] .. ':snapshots', id)

if how == 'left' then
    redis.call('HSET', KEYS[1], 'lease_at', 0, 'owner', '')
    redis.call('HDEL', KEYS[1], 'idem')
    redis.call('PUBLISH', channel, id .. ' failed ' .. code)
    return 1
end

redis.call('DEL', KEYS[1], KEYS[1] .. ':lives')

if not taking then
    redis.call('HSET', KEYS[1], 'state', 'deleted', 'tenant', record[4],
               'kind', 'reusable')
    redis.call('PEXPIRE', KEYS[1], retention_ms)
end

redis.call('PUBLISH', channel, id .. (taking and ' failed ' .. code
                                      or ' deleted'))

local source = record_prefix .. record[5]

if redis.call('HGET', source, 'busy_by') == id then
    redis.call('HDEL', source, 'busy_by', 'busy_until')
    redis.call('PUBLISH', channel, record[5] .. ' free')
end

return 1
