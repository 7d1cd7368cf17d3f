-- Hands a member of a warm pool to a create, in one step: the member leaves
-- the pool for good, gets its owner, record, deadline and place in the tenant's
-- index, and the answer is kept for replays.
--
-- KEYS  1 pool  2 tenant index  3 idempotency key
-- ARGV  1 fingerprint of the request  2 id of the pool  3 this node
--       4 time (ms) by the caller's clock  5 member of the request that rules
--       out a pooled sandbox, or ""  6, 7, 8, 9 template, vcpus, memory_mb and
--       disk_mb that are asked for, "" and 0 if none are  10 retention ms
--       11 channel  12 states it is allowed in  13 state it leads to
--       14 the answer from created_at on  15... fields and values of the record
-- Gives {"hit", id, answer}, {"miss", why, template, vcpus, memory_mb, disk_mb,
--       why the pool is short of members or "", its track_tag or ""}, {"none"}
--       (no such pool of the tenant), {"skew", time (ms)} (the caller's clock
--       is wrong), or what HMGET gives of the key that is taken: {fingerprint,
--       state, status, answer, id}.

local idem = redis.call('HMGET', KEYS[3], 'fingerprint', 'state', 'status',
                        'answer', 'id')

if idem[1] then
    return idem
end

local pool = redis.call('HMGET', KEYS[1], 'state', 'node', 'template', 'vcpus',
                        'memory_mb', 'disk_mb', 'head', 'checkout_policy',
                        'tenant', 'reason', 'lease_at', 'track_tag')

-- the tenant's name stands in the index key, behind the hash tag
if not pool[1] or pool[1] == 'deleted'
   or string.match(KEYS[2], '^[^{]*{[^}]*}:tenant:(.*)$') ~= pool[9]
then
    return { 'none' }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if math.abs(now - ARGV[4]) > 1000 then
    return { 'skew', now }
end

local function miss(why)
    return { 'miss', why, pool[3], pool[4], pool[5], pool[6],
             pool[10] or '', pool[12] or '' }
end

if ARGV[5] ~= '' then
    return miss(ARGV[5])
end

for i, name in ipairs({ 'template', 'vcpus', 'memory_mb', 'disk_mb' }) do
    local asked = ARGV[5 + i]

    if asked ~= '' and asked ~= '0' and asked ~= pool[2 + i] then
        return miss(name)
    end
end

if pool[1] ~= 'enabled' then
    return miss(pool[1])
end

-- Only the node that has the pool hands out members.  When its lease is over,
-- the asking node may take the pool, and then makes members of its own.
if pool[2] ~= ARGV[3] then
    return miss(tonumber(pool[11] or 0) > now and 'no_eligible_hosts'
                or 'empty')
end

local records = string.gsub(string.sub(KEYS[1], 1, -#ARGV[2] - 1),
                            ':pool:$', ':sandbox:')
local pop = pool[8] == 'newest_first' and 'ZPOPMAX' or 'ZPOPMIN'

for _, name in ipairs({ ':ready', ':old' }) do
    local id = redis.call(pop, KEYS[1] .. name)[1]

    while id do
        local record = redis.call('HMGET', records .. id, 'state',
                                  'timeout_at')

        if record[1] and tonumber(record[2] or 0) > now
           and string.find(ARGV[12], ' ' .. record[1] .. ' ', 1, true)
        then
            local answer = '{"id":"' .. id .. '",' .. pool[7] .. ','
                           .. ARGV[14]

            redis.call('HSET', records .. id, 'state', ARGV[13],
                       'claimed_from', KEYS[1], unpack(ARGV, 15))
            redis.call('HDEL', records .. id, 'member', 'pool_version',
                       'pool_fence', 'ready_at', 'checked_at')
            redis.call('ZADD', KEYS[2], ARGV[4], id)
            redis.call('ZADD', KEYS[1] .. ':claimed', now, id)
            redis.call('HSET', KEYS[1], 'last_claim', now)
            redis.call('HSET', KEYS[3], 'fingerprint', ARGV[1],
                       'state', 'done', 'status', 201, 'answer', answer,
                       'id', id)
            redis.call('PEXPIRE', KEYS[3], ARGV[10])
            redis.call('PUBLISH', ARGV[11], id .. ' ' .. ARGV[13])

            return { 'hit', id, answer }
        end

        if record[1] then
            redis.call('ZADD', KEYS[1] .. ':expired', now, id)
        end

        id = redis.call(pop, KEYS[1] .. name)[1]
    end
end

redis.call('HSET', KEYS[1], 'last_claim', now)

return miss('empty')
