-- Moves the deadline of a sandbox to a time from now.
--
-- KEYS  1 record
-- ARGV  1 id  2 tenant  3 timeout ms  4 action at the deadline, "" to keep it
--       5 states it is allowed in  6 state it leads to  7... fields
-- Gives {"none"}, {"alias", id} (it is one of id), {"conflict", state},
--       {"resumes"} (with auto_resume it cannot be destroyed at the deadline)
--       or {"moved", deadline, node or "", {id, value...}}.  Only "moved"
--       changes the record; a sandbox that is being destroyed stays so.

local record = redis.call('HMGET', KEYS[1], 'state', 'tenant', 'node', 'next',
                          'auto_resume', 'member')
local state = record[1]

if not state or record[2] ~= ARGV[2] or state == 'destroying'
   or state == 'destroyed' or record[6]
then
    return { 'none' }
end

if state == 'resumed' then
    return { 'alias', record[4] }
end

if record[5] == '1' and ARGV[4] == 'destroy' then
    return { 'resumes' }
end

if not string.find(ARGV[5], ' ' .. state .. ' ', 1, true) then
    return { 'conflict', state }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = now + tonumber(ARGV[3])

redis.call('HSET', KEYS[1], 'state', ARGV[6], 'timeout_ms', ARGV[3],
           'timeout_at', deadline)

if ARGV[4] ~= '' then
    redis.call('HSET', KEYS[1], 'timeout_action', ARGV[4])
end

local row = redis.call('HMGET', KEYS[1], unpack(ARGV, 7))
table.insert(row, 1, ARGV[1])

return { 'moved', deadline, record[3] or '', row }
