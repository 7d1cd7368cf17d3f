-- Reads a page of a tenant's list of sandboxes or snapshots, newest first: the
-- rows after a position in the order of creation time and id.
--
-- KEYS  the indexes to read, which are merged
-- Gives {1 if more may follow or 0, creation time and id of the last record
--       looked at, how many were looked at, {{id, value...}...}}.
--
-- The id of the position may be gone.  The position is found in logarithmic
-- time, so a page in the middle costs what the first one does.  Ids whose
-- record is gone are skipped.

local record_prefix,
      at,          -- creation time of the position, "" for the begin
      after,       -- id of the position
      most_rows,
      most_looks,  -- ids looked at
      most_bytes,  -- of rows; the last row may exceed it
      states,      -- wanted, each between spaces
      value,       -- wanted, or ""
      field,       -- that must have the value, or
      other_field  -- that must have it
      -- and from the 11th on: fields
      = unpack(ARGV)

most_rows, most_looks = tonumber(most_rows), tonumber(most_looks)
most_bytes = tonumber(most_bytes)

local fields = { unpack(ARGV, 11) }

-- The number of ids in an index that stand before or at the position.
local function passed(index)
    if at == '' then
        return 0
    end

    local rank = redis.call('ZREVRANK', index, after)

    if rank then
        return rank + 1
    end

    -- ids that are newer; then those of the same time, which are in id order
    local low = redis.call('ZCOUNT', index, '(' .. at, '+inf')
    local high = redis.call('ZCOUNT', index, at, '+inf')

    while low < high do
        local middle = math.floor((low + high) / 2)

        if redis.call('ZREVRANGE', index, middle, middle)[1] > after then
            low = middle + 1
        else
            high = middle
        end
    end

    return low
end

local queues = {}

for i, index in ipairs(KEYS) do
    local start = passed(index)

    queues[i] = { first = 1, ids = redis.call('ZREVRANGE', index, start,
                                              start + most_looks,
                                              'WITHSCORES') }
end

-- The queue whose first id is the newest, or nil.
local function newest()
    local best, best_id, best_time

    for _, queue in ipairs(queues) do
        local id = queue.ids[queue.first]
        local time = tonumber(queue.ids[queue.first + 1])

        if id and (not best or time > best_time
                   or time == best_time and id > best_id)
        then
            best, best_id, best_time = queue, id, time
        end
    end

    return best
end

local rows, looks, bytes = {}, 0, 0
local queue = newest()

while queue and #rows < most_rows and looks < most_looks
      and bytes < most_bytes
do
    after, at = queue.ids[queue.first], queue.ids[queue.first + 1]
    queue.first = queue.first + 2
    looks = looks + 1

    local key = record_prefix .. after
    local found = redis.call('HMGET', key, 'state', field, other_field)

    if found[1] and string.find(states, ' ' .. found[1] .. ' ', 1, true)
       and (value == '' or found[2] == value or found[3] == value)
    then
        local row = redis.call('HMGET', key, unpack(fields))

        for _, cell in ipairs(row) do
            bytes = bytes + (cell and #cell or 0)
        end

        table.insert(row, 1, after)
        rows[#rows + 1] = row
    end

    queue = newest()
end

return { queue and 1 or 0, at, after, looks, rows }
