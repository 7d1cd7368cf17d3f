-- Makes a member of a warm pool ready, after its guest has confirmed.  The
-- member is drained at once if its pool is, or if another node has the pool.
--
-- KEYS  1 record  2 pool
-- Gives {1, deadline of the member (ms)}, {0} if the operation was fenced
--       off, or {-1} if Redis has lost the record (nothing is changed then).

local owner, fence, id, pool_id, channel,
      allowed, -- states of the record
      new_state
      = unpack(ARGV)

local record = redis.call('HMGET', KEYS[1], 'state', 'owner', 'fence',
                          'pool_fence')

if not record[1] then
    return { -1 }
end

if record[2] ~= owner or record[3] ~= fence
   or not string.find(allowed, ' ' .. record[1] .. ' ', 1, true)
then
    return { 0 }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local pool = redis.call('HMGET', KEYS[2], 'state', 'stale_after_ms', 'target',
                        'fence')
local ready, old = KEYS[2] .. ':ready', KEYS[2] .. ':old'
local going = now

redis.call('ZREM', KEYS[2] .. ':warming', id)

if pool[1] == 'draining' or pool[2] and pool[4] ~= record[4] then
    redis.call('ZADD', KEYS[2] .. ':draining', now, id)

elseif pool[2] then
    going = now + tonumber(pool[2])
    redis.call('ZADD', ready, now, id)
    redis.call('HDEL', KEYS[2], 'failures', 'retry_at', 'reason', 'reason_at')

    -- the old member that this one replaces may go now
    if redis.call('ZCARD', ready) + redis.call('ZCARD', old)
       > tonumber(pool[3])
    then
        local last = redis.call('ZPOPMIN', old)[1]

        if last then
            redis.call('ZADD', KEYS[2] .. ':draining', now, last)
            redis.call('HSET', string.sub(KEYS[1], 1, -#id - 1) .. last,
                       'timeout_at', now)
        end
    end
end

redis.call('HSET', KEYS[1], 'state', new_state, 'ready_at', now,
           'checked_at', now, 'timeout_at', going)
redis.call('HDEL', KEYS[1], 'owner', 'lease_at')
redis.call('PUBLISH', channel, pool_id .. ' ready')

return { 1, going }
