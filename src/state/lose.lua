-- Notes that the machine of a sandbox has ended by itself.
--
-- KEYS  1 record
-- Gives 1, or 0 if the record has another state or execution by now (nothing
-- is changed then).

local id,
      execution,    -- that has ended
      channel,
      allowed,      -- states of the record
      new_state,
      error_detail  -- JSON
      = unpack(ARGV)

local record = redis.call('HMGET', KEYS[1], 'state', 'execution', 'member')

if not record[1] or record[2] ~= execution
   or not string.find(allowed, ' ' .. record[1] .. ' ', 1, true)
then
    return 0
end

redis.call('HSET', KEYS[1], 'state', new_state, 'error_detail', error_detail)
redis.call('HDEL', KEYS[1], 'address')

if record[3] then
    -- its pool makes another member, and has this one destroyed
    if redis.call('ZREM', record[3] .. ':ready', id)
       + redis.call('ZREM', record[3] .. ':old', id) > 0
    then
        redis.call('ZADD', record[3] .. ':failed', 0, id)
    end

    redis.call('HSET', KEYS[1], 'timeout_at', 0)
end

redis.call('PUBLISH', channel, id .. ' ' .. new_state)

return 1
