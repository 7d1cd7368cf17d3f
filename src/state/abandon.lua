-- Ends a create that failed: the idempotency key is freed, and the record is
-- removed if the create was undone, or else left to the agenda.
--
-- KEYS  1 record  2 tenant index  3 idempotency key (a resume, or a member of
--       a warm pool, has none: the record again)
-- ARGV  1 owner  2 fence  3 id  4 "undone" or "left"  5 channel
--       6 code of the error  7 states it is allowed in  8 state if left
-- Gives 1, or 0 if the operation was fenced off (then only the hold by which
--       claim.lua keeps the address is ended).

local record = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'state',
                          'resume_of', 'fork_of', 'member')

if record[1] ~= ARGV[1] or record[2] ~= ARGV[2]
   or not string.find(ARGV[7], ' ' .. record[3] .. ' ', 1, true)
then
    -- the creator has given up, so its address need not be held any longer
    redis.call('HDEL', KEYS[1], 'hold_at')
    return 0
end

if redis.call('HGET', KEYS[3], 'id') == ARGV[3] then
    redis.call('DEL', KEYS[3])
end

redis.call('ZREM', KEYS[2], ARGV[3])

-- As in claim.lua: the paused sandbox that was to be resumed is paused again.
local prefix = string.sub(KEYS[1], 1, -#ARGV[3] - 1)

if record[4] and redis.call('HGET', prefix .. record[4], 'next') == ARGV[3] then
    redis.call('HSET', prefix .. record[4], 'state', 'paused')
    redis.call('HDEL', prefix .. record[4], 'next')
    redis.call('PUBLISH', ARGV[5], record[4] .. ' paused')
end

-- a fork that is left to the agenda keeps its source busy
if record[5] and ARGV[4] == 'undone'
   and redis.call('HGET', prefix .. record[5], 'busy_by') == ARGV[3]
then
    redis.call('HDEL', prefix .. record[5], 'busy_by', 'busy_until')
    redis.call('PUBLISH', ARGV[5], record[5] .. ' free')
end

if record[6] then
    -- not in warming: another node has the pool, and drains this member
    if redis.call('ZREM', record[6] .. ':warming', ARGV[3]) == 1
       and ARGV[4] ~= 'undone'
    then
        redis.call('ZADD', record[6] .. ':failed', 0, ARGV[3])
    end
end

if ARGV[4] == 'undone' then
    local lives = redis.call('HGET', KEYS[1], 'lives')

    if lives then
        redis.call('SREM', lives, ARGV[3])
    end

    redis.call('DEL', KEYS[1])
else
    redis.call('HSET', KEYS[1], 'state', ARGV[8], 'lease_at', 0)
    redis.call('HDEL', KEYS[1], 'owner')
end

redis.call('PUBLISH', ARGV[5], ARGV[3] .. ' failed ' .. ARGV[6])

return 1
