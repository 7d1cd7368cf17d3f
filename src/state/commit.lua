-- Ends a create well: the sandbox runs and its answer is kept for replays.
-- Of a resume, the paused sandbox becomes an alias of the new execution; of a
-- fork, the source is free, should free.lua not have come to Redis.
--
-- KEYS  1 record  2 idempotency key; of a resume 2 tenant index  3 the record
--       of the snapshot it was started from  4 idempotency key, if given
-- Gives 1, 0 if the operation was fenced off or has lost its key, or -1 if
--       Redis has lost the record (nothing is changed then).
--
-- A key that has expired may be reserved by another create by now: of two
-- sandboxes that were made for one key only that create's stays.

local owner, fence, id, channel, retention_ms,
      status,  -- of the answer
      answer,
      allowed, -- states of the record
      new_state
      -- and from the 10th on: fields and values of the record
      = unpack(ARGV)

local record = redis.call('HMGET', KEYS[1], 'state', 'owner', 'fence',
                          'resume_of', 'origin', 'fork_of', 'created_at')
local old, origin = record[4], record[5]
local key = KEYS[old and 4 or 2]

if not record[1] then
    return -1
end

if record[2] ~= owner or record[3] ~= fence
   or not string.find(allowed, ' ' .. record[1] .. ' ', 1, true)
   or key and redis.call('HGET', key, 'id') ~= id
then
    return 0
end

redis.call('HSET', KEYS[1], 'state', new_state, unpack(ARGV, 10))
redis.call('HDEL', KEYS[1], 'owner', 'lease_at', 'resume_of', 'fork_of')

local prefix = string.sub(KEYS[1], 1, -#id - 1)

if record[6] and redis.call('HGET', prefix .. record[6], 'busy_by') == id then
    redis.call('HDEL', prefix .. record[6], 'busy_by', 'busy_until')
    redis.call('PUBLISH', channel, record[6] .. ' free')
end

if old then
    local known = redis.call('EXISTS', prefix .. origin) == 1

    -- A middle execution's alias leads to the first one, whose leads here.
    if known then
        redis.call('HSET', prefix .. origin, 'next', id)
    end

    redis.call('HSET', prefix .. old, 'state', 'resumed')
    redis.call('HDEL', prefix .. old, 'snapshot_id', 'checkpoint', 'envs',
               'agent_token', 'traffic_token')

    if old ~= origin then
        -- The latest 100 aliases stay until bury.lua; older ones, of a sandbox
        -- that was resumed more often, expire.
        local going = old

        if known then
            local aliases = prefix .. origin .. ':aliases'

            redis.call('RPUSH', aliases, old)
            going = redis.call('LLEN', aliases) > 100
                    and redis.call('LPOP', aliases)
        end

        redis.call('HSET', prefix .. old, 'next', origin)
        redis.call('HDEL', prefix .. old, 'metadata', 'cwd', 'allow_out',
                   'deny_out', 'mask_host')

        if going then
            redis.call('PEXPIRE', prefix .. going, retention_ms)
        end

        redis.call('PUBLISH', channel, origin .. ' resumed')
    end

    redis.call('ZREM', KEYS[2], old)
    redis.call('ZADD', KEYS[2], record[7], id)
    redis.call('DEL', KEYS[3])
    redis.call('PUBLISH', channel, old .. ' resumed')
end

if key then
    redis.call('HSET', key, 'state', 'done', 'status', status, 'answer', answer)
    redis.call('PEXPIRE', key, retention_ms)
end

redis.call('PUBLISH', channel, id .. ' ' .. new_state)

return 1
