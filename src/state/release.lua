-- Takes back what admit.lua gave; a repeated call does nothing.
--
-- KEYS  as admit.lua
-- ARGV  1 id  2 "all", or "address" to leave its place on the agenda
-- Gives 1.

local address = redis.call('HGET', KEYS[3], ARGV[1])

if address then
    redis.call('HDEL', KEYS[2], address)
    redis.call('HDEL', KEYS[3], ARGV[1])
end

if ARGV[2] == 'all' then
    redis.call('ZREM', KEYS[1], ARGV[1])
end

return 1
