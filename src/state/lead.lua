-- Takes or prolongs the lock of the worker that reconciles its node.
--
-- KEYS  1 lock  2 host that has the node's name
-- Gives 1 if the owner has the lock, or has released it, else 0; or -1 if
--       another host has the node's name.

local owner,
      lock_ms, -- 0 to release the lock
      machine, -- machine-id of this host, or ""
      name_ms  -- for which a silent host keeps the node's name
      = unpack(ARGV)

local host = redis.call('GET', KEYS[2])

if machine ~= '' and host and host ~= machine then
    return -1
end

local holder = redis.call('GET', KEYS[1])

if holder and holder ~= owner then
    return 0
end

if lock_ms == '0' then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], owner, 'PX', lock_ms)

    if machine ~= '' then
        redis.call('SET', KEYS[2], machine, 'PX', name_ms)
    end
end

return 1
