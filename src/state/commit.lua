-- Ends a create well: the sandbox runs and its answer is kept for replays.
--
-- KEYS  1 record  2 idempotency key
-- ARGV  1 owner  2 fence  3 id  4 channel  5 retention ms  6 answer's status
--       7 answer  8 states it is allowed in  9 state it leads to
--       10... fields and values of the record
-- Gives 1, 0 if the operation was fenced off, or -1 if Redis has lost the
--       record (nothing is changed then).

local record = redis.call('HMGET', KEYS[1], 'state', 'owner', 'fence')

if not record[1] then
    return -1
end

if record[2] ~= ARGV[1] or record[3] ~= ARGV[2]
   or not string.find(ARGV[8], ' ' .. record[1] .. ' ', 1, true)
then
    return 0
end

redis.call('HSET', KEYS[1], 'state', ARGV[9], unpack(ARGV, 10))
redis.call('HDEL', KEYS[1], 'owner', 'lease_at')
redis.call('HSET', KEYS[2], 'state', 'done', 'status', ARGV[6],
           'answer', ARGV[7])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('PUBLISH', ARGV[4], ARGV[3] .. ' ' .. ARGV[9])

return 1
