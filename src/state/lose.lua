-- Notes that the machine of a sandbox has ended by itself.
--
-- KEYS  1 record
-- ARGV  1 id  2 execution that has ended  3 channel
--       4 states it is allowed in  5 state it leads to  6 error detail (JSON)
-- Gives 1, or 0 if the record has another state or execution by now (nothing
-- is changed then).

local record = redis.call('HMGET', KEYS[1], 'state', 'execution', 'member')

if not record[1] or record[2] ~= ARGV[2]
   or not string.find(ARGV[4], ' ' .. record[1] .. ' ', 1, true)
then
    return 0
end

redis.call('HSET', KEYS[1], 'state', ARGV[5], 'error_detail', ARGV[6])
redis.call('HDEL', KEYS[1], 'address')

if record[3] then
    -- its pool makes another member, and has this one destroyed
    if redis.call('ZREM', record[3] .. ':ready', ARGV[1])
       + redis.call('ZREM', record[3] .. ':old', ARGV[1]) > 0
    then
        redis.call('ZADD', record[3] .. ':failed', 0, ARGV[1])
    end

    redis.call('HSET', KEYS[1], 'timeout_at', 0)
end

redis.call('PUBLISH', ARGV[3], ARGV[1] .. ' ' .. ARGV[5])

return 1
