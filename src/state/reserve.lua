-- Reserves an idempotency key, if it is free, together with the record of a
-- sandbox in state creating.
--
-- KEYS  1 record  2 tenant index  3 idempotency key
-- ARGV  1 fingerprint of the request  2 id  3 owner  4 lease ms
--       5 end of the admission (ms), after which it may have been taken back
--       6... fields and values of the record
--       (lives: the set of those that live on a snapshot, which it joins)
-- Gives {"new", fence, created_at}, {"late"}, or what HMGET gives of the key
--       that is taken: {fingerprint, state, status, answer, id}.

local idem = redis.call('HMGET', KEYS[3], 'fingerprint', 'state', 'status',
                        'answer', 'id')

if idem[1] then
    return idem
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if now >= tonumber(ARGV[5]) then
    return { 'late' }
end

redis.call('HSET', KEYS[3], 'fingerprint', ARGV[1], 'state', 'running',
           'id', ARGV[2])
redis.call('HSET', KEYS[1], 'state', 'creating', 'owner', ARGV[3],
           'lease_at', now + tonumber(ARGV[4]), 'fence', 1,
           'created_at', now, 'idem', KEYS[3], unpack(ARGV, 6))
redis.call('ZADD', KEYS[2], now, ARGV[2])

local lives = redis.call('HGET', KEYS[1], 'lives')

if lives then
    redis.call('SADD', lives, ARGV[2])
end

return { 'new', 1, now }
