-- Admits a sandbox to a node: gives it an address and a place on the agenda.
-- A repeated call for the same id gives the same address.
--
-- KEYS  1 agenda (zset)  2 addresses (hash address -> id)
--       3 guests (hash id -> address)  4 cursor (string)
--       5 host that has the node's name
-- Gives {address, end of the admission ms}, {-1} if the node is full, or {-2}
--       if another host has the node's name.

local id, lease_ms,
      first,   -- address, an integer
      count,   -- of addresses
      most,    -- sandboxes of the node
      machine  -- machine-id of this host, or ""
      = unpack(ARGV)

local host = redis.call('GET', KEYS[5])

if host and machine ~= '' and host ~= machine then
    return { -2 }
end

first, count = tonumber(first), tonumber(count)

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local address = redis.call('HGET', KEYS[3], id)

if not address then
    local used = redis.call('HLEN', KEYS[3])

    if used >= tonumber(most) or used >= count then
        return { -1 }
    end

    -- Round robin: an address rests as long as possible before it is reused.
    -- A long run of taken addresses must not keep Redis busy: the next call
    -- goes on where this one gave up.
    local tries = 0

    repeat
        tries = tries + 1

        if tries > 1000 then
            return { -1 }
        end

        address = first + redis.call('INCR', KEYS[4]) % count
    until redis.call('HSETNX', KEYS[2], address, id) == 1

    redis.call('HSET', KEYS[3], id, address)
end

local last = now + tonumber(lease_ms)

redis.call('ZADD', KEYS[1], last, id)

return { tonumber(address), last }
