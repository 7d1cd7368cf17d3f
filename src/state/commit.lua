-- Ends a create well: the sandbox runs and its answer is kept for replays.
--
-- KEYS  1 record  2 idempotency key
-- ARGV  1 owner  2 fence  3 id  4 channel  5 retention ms  6 answer's status
--       7 answer  8... fields and values of the record
-- Gives 1, or 0 if the operation was fenced off (nothing is changed then).

local record = redis.call('HMGET', KEYS[1], 'state', 'owner', 'fence')

if record[1] ~= 'creating' or record[2] ~= ARGV[1] or record[3] ~= ARGV[2] then
    return 0
end

redis.call('HSET', KEYS[1], 'state', 'running', unpack(ARGV, 8))
redis.call('HDEL', KEYS[1], 'owner', 'lease_at')
redis.call('HSET', KEYS[2], 'state', 'done', 'status', ARGV[6],
           'answer', ARGV[7])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('PUBLISH', ARGV[4], ARGV[3] .. ' running')

return 1
