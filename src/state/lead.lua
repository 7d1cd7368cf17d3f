-- Takes or prolongs the lock of the worker that reconciles its node.
--
-- KEYS  1 lock  2 host that has the node's name
-- ARGV  1 owner  2 ms the lock lasts, 0 to release it  3 this host's
--       machine-id, or ""  4 ms for which a silent host keeps the node's name
-- Gives 1 if the owner has the lock, or has released it, else 0; or -1 if
--       another host has the node's name.

local host = redis.call('GET', KEYS[2])

if ARGV[3] ~= '' and host and host ~= ARGV[3] then
    return -1
end

local holder = redis.call('GET', KEYS[1])

if holder and holder ~= ARGV[1] then
    return 0
end

if ARGV[2] == '0' then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])

    if ARGV[3] ~= '' then
        redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
    end
end

return 1
