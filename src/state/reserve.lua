-- Looks an idempotency key up and, if it is free and this is no mere look,
-- reserves it together with the record of a sandbox in state creating.
--
-- KEYS  1 record  2 tenant index  3 idempotency key
-- ARGV  1 "peek" or "reserve"  2 fingerprint of the request; to reserve: 3 id
--       4 owner  5 lease ms  6... fields and values of the record
-- Gives {"absent"}, {"new", fence, created_at}, {"replay", status, answer,
--       id}, {"running", id} or {"reused"}.

local idem = redis.call('HMGET', KEYS[3], 'fingerprint', 'state', 'status',
                        'answer', 'id')

if idem[1] then
    if idem[1] ~= ARGV[2] then
        return { 'reused' }
    end

    if idem[2] == 'done' then
        return { 'replay', idem[3], idem[4], idem[5] }
    end

    return { 'running', idem[5] }
end

if ARGV[1] == 'peek' then
    return { 'absent' }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('HSET', KEYS[3], 'fingerprint', ARGV[2], 'state', 'running',
           'id', ARGV[3])
redis.call('HSET', KEYS[1], 'state', 'creating', 'owner', ARGV[4],
           'lease_at', now + tonumber(ARGV[5]), 'fence', 1,
           'created_at', now, 'idem', KEYS[3], unpack(ARGV, 6))
redis.call('ZADD', KEYS[2], now, ARGV[3])

return { 'new', 1, now }
