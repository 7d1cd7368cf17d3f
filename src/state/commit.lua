-- Ends a create well: the sandbox runs and its answer is kept for replays.
-- Of a resume, the paused sandbox becomes an alias of the new execution.
--
-- KEYS  1 record  2 idempotency key, or of a resume the tenant index
--       3 of a resume the record of the snapshot it was started from
-- ARGV  1 owner  2 fence  3 id  4 channel  5 retention ms  6 answer's status
--       7 answer  8 states it is allowed in  9 state it leads to
--       10... fields and values of the record
-- Gives 1, 0 if the operation was fenced off or has lost its key, or -1 if
--       Redis has lost the record (nothing is changed then).
--
-- A key that has expired may be reserved by another create by now: of two
-- sandboxes that were made for one key only that create's stays.

local record = redis.call('HMGET', KEYS[1], 'state', 'owner', 'fence',
                          'resume_of', 'origin')
local old, origin = record[4], record[5]

if not record[1] then
    return -1
end

if record[2] ~= ARGV[1] or record[3] ~= ARGV[2]
   or not string.find(ARGV[8], ' ' .. record[1] .. ' ', 1, true)
   or not old and redis.call('HGET', KEYS[2], 'id') ~= ARGV[3]
then
    return 0
end

redis.call('HSET', KEYS[1], 'state', ARGV[9], unpack(ARGV, 10))
redis.call('HDEL', KEYS[1], 'owner', 'lease_at', 'resume_of', 'fork_of')

if old then
    local prefix = string.sub(KEYS[1], 1, -#ARGV[3] - 1)
    local known = redis.call('EXISTS', prefix .. origin) == 1

    -- A middle execution's alias leads to the first one, whose leads here.
    if known then
        redis.call('HSET', prefix .. origin, 'next', ARGV[3])
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
            redis.call('PEXPIRE', prefix .. going, ARGV[5])
        end

        redis.call('PUBLISH', ARGV[4], origin .. ' resumed')
    end

    redis.call('ZREM', KEYS[2], old)
    redis.call('DEL', KEYS[3])
    redis.call('PUBLISH', ARGV[4], old .. ' resumed')

else
    redis.call('HSET', KEYS[2], 'state', 'done', 'status', ARGV[6],
               'answer', ARGV[7])
    redis.call('PEXPIRE', KEYS[2], ARGV[5])
end

redis.call('PUBLISH', ARGV[4], ARGV[3] .. ' ' .. ARGV[9])

return 1
