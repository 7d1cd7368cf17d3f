-- Ends the taking of a snapshot well: it is ready, its answer is kept for
-- replays, and its source is free.
--
-- KEYS  1 snapshot  2 idempotency key  3 source
-- Gives 1, 0 if the operation was fenced off or has lost its key, see
--       commit.lua, or -1 if Redis has lost the record (nothing is changed
--       then).

local owner, fence, id, channel, retention_ms,
      status,     -- of the answer
      answer,
      size_bytes, -- of the snapshot
      source_id
      = unpack(ARGV)

local record = redis.call('HMGET', KEYS[1], 'state', 'owner', 'fence')

if not record[1] then
    return -1
end

if record[1] ~= 'taking' or record[2] ~= owner or record[3] ~= fence
   or redis.call('HGET', KEYS[2], 'id') ~= id
then
    return 0
end

redis.call('HSET', KEYS[1], 'state', 'ready', 'size_bytes', size_bytes)
redis.call('HDEL', KEYS[1], 'owner', 'lease_at', 'idem')
redis.call('HSET', KEYS[2], 'state', 'done', 'status', status,
           'answer', answer)
redis.call('PEXPIRE', KEYS[2], retention_ms)

if redis.call('HGET', KEYS[3], 'busy_by') == id then
    redis.call('HDEL', KEYS[3], 'busy_by', 'busy_until')
end

redis.call('PUBLISH', channel, id .. ' ready')
redis.call('PUBLISH', channel, source_id .. ' free')

return 1
