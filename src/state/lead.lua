-- Makes a worker the one that reconciles its node, or keeps it that.
--
-- KEYS  1 lock  2 host that the node is
-- ARGV  1 owner  2 ms it lasts, 0 to give it up  3 this host, "" if it has no
--       name  4 ms for which a host that is heard no more stays the node
-- Gives 1 if the lock is the owner's (or was, and is given up), else 0; or -1
--       if another host has the node's name.

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
