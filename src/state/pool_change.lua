-- Changes a warm pool.
--
-- KEYS  1 pool  2 pools of the tenant  3 their names
-- Gives {"none"}, {"taken", id} (pool id has the name), {"invalid", member}
--       (its value contradicts another field; nothing is changed) or
--       {"changed", node}.

local id,
      new_state, -- "" to keep it
      new_name   -- "" to keep it
      -- and from the 4th on: fields and values
      = unpack(ARGV)

if not redis.call('ZSCORE', KEYS[2], id) then
    return { 'none' }
end

local old = redis.call('HMGET', KEYS[1], 'name', 'node', 'state', 'min_ready',
                       'max_ready', 'version_policy', 'track_tag')
local value = { min_ready = old[4], max_ready = old[5],
                version_policy = old[6], track_tag = old[7] }

local given = {}

for i = 4, #ARGV, 2 do
    value[ARGV[i]] = ARGV[i + 1]
    given[ARGV[i]] = true
end

if tonumber(value.max_ready) < tonumber(value.min_ready) then
    return { 'invalid', 'max_ready' }
end

local tracks = value.version_policy == 'track_tag'

if tracks and (value.track_tag or '') == '' or given.track_tag and not tracks
then
    return { 'invalid', 'track_tag' }
end

local taken = new_name ~= '' and redis.call('HGET', KEYS[3], new_name)

if taken and taken ~= id then
    return { 'taken', taken }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local state = new_state ~= '' and new_state or old[3]

if new_name ~= '' then
    redis.call('HDEL', KEYS[3], old[1])
    redis.call('HSET', KEYS[3], new_name, id)
    redis.call('HSET', KEYS[1], 'name', new_name)
end

-- a request of the client ends the back-off after failures
redis.call('HDEL', KEYS[1], 'retry_at', 'failures')
redis.call('HSET', KEYS[1], 'state', state, 'updated_at', now,
           'target', state == 'enabled' and value.min_ready or 0,
           unpack(ARGV, 4))

if not tracks then
    redis.call('HSET', KEYS[1], 'track_tag', '') -- as of one that never did
end

return { 'changed', old[2] }
