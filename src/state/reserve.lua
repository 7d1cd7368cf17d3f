-- Reserves an idempotency key, if it is free, together with the record of a
-- sandbox in state creating.
--
-- KEYS  1 record  2 tenant index  3 idempotency key  4 the record of its
--       source, if that is no template: of the sandbox that is forked, which
--       must be running, or of a snapshot, which must be ready
-- ARGV  1 fingerprint of the request  2 id  3 owner  4 lease ms
--       5 end of the admission (ms), after which it may have been taken back
--       6 ms for which a fork keeps its source busy, 0 of a snapshot
--       7 ms for which the key is kept if nothing ends the create
--       8... fields and values of the record
-- Gives {"new", fence, created_at}, {"late"}, {"busy"} or {"conflict", state}
--       (of the source), or what HMGET gives of the key that is taken:
--       {fingerprint, state, status, answer, id}.

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

if KEYS[4] then
    local source = redis.call('HMGET', KEYS[4], 'state', 'busy_until')
    local busy = tonumber(ARGV[6])

    if source[1] ~= (busy > 0 and 'running' or 'ready') then
        return { 'conflict', source[1] or 'destroyed' }
    end

    if tonumber(source[2] or 0) > now then
        return { 'busy' }
    end

    if busy > 0 then
        redis.call('HSET', KEYS[4], 'busy_by', ARGV[2],
                   'busy_until', now + busy)
    end
end

redis.call('HSET', KEYS[3], 'fingerprint', ARGV[1], 'state', 'running',
           'id', ARGV[2])
redis.call('PEXPIRE', KEYS[3], ARGV[7])
redis.call('HSET', KEYS[1], 'state', 'creating', 'owner', ARGV[3],
           'lease_at', now + tonumber(ARGV[4]), 'fence', 1,
           'created_at', now, 'idem', KEYS[3], unpack(ARGV, 8))
redis.call('ZADD', KEYS[2], now, ARGV[2])

-- The new sandbox joins the lives of the snapshot that it is started from.
local lives = redis.call('HGET', KEYS[1], 'lives')

if lives then
    redis.call('SADD', lives, ARGV[2])
end

return { 'new', 1, now }
