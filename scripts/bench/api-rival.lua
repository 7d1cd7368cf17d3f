-- The rival of scripts/bench/api: what src/api does for GET /v1/sandboxes/{id}
-- and for a replay of POST /v1/sandboxes, written for nginx's Lua module as
-- one would: keys by SHA-256 with a cache of 5 s, a pool of kept connections
-- to Redis, the same headers and the same bytes.

local cjson = require "cjson"
local lrucache = require "resty.lrucache"
local redis = require "nginx.redis"
local sha256 = require "nginx.sha256"
local to_hex = require("nginx.string").to_hex

local M = {}

local SOCKET = "unix:/run/redis/redis-server.sock"
local keys = assert(lrucache.new(1024))
local names = { creating = "creating", running = "running", paused = "paused" }


local function digest(text)
    local sha = sha256:new()

    sha:update(text)
    return to_hex(sha:final())
end


-- Calls a function with a connection of the pool; its results.
local function with_redis(call)
    local red = redis:new()

    red:set_timeouts(1000, 1000, 1000)

    if not red:connect(SOCKET) then
        return nil
    end

    local result = call(red)

    if result then
        red:set_keepalive(60000, 64)
    end

    return result
end


local function answer(status, body)
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Content-Length"] = #body
    ngx.header["X-Request-Id"] = "req_" .. string.sub(ngx.var.request_id, 17)
    ngx.print(body)
    return ngx.exit(status)
end


local function fail(status, code, message)
    return answer(status, cjson.encode({ error = message, code = code }))
end


local function tenant_of(authorization)
    local key = authorization and string.match(authorization, "^Bearer +(%S+)$")

    if not key then
        return nil
    end

    local sha = digest(key)
    local tenant = keys:get(sha)

    if not tenant then
        tenant = with_redis(function(red)
            return red:hget("sbx:key:" .. sha, "tenant")
        end)

        if not tenant or tenant == ngx.null then
            return nil
        end

        keys:set(sha, tenant, 5)
    end

    return tenant
end


local function time(ms)
    ms = tonumber(ms)
    return os.date("!%Y-%m-%dT%H:%M:%S", math.floor(ms / 1000))
           .. string.format(".%03dZ", ms % 1000)
end


local function object(id, v)
    local timeout = time(v[10])

    return table.concat({
        '{"id":"', id, '","status":"', names[v[2]] or "error",
        '","config":{"vcpus":', v[4], ',"memory_mb":', v[5], ',"disk_mb":',
        v[6], '},"template":', cjson.encode(v[3]), ',"created_at":"',
        time(v[7]), '","metadata":', v[11], ',"started_at":"', time(v[8]),
        '","timeout_ms":', v[9], ',"timeout_at":"', timeout,
        '","expires_at":"', timeout, '","timeout_action":"destroy"',
        v[12] ~= ngx.null and ',"cwd":' .. cjson.encode(v[12]) or "", "}",
    })
end


function M.get()
    local tenant = tenant_of(ngx.var.http_authorization)

    if not tenant then
        return fail(401, "unauthorized", "A valid API key is required.")
    end

    local id = string.match(ngx.var.uri, "^/v1/sandboxes/(sb_[a-z0-9]+)$")
    local v = id and with_redis(function(red)
        return red:hmget("sbx:{" .. string.sub(id, 4, 5) .. "}:sandbox:" .. id,
                         "tenant", "state", "template", "vcpus", "memory_mb",
                         "disk_mb", "created_at", "started_at", "timeout_ms",
                         "timeout_at", "metadata", "cwd", "address",
                         "execution", "agent_token")
    end)

    if not v then
        return fail(503, "state_store_unavailable", "No answer.")
    end

    if v[1] ~= tenant then
        return fail(404, "sandbox_not_found", "There is no such sandbox.")
    end

    return answer(200, object(id, v))
end


-- Equal for equal JSON values, whatever the order of members.
local function canonical(value, out)
    if type(value) ~= "table" then
        out[#out + 1] = cjson.encode(value)
        return out
    end

    local members = {}

    for name in pairs(value) do
        members[#members + 1] = name
    end

    table.sort(members)

    for _, name in ipairs(members) do
        out[#out + 1] = cjson.encode(name)
        canonical(value[name], out)
    end

    return out
end


local function fingerprint()
    ngx.req.read_body()

    local ok, value = pcall(cjson.decode, ngx.req.get_body_data() or "")

    return ok and digest(table.concat(canonical(value, {}), ",")) or nil
end


function M.fingerprint()
    ngx.say(fingerprint())
end


function M.create()
    local tenant = tenant_of(ngx.var.http_authorization)

    if not tenant then
        return fail(401, "unauthorized", "A valid API key is required.")
    end

    local print = fingerprint()
    local key = ngx.var.http_idempotency_key

    if not print or not key then
        return fail(400, "invalid_request", "The request is not valid.")
    end

    local v = with_redis(function(red)
        return red:hmget("rival:idem:" .. tenant .. ":" .. digest(key),
                         "fingerprint", "state", "status", "answer", "id")
    end)

    if not v then
        return fail(503, "state_store_unavailable", "No answer.")
    end

    if v[1] ~= print or v[2] ~= "done" then
        return fail(422, "idempotency_key_reused", "The key was used.")
    end

    ngx.header["Location"] = "/v1/sandboxes/" .. v[5]
    ngx.header["Idempotent-Replayed"] = "true"

    return answer(tonumber(v[3]), v[4])
end


return M
