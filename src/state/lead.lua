-- Makes a worker the one that reconciles its node, or keeps it that.
--
-- KEYS  1 lock
-- ARGV  1 owner  2 ms it lasts, 0 to give it up
-- Gives 1 if the lock is the owner's (or was, and is given up), else 0.

local holder = redis.call('GET', KEYS[1])

if holder and holder ~= ARGV[1] then
    return 0
end

if ARGV[2] == '0' then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end

return 1
