-- Claims a sandbox for its destruction.
--
-- KEYS  1 record
-- Gives {"none"}, {"destroyed"}, {"conflict", state}, {"wait", until ms,
--       state} (another operation has it, or its deadline has not come),
--       {"elsewhere", node} (that node's agenda is to do it), {"alias", id}
--       (it is one of id, or what the sandbox id is being resumed as),
--       {"hibernate", tenant} (at its deadline it hibernates),
--       {"idle"} (it has no business on an agenda), {"unplaced", node} (it is
--       paused and must be put on that node's agenda first) or {"claimed",
--       fence, 1 if its creator may still be at work, 1 if no operation was at
--       work, its snapshot or "", its own checkpoint or "", the sandbox that a
--       fork was being taken of or ""}.
--
-- The claim of a creating sandbox fences its creator off, whose commit then
-- fails.  A DELETE may come while that creator waits for a thread: hold_at of
-- the record, and then of the tombstone, keeps address and agenda entry until
-- the creator has given up, see abandon.lua.

local id,
      by_tenant,    -- delete by a client, or "": due on the agenda
      owner, lease_ms, channel,
      index_prefix, -- of the tenant index
      allowed,      -- states of the record
      new_state,
      self,         -- this node
      creator_ms,   -- for which a creator that is fenced off may still work
      placed        -- 1 if its node's agenda is sure to have it, else 0
      = unpack(ARGV)

local record = redis.call('HMGET', KEYS[1], 'state', 'tenant', 'lease_at',
                          'timeout_at', 'idem', 'hold_at', 'node',
                          'created_at', 'next', 'timeout_action', 'busy_until',
                          'snapshot_id', 'checkpoint', 'resume_of', 'fork_of',
                          'member')
local state, tenant, node = record[1], record[2], record[7] or self
local member = record[16]
local creating = state == 'creating' or state == 'warming'

if not state or (by_tenant ~= '' and (by_tenant ~= tenant or member)) then
    return { 'none' }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = by_tenant == ''
local hold = tonumber(record[6] or 0)

if state == 'destroyed' and due and hold > now then
    return { 'wait', hold, state }
end

if state == 'destroyed' then
    return { 'destroyed' }
end

if due and (state == 'paused' or state == 'resuming' or state == 'resumed') then
    return { 'idle' }
end

if state == 'resumed' then
    return { 'alias', record[9] }
end

local prefix = string.sub(KEYS[1], 1, -#id - 1)

if state == 'creating' and not due and record[14]
   and redis.call('HGET', prefix .. record[14], 'next') == id
then
    -- a DELETE waits as for the paused one, and ends what comes of it
    return { 'alias', record[14] }
end

if state == 'resuming' then
    -- wait until its new execution runs or has failed
    return { 'wait', now + tonumber(lease_ms), state }
end

if state == 'paused' and placed == '0' then
    return { 'unplaced', node }
end

if not string.find(allowed, ' ' .. state .. ' ', 1, true) then
    return { 'conflict', state }
end

local interrupted = creating or state == new_state
local ours = due or node == self
local at = 0

if state == new_state then
    if not ours then
        return { 'elsewhere', node }
    end

    at = tonumber(record[3] or 0)

elseif state == 'hibernating' or due and creating then
    at = tonumber(record[3] or 0)

elseif due then
    at = tonumber(record[4] or 0)
end

if state == 'running' then
    at = math.max(at, tonumber(record[11] or 0))
end

-- It is to be a fork, and the checkpoint of its source may be in the making.
local source = record[15] and redis.call('HMGET', prefix .. record[15],
                                         'busy_by', 'state', 'lease_at')
local taking = source and source[1] == id

if taking and state == 'creating' then
    at = tonumber(record[3] or 0)
end

if taking and source[2] == 'hibernating' then
    -- the source was busy beyond its bound, and is being hibernated now
    at = math.max(at, tonumber(source[3] or 0))
end

if at > now then
    return { 'wait', at, state }
end

if due and (state == 'hibernating'
            or state == 'running' and record[10] == 'hibernate')
then
    return { 'hibernate', tenant }
end

local fence = redis.call('HINCRBY', KEYS[1], 'fence', 1)

redis.call('HSET', KEYS[1], 'state', new_state, 'owner', ours and owner or '',
           'lease_at', ours and now + tonumber(lease_ms) or 0)

if member then
    -- it is in no index of the tenant: only its pool's sets change
    if redis.call('ZREM', member .. ':warming', id) == 1 then
        redis.call('ZADD', member .. ':failed', now, id)

    elseif redis.call('ZREM', member .. ':ready', id)
           + redis.call('ZREM', member .. ':old', id) > 0
    then
        redis.call('ZADD', member .. ':expired', now, id)
    end

else
    redis.call('ZREM', index_prefix .. tenant, id)
    redis.call('ZADD', index_prefix .. tenant .. ':destroyed', record[8] or 0,
               id)
end

if state == 'creating' and record[5]
   and redis.call('HGET', record[5], 'id') == id
then
    redis.call('DEL', record[5])

    if not due then
        -- who waits with the same key is not to make what was just deleted
        redis.call('PUBLISH', channel,
                   id .. ' failed transition_in_progress')
    end
end

-- As in abandon.lua: the paused sandbox that was to be resumed is paused again.
if record[14] and redis.call('HGET', prefix .. record[14], 'next') == id then
    redis.call('HSET', prefix .. record[14], 'state', 'paused')
    redis.call('HDEL', prefix .. record[14], 'next')
    redis.call('PUBLISH', channel, record[14] .. ' paused')
end

if record[14] then
    -- the checkpoint it was to start from still belongs to the paused sandbox
    redis.call('HDEL', KEYS[1], 'checkpoint', 'resume_of')
    record[13] = false
end

if state == 'creating' and not due then
    hold = now + tonumber(creator_ms)
    redis.call('HSET', KEYS[1], 'hold_at', hold)
end

redis.call('PUBLISH', channel, id .. ' ' .. new_state)

if not ours then
    return { 'elsewhere', node }
end

if taking then
    redis.call('HSET', prefix .. record[15], 'busy_until',
               now + tonumber(lease_ms))

    -- until when renew.lua keeps the source: a thread may hang
    redis.call('HSET', KEYS[1], 'settle_until', now + 10 * lease_ms)
end

return { 'claimed', fence, hold > now and 1 or 0, interrupted and 0 or 1,
         record[12] or '', record[13] or '', taking and record[15] or '' }
