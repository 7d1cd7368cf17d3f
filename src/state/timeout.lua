-- Moves the deadline of a sandbox to a time from now.
--
-- KEYS  1 record
-- Gives {"none"}, {"alias", id} (it is one of id), {"conflict", state},
--       {"resumes"} (with auto_resume it cannot be destroyed at the deadline)
--       or {"set", deadline, node or "", {id, value...}}.  Only "set"
--       changes the record; a sandbox that is being destroyed stays so.

local id, tenant, timeout_ms,
      action,  -- at the deadline, "" to keep it
      allowed, -- states of the record
      new_state
      -- and from the 7th on: fields to be read
      = unpack(ARGV)

local record = redis.call('HMGET', KEYS[1], 'state', 'tenant', 'node', 'next',
                          'auto_resume', 'member')
local state = record[1]

if not state or record[2] ~= tenant or state == 'destroying'
   or state == 'destroyed' or record[6]
then
    return { 'none' }
end

if state == 'resumed' then
    return { 'alias', record[4] }
end

if record[5] == '1' and action == 'destroy' then
    return { 'resumes' }
end

if not string.find(allowed, ' ' .. state .. ' ', 1, true) then
    return { 'conflict', state }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = now + tonumber(timeout_ms)

redis.call('HSET', KEYS[1], 'state', new_state, 'timeout_ms', timeout_ms,
           'timeout_at', deadline)

if action ~= '' then
    redis.call('HSET', KEYS[1], 'timeout_action', action)
end

local row = redis.call('HMGET', KEYS[1], unpack(ARGV, 7))
table.insert(row, 1, id)

return { 'set', deadline, record[3] or '', row }
