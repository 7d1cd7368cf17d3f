-- Tends a warm pool: decides which node has it, sorts its members by their
-- records, and tells which have to be destroyed and how many are to be made.
--
-- KEYS  1 pool
-- Gives {"none"}, {"elsewhere", node, end of its lease (ms), 0 if it is over}
--       or {"tend", how many to make, ms until the next look, {ids to be
--       destroyed and their nodes}, {ids to be checked and their addresses},
--       fence, end of the lease (ms), 0 if it was not prolonged, 1 if it was
--       taken from another node, {ready, warming, claimed, draining, failed,
--       expired, target}}.
--
-- One node has the pool, by a lease that its looks prolong.  Another node takes
-- the pool when the lease is over, but only after a time in which the holder
-- may come back (no node could prolong a lease while Redis was away).  A new
-- holder gets a new fence, which makes the operations of the former holder
-- fail; and the members of the former holder go, since they run on its host.
--
-- The members that can be handed out also go when Redis was restarted, or
-- failed over: it may have forgotten that one was.  Redis has another run_id
-- then.
--
-- A member is in one set: warming, ready, old (it may be handed out, but is to
-- be replaced), or, before it is destroyed, draining, expired or failed; a
-- member that was handed out is in claimed.  Scripts move a member together
-- with the state of its record; this one repairs what Redis may have lost.

local pool_id,
      self,     -- this node
      built,    -- version that its template has, "" if there is none
      look_ms,  -- until the next look
      most_warming,
      check_ms, -- after which a ready member is checked again
      most_checks, lease_ms,
      doubt_ms  -- between seeing a lease over and taking the pool
      = unpack(ARGV)

local pool = redis.call('HMGET', KEYS[1], 'state', 'node', 'min_ready',
                        'max_ready', 'last_claim', 'idle_timeout_ms',
                        'stale_after_ms', 'version', 'version_policy',
                        'retry_at', 'reason', 'lease_at', 'fence', 'doubt_at',
                        'failures', 'redis_run')
local state, version = pool[1], pool[8]

-- before anything is written: a user of Redis may not be allowed to ask
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''

if not state or state == 'deleted' then
    return { 'none' }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local holder, fence = pool[2], pool[13]
local lease_at = tonumber(pool[12] or 0)

-- Whether there is a template version that members may be made of.
local artifact = built ~= ''
                 and (pool[9] ~= 'pinned_build' or built == version)

if holder ~= self then
    if lease_at > now then
        return { 'elsewhere', holder, lease_at }
    end

    -- a draining pool needs no template
    if state == 'disabled' or not artifact and state ~= 'draining' then
        return { 'elsewhere', holder, 0 }
    end

    local doubt = redis.call('HSETNX', KEYS[1], 'doubt_at', now) == 0
                  and tonumber(pool[14]) or now

    if now < doubt + tonumber(doubt_ms) then
        return { 'elsewhere', holder, 0 }
    end
end

local records = string.gsub(string.sub(KEYS[1], 1, -#pool_id - 1),
                            ':pool:$', ':sandbox:')
local destroy, check = {}, {}

local function set(name)
    return KEYS[1] .. ':' .. name
end

local function members(name)
    return redis.call('ZRANGE', set(name), 0, -1)
end

local function count(name)
    return redis.call('ZCARD', set(name))
end

local function move(id, from, to)
    redis.call('ZREM', set(from), id)
    redis.call('ZADD', set(to), now, id)
end

local function retire(id, from, to)
    move(id, from, to)
    redis.call('HSET', records .. id, 'timeout_at', now)
end

local function drain(...)
    for _, name in ipairs({ ... }) do
        for _, id in ipairs(members(name)) do
            if redis.call('EXISTS', records .. id) == 1 then
                retire(id, name, 'draining')
            else
                redis.call('ZREM', set(name), id)
            end
        end
    end
end

if holder ~= self or not fence then
    fence = tostring(redis.call('HINCRBY', KEYS[1], 'fence', 1))
end

if holder ~= self then
    redis.call('HSET', KEYS[1], 'node', self)
    redis.call('HDEL', KEYS[1], 'retry_at', 'failures', 'reason', 'reason_at')
    pool[10], pool[11], pool[15] = false, false, false
    drain('ready', 'old', 'warming')
end

if pool[16] ~= run then
    redis.call('HSET', KEYS[1], 'redis_run', run)

    -- a pool of the version before has none
    if pool[16] then
        drain('ready', 'old')
    end
end

-- A holder that cannot make members lets the lease run out; it remains the
-- holder if no other node takes the pool.
local helpless = tonumber(pool[15] or 0) >= 3
                 and count('ready') + count('old') + count('warming') == 0
local prolonged = 0

if (artifact or state == 'draining') and not helpless
   and lease_at < now + 0.8 * lease_ms
then
    prolonged = now + tonumber(lease_ms)
    redis.call('HSET', KEYS[1], 'lease_at', prolonged)
    redis.call('HDEL', KEYS[1], 'doubt_at')
end

if artifact and version ~= built then
    version = built
    redis.call('HSET', KEYS[1], 'version', version)
end

if not artifact then
    redis.call('HSET', KEYS[1], 'reason', 'artifact_not_ready',
               'reason_at', now)
elseif pool[11] == 'artifact_not_ready' then
    redis.call('HDEL', KEYS[1], 'reason', 'reason_at')
end

for _, name in ipairs({ 'ready', 'old' }) do
    for _, id in ipairs(members(name)) do
        local record = redis.call('HMGET', records .. id, 'state',
                                  'pool_version', 'ready_at', 'timeout_at',
                                  'checked_at', 'address')

        if not record[1] then
            redis.call('ZREM', set(name), id)

        elseif record[1] ~= 'pooled' then
            retire(id, name, 'failed')

        elseif tonumber(record[4]) <= now then
            retire(id, name, 'expired')

        else
            -- its replacement is made before its deadline
            if name == 'ready'
               and (record[2] ~= version
                    or record[3] + 0.9 * pool[7] <= now)
            then
                move(id, 'ready', 'old')
            end

            if #check < 2 * most_checks
               and record[5] + check_ms <= now
            then
                redis.call('HSET', records .. id, 'checked_at', now)
                check[#check + 1] = id
                check[#check + 1] = record[6]
            end
        end
    end
end

for _, id in ipairs(members('warming')) do
    local is = redis.call('HGET', records .. id, 'state')

    if not is then
        redis.call('ZREM', set('warming'), id)
    elseif is ~= 'warming' then
        retire(id, 'warming', 'failed')
    end
end

-- There may be any number of claimed members, and bury.lua takes them out of
-- the set: only 20 are looked at here, each once a minute at most.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', set('claimed'), '-inf',
                               now - 60000, 'LIMIT', 0, 20)) do
    local is = redis.call('HGET', records .. id, 'state')

    if not is or is == 'destroyed' then
        redis.call('ZREM', set('claimed'), id)
    else
        redis.call('ZADD', set('claimed'), now, id)
    end
end

-- The wanted number of members: max_ready while the pool is in demand.
local target = 0

if state == 'enabled' then
    local idle = not pool[5] or pool[5] + pool[6] <= now
    local to = idle and 'expired' or 'draining'

    target = tonumber(idle and pool[3] or pool[4])

    for surplus = count('ready') + count('old') - target, 1, -1 do
        local old = redis.call('ZRANGE', set('old'), 0, 0)[1]

        if old then
            retire(old, 'old', 'draining')
        else
            retire(redis.call('ZRANGE', set('ready'), 0, 0)[1], 'ready', to)
        end
    end

elseif state == 'draining' then
    drain('ready', 'old')
end

redis.call('HSET', KEYS[1], 'target', target)

for _, name in ipairs({ 'draining', 'expired', 'failed' }) do
    for _, id in ipairs(members(name)) do
        local node = redis.call('HGET', records .. id, 'node')

        if node then
            destroy[#destroy + 1] = id
            destroy[#destroy + 1] = node
        else
            redis.call('ZREM', set(name), id)
        end
    end
end

local wait = (tonumber(pool[10]) or 0) - now
local following = tonumber(look_ms)
local make = 0

if wait > 0 then
    following = math.min(following, wait)

elseif artifact then
    make = math.max(0, math.min(target - count('ready') - count('warming'),
                                most_warming - count('warming')))
end

return { 'tend', make, following, destroy, check, tonumber(fence), prolonged,
         holder == self and 0 or 1,
         { count('ready') + count('old'), count('warming'), count('claimed'),
           count('draining'), count('failed'), count('expired'), target } }
