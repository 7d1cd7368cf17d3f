-- Claims a snapshot: for its deletion by a client, or, due on the agenda, to
-- settle what an operation has left.
--
-- KEYS  1 snapshot
-- Gives {"none"}, {"deleted"}, {"ready"} (there is nothing to be settled),
--       {"in_use", id of a sandbox that lives on it}, {"wait", until ms}
--       (another operation has it, or has its source), {"elsewhere", node}
--       (that node's agenda is to do it) or {"claimed", fence, state, id of
--       the source, 1 if that is kept busy}.
--
-- A snapshot that is being deleted gets no new lives: they are looked for here,
-- and reserve.lua adds one in the same step in which it checks the state.

local id,
      by_tenant,     -- delete by a client, or "": due on the agenda
      owner, lease_ms,
      self,          -- this node
      record_prefix, -- of sandbox records
      living,        -- states of a sandbox that lives
      most_tries     -- to undo its taking, with its source kept busy
      = unpack(ARGV)

local record = redis.call('HMGET', KEYS[1], 'state', 'tenant', 'kind', 'node',
                          'lease_at', 'sandbox_id', 'tries')
local state, node = record[1], record[4]
local due = by_tenant == ''

if not state then
    return { 'none' }
end

if not due and (record[2] ~= by_tenant or record[3] ~= 'reusable'
                or state == 'taking')
then
    return { 'none' }
end

if state == 'deleted' then
    return { due and 'none' or 'deleted' }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = tonumber(lease_ms)

if state == 'ready' then
    if due then
        return { 'ready' }
    end

    -- any of them will do: as a rule the first one lives
    local lives = KEYS[1] .. ':lives'
    local life = redis.call('SRANDMEMBER', lives)

    while life do
        local is = redis.call('HGET', record_prefix .. life, 'state')

        if is and string.find(living, ' ' .. is .. ' ', 1, true) then
            return { 'in_use', life }
        end

        redis.call('SREM', lives, life)
        life = redis.call('SRANDMEMBER', lives)
    end

elseif tonumber(record[5] or 0) > now then
    return { 'wait', record[5] }
end

local ours = node == self
local source = record_prefix .. record[6]
local is = redis.call('HMGET', source, 'state', 'busy_by', 'busy_until',
                      'lease_at')

-- Undoing the taking touches the source, so no other operation may have it.
if ours and state == 'taking' then
    local at = 0

    if is[1] == 'hibernating' then
        at = tonumber(is[4] or 0)

    elseif is[1] == 'running' and is[2] ~= id then
        at = tonumber(is[3] or 0)
    end

    if at > now then
        return { 'wait', math.min(at, now + lease) }
    end

    -- A hibernation whose worker has died waits until this claim has run out.
    if is[1] == 'hibernating' then
        redis.call('HSET', source, 'busy_by', id, 'busy_until', now + lease)
    end

    -- until when renew.lua keeps the source: a thread may hang
    redis.call('HSET', KEYS[1], 'settle_until', now + 10 * lease)
end

if state == 'ready' then
    state = 'deleting'
end

local fence = redis.call('HINCRBY', KEYS[1], 'fence', 1)

redis.call('HSET', KEYS[1], 'state', state, 'owner', ours and owner or '',
           'lease_at', ours and now + lease or 0)

if not ours then
    return { 'elsewhere', node }
end

-- The source is busy until this claim has run out, unless it does not run, is
-- busy for another operation, or the settling was tried too often.  A worker
-- that dies at it has tried; see snapshot_end.lua, too.
local held = state == 'taking' and is[1] == 'running'
             and (not is[2] or is[2] == id)
             and tonumber(record[7] or 0) < tonumber(most_tries)

if held then
    redis.call('HSET', source, 'busy_by', id, 'busy_until', now + lease)
    redis.call('HINCRBY', KEYS[1], 'tries', 1)
end

return { 'claimed', fence, state, record[6], held and 1 or 0 }
