-- Ends a create that failed: the idempotency key is freed, and the record is
-- removed if the create was undone, or else left to the agenda.
--
-- KEYS  1 record  2 tenant index  3 idempotency key (if there is none, of a
--       resume or a member of a warm pool: the record again)
-- Gives 1, or 0 if the operation was fenced off (then only the hold by which
--       claim.lua keeps the address is ended).

local owner, fence, id,
      how,        -- "undone" or "left"
      channel,
      code,       -- of the error
      allowed,    -- states of the record
      left_state  -- state that it gets if left
      = unpack(ARGV)

local record = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'state',
                          'resume_of', 'fork_of', 'member')

if record[1] ~= owner or record[2] ~= fence
   or not string.find(allowed, ' ' .. record[3] .. ' ', 1, true)
then
    -- the creator has given up, so its address need not be held any longer
    redis.call('HDEL', KEYS[1], 'hold_at')
    return 0
end

if redis.call('HGET', KEYS[3], 'id') == id then
    redis.call('DEL', KEYS[3])
end

redis.call('ZREM', KEYS[2], id)

-- As in claim.lua: the paused sandbox that was to be resumed is paused again.
local prefix = string.sub(KEYS[1], 1, -#id - 1)

if record[4] and redis.call('HGET', prefix .. record[4], 'next') == id then
    redis.call('HSET', prefix .. record[4], 'state', 'paused')
    redis.call('HDEL', prefix .. record[4], 'next')
    redis.call('PUBLISH', channel, record[4] .. ' paused')
end

-- a fork that is left to the agenda keeps its source busy
if record[5] and how == 'undone'
   and redis.call('HGET', prefix .. record[5], 'busy_by') == id
then
    redis.call('HDEL', prefix .. record[5], 'busy_by', 'busy_until')
    redis.call('PUBLISH', channel, record[5] .. ' free')
end

if record[6] then
    -- not in warming: another node has the pool, and drains this member
    if redis.call('ZREM', record[6] .. ':warming', id) == 1
       and how ~= 'undone'
    then
        redis.call('ZADD', record[6] .. ':failed', 0, id)
    end
end

if how == 'undone' then
    local lives = redis.call('HGET', KEYS[1], 'lives')

    if lives then
        redis.call('SREM', lives, id)
    end

    redis.call('DEL', KEYS[1])
else
    redis.call('HSET', KEYS[1], 'state', left_state, 'lease_at', 0)
    redis.call('HDEL', KEYS[1], 'owner')
end

redis.call('PUBLISH', channel, id .. ' failed ' .. code)

return 1
