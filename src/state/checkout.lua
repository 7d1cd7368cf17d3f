-- Hands a member of a warm pool to a create, in one step: the member leaves
-- the pool for good, gets its owner, record, deadline and place in the tenant's
-- index, and the answer is kept for replays.
--
-- KEYS  1 pool  2 tenant index  3 idempotency key
-- Gives {"hit", id, answer}, {"miss", why, template, vcpus, memory_mb, disk_mb,
--       why the pool is short of members or "", its track_tag or ""}, {"none"}
--       (no such pool of the tenant), {"skew", time (ms)} (the caller's clock
--       is wrong), or what HMGET gives of the key that is taken: {fingerprint,
--       state, status, answer, id}.

local fingerprint, -- of the request
      pool_id,
      self,        -- this node
      asked_at,    -- ms, by the caller's clock
      unpoolable,  -- member of the request that forbids a pooled one, or ""
      -- the shape that is asked for, "" and 0 for what is left open
      template, vcpus, memory_mb, disk_mb,
      retention_ms, channel,
      allowed,     -- states of the member
      new_state,
      answer_rest  -- the answer from created_at on
      -- and from the 15th on: fields and values of the record
      = unpack(ARGV)

local idem = redis.call('HMGET', KEYS[3], 'fingerprint', 'state', 'status',
                        'answer', 'id')

if idem[1] then
    return idem
end

local pool = redis.call('HMGET', KEYS[1], 'state', 'node', 'template', 'vcpus',
                        'memory_mb', 'disk_mb', 'head', 'checkout_policy',
                        'tenant', 'reason', 'lease_at', 'track_tag', 'redis_run')

-- the tenant's name stands in the index key, behind the hash tag
if not pool[1] or pool[1] == 'deleted'
   or string.match(KEYS[2], '^[^{]*{[^}]*}:tenant:(.*)$') ~= pool[9]
then
    return { 'none' }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if math.abs(now - asked_at) > 1000 then
    return { 'skew', now }
end

local function miss(why)
    return { 'miss', why, pool[3], pool[4], pool[5], pool[6],
             pool[10] or '', pool[12] or '' }
end

if unpoolable ~= '' then
    return miss(unpoolable)
end

local shape = { 'template', 'vcpus', 'memory_mb', 'disk_mb' }

for i, asked in ipairs({ template, vcpus, memory_mb, disk_mb }) do
    if asked ~= '' and asked ~= '0' and asked ~= pool[2 + i] then
        return miss(shape[i])
    end
end

if pool[1] ~= 'enabled' then
    return miss(pool[1])
end

-- Only the node that has the pool hands out members.  When its lease is over,
-- the asking node may take the pool, and then makes members of its own.
if pool[2] ~= self then
    return miss(tonumber(pool[11] or 0) > now and 'no_eligible_hosts'
                or 'empty')
end

-- Redis was restarted, or failed over, since the pool was tended.  It may have
-- forgotten that a member was handed out: pool_tend.lua ends them all.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''

if pool[13] ~= run then
    return miss('empty')
end

local records = string.gsub(string.sub(KEYS[1], 1, -#pool_id - 1),
                            ':pool:$', ':sandbox:')
local pop = pool[8] == 'newest_first' and 'ZPOPMAX' or 'ZPOPMIN'

for _, name in ipairs({ ':ready', ':old' }) do
    local id = redis.call(pop, KEYS[1] .. name)[1]

    while id do
        local record = redis.call('HMGET', records .. id, 'state',
                                  'timeout_at')

        if record[1] and tonumber(record[2] or 0) > now
           and string.find(allowed, ' ' .. record[1] .. ' ', 1, true)
        then
            local answer = '{"id":"' .. id .. '",' .. pool[7] .. ','
                           .. answer_rest

            redis.call('HSET', records .. id, 'state', new_state,
                       'claimed_from', KEYS[1], unpack(ARGV, 15))
            redis.call('HDEL', records .. id, 'member', 'pool_version',
                       'pool_fence', 'ready_at', 'checked_at')
            redis.call('ZADD', KEYS[2], asked_at, id)
            redis.call('ZADD', KEYS[1] .. ':claimed', now, id)
            redis.call('HSET', KEYS[1], 'last_claim', now)
            redis.call('HSET', KEYS[3], 'fingerprint', fingerprint,
                       'state', 'done', 'status', 201, 'answer', answer,
                       'id', id)
            redis.call('PEXPIRE', KEYS[3], retention_ms)
            redis.call('PUBLISH', channel, id .. ' ' .. new_state)

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
