-- Reserves an idempotency key, if it is free, together with the record of a
-- sandbox in state creating.
--
-- KEYS  1 record  2 tenant index  3 idempotency key  4 the record of its
--       source, if that is no template: of the sandbox that is forked, which
--       must be running, or of a snapshot, which must be ready
-- Gives {"new", fence, created_at}, {"late"}, {"busy"} or {"conflict", state}
--       (of the source), or what HMGET gives of the key that is taken:
--       {fingerprint, state, status, answer, id}.

local fingerprint,    -- of the request
      id, owner, lease_ms,
      admitted_until, -- ms; later the admission may have been taken back
      busy_ms,        -- for which a fork keeps its source busy, 0 of a snapshot
      key_ms          -- for which the key is kept if nothing ends the create
      -- and from the 8th on: fields and values of the record
      = unpack(ARGV)

local idem = redis.call('HMGET', KEYS[3], 'fingerprint', 'state', 'status',
                        'answer', 'id')

if idem[1] then
    return idem
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if now >= tonumber(admitted_until) then
    return { 'late' }
end

if KEYS[4] then
    local source = redis.call('HMGET', KEYS[4], 'state', 'busy_until')
    local busy = tonumber(busy_ms)

    if source[1] ~= (busy > 0 and 'running' or 'ready') then
        return { 'conflict', source[1] or 'destroyed' }
    end

    if tonumber(source[2] or 0) > now then
        return { 'busy' }
    end

    if busy > 0 then
        redis.call('HSET', KEYS[4], 'busy_by', id,
                   'busy_until', now + busy)
    end
end

redis.call('HSET', KEYS[3], 'fingerprint', fingerprint, 'state', 'running',
           'id', id)
redis.call('PEXPIRE', KEYS[3], key_ms)
redis.call('HSET', KEYS[1], 'state', 'creating', 'owner', owner,
           'lease_at', now + tonumber(lease_ms), 'fence', 1,
           'created_at', now, 'idem', KEYS[3], unpack(ARGV, 8))
redis.call('ZADD', KEYS[2], now, id)

-- The new sandbox joins the lives of the snapshot that it is started from.
local lives = redis.call('HGET', KEYS[1], 'lives')

if lives then
    redis.call('SADD', lives, id)
end

return { 'new', 1, now }
