-- Ends a change of the network policy of a sandbox.
--
-- KEYS  1 record
-- Gives {"lost"} (the claim has run out), {"conflict", state}, {"given back"},
--       or {"done", internet access, allow_out, deny_out, public traffic,
--       mask}, "" for what the record does not have.

local id, claim, channel,
      allowed  -- states of the record; "" to give the claim back only
      -- and from the 5th on: fields and values; "" removes the field
      = unpack(ARGV)

local record = redis.call('HMGET', KEYS[1], 'state', 'network_by')
local state = record[1]

if not state or record[2] ~= claim then
    return { 'lost' }
end

redis.call('HDEL', KEYS[1], 'network_by', 'network_until')

if allowed == '' then
    return { 'given back' }
end

if not string.find(allowed, ' ' .. state .. ' ', 1, true) then
    return { 'conflict', state }
end

for i = 5, #ARGV, 2 do
    if ARGV[i + 1] == '' then
        redis.call('HDEL', KEYS[1], ARGV[i])
    else
        redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    end
end

-- Operations that have read the record meanwhile see that it has changed.
redis.call('HINCRBY', KEYS[1], 'network_generation', 1)
redis.call('PUBLISH', channel, id .. ' network')

local now = redis.call('HMGET', KEYS[1], 'internet_access', 'allow_out',
                       'deny_out', 'public_traffic', 'mask_host')

return { 'done', now[1] or '', now[2] or '', now[3] or '', now[4] or '',
         now[5] or '' }
