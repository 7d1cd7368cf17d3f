-- Ends the taking of a snapshot well: it is ready, its answer is kept for
-- replays, and its source is free.
--
-- KEYS  1 snapshot  2 idempotency key  3 source
-- ARGV  1 owner  2 fence  3 id  4 channel  5 retention ms  6 answer's status
--       7 answer  8 size of the snapshot in bytes  9 id of the source
-- Gives 1, 0 if the operation was fenced off or has lost its key, see
--       commit.lua, or -1 if Redis has lost the record (nothing is changed
--       then).

local record = redis.call('HMGET', KEYS[1], 'state', 'owner', 'fence')

if not record[1] then
    return -1
end

if record[1] ~= 'taking' or record[2] ~= ARGV[1] or record[3] ~= ARGV[2]
   or redis.call('HGET', KEYS[2], 'id') ~= ARGV[3]
then
    return 0
end

redis.call('HSET', KEYS[1], 'state', 'ready', 'size_bytes', ARGV[8])
redis.call('HDEL', KEYS[1], 'owner', 'lease_at', 'idem')
redis.call('HSET', KEYS[2], 'state', 'done', 'status', ARGV[6],
           'answer', ARGV[7])
redis.call('PEXPIRE', KEYS[2], ARGV[5])

if redis.call('HGET', KEYS[3], 'busy_by') == ARGV[3] then
    redis.call('HDEL', KEYS[3], 'busy_by', 'busy_until')
end

redis.call('PUBLISH', ARGV[4], ARGV[3] .. ' ready')
redis.call('PUBLISH', ARGV[4], ARGV[9] .. ' free')

return 1
