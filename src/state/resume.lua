-- Reserves the new execution of a paused sandbox.  In the tenant's index stands
-- the paused one until commit.lua puts the new one in its place.
--
-- KEYS  1 new record  2 paused sandbox's record  3 idempotency key, if given
-- Gives {"new", fence, created_at}, {"late"}, {"changed"} if the sandbox is not
--       paused any more, or its network policy was changed, or what HMGET gives
--       of the key that is taken: {fingerprint, state, status, answer, id}.

local paused_id,
      id,             -- of the new execution
      owner, lease_ms,
      admitted_until, -- ms; later the admission may have been taken back
      channel,
      allowed,        -- states of the paused record
      new_state,      -- that the paused record gets
      generation,     -- its network_generation as read, "" if it has none
      wakes_ms,       -- interval in which wakes are counted, 0: no wake
      fingerprint,    -- of the request, for the key
      key_ms          -- for which the key is kept if nothing ends the resume
      -- and from the 13th on: fields and values of the new record
      = unpack(ARGV)

if KEYS[3] then
    local idem = redis.call('HMGET', KEYS[3], 'fingerprint', 'state', 'status',
                            'answer', 'id')

    if idem[1] then
        return idem
    end
end

local old = redis.call('HMGET', KEYS[2], 'state', 'network_generation')
local state = old[1]

if not state or not string.find(allowed, ' ' .. state .. ' ', 1, true)
   or (old[2] or '') ~= generation
then
    return { 'changed' }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if now >= tonumber(admitted_until) then
    return { 'late' }
end

redis.call('HSET', KEYS[2], 'state', new_state, 'next', id)
redis.call('HSET', KEYS[1], 'state', 'creating', 'owner', owner,
           'lease_at', now + tonumber(lease_ms), 'fence', 1,
           'created_at', now, 'resume_of', paused_id, unpack(ARGV, 13))

if KEYS[3] then
    redis.call('HSET', KEYS[3], 'fingerprint', fingerprint, 'state', 'running',
               'id', id)
    redis.call('PEXPIRE', KEYS[3], key_ms)
    redis.call('HSET', KEYS[1], 'idem', KEYS[3])
end

-- the count of wakes is passed on from execution to execution
local wakes = redis.call('HMGET', KEYS[2], 'wakes', 'wakes_since')
local n, since = tonumber(wakes[1] or 0), tonumber(wakes[2] or 0)
local interval = tonumber(wakes_ms)

if interval > 0 then
    if now - since >= interval then
        n, since = 0, now
    end
    n = n + 1
end

if n > 0 then
    redis.call('HSET', KEYS[1], 'wakes', n, 'wakes_since', since)
end

redis.call('PUBLISH', channel, paused_id .. ' ' .. new_state)

return { 'new', 1, now }
