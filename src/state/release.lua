-- Takes back what admit.lua gave; a repeated call does nothing.
--
-- KEYS  as admit.lua
-- Gives 1.

local id,
      what  -- "all", or "address" to leave its place on the agenda
      = unpack(ARGV)

local address = redis.call('HGET', KEYS[3], id)

if address then
    redis.call('HDEL', KEYS[2], address)
    redis.call('HDEL', KEYS[3], id)
end

if what == 'all' then
    redis.call('ZREM', KEYS[1], id)
end

return 1
