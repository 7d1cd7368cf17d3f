-- The rival of scripts/bench/proxy: from a host name to the address of a guest,
-- written for nginx's Lua module as one would: a shared dictionary in front of
-- Redis with a ttl of 60 s, a pool of kept connections to Redis, the token
-- compared, taken off, and the address given to the balancer.

local balancer = require "ngx.balancer"
local cjson = require "cjson"
local redis = require "nginx.redis"

local M = {}

local SOCKET = "unix:/run/redis/redis-server.sock"
local HEADER = "X-Nullspace-Traffic-Access-Token"
local routes = ngx.shared.routes


local function fail(status, code, message)
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    ngx.say(cjson.encode({ error = message, code = code,
                           request_id = ngx.ctx.id }))
    return ngx.exit(status)
end


local function read(id)
    local red = redis:new()

    red:set_timeouts(1000, 1000, 1000)

    if not red:connect(SOCKET) then
        return nil
    end

    local v = red:hmget("sbx:{" .. string.sub(id, 4, 5) .. "}:sandbox:" .. id,
                        "state", "address", "public_traffic", "traffic_token")

    red:set_keepalive(60000, 64)

    if not v or v[1] ~= "running" then
        return nil
    end

    local n = tonumber(v[2])
    local address = string.format("%d.%d.%d.%d", math.floor(n / 16777216),
                                  math.floor(n / 65536) % 256,
                                  math.floor(n / 256) % 256, n % 256)

    return address .. " " .. (v[3] == "1" and "" or v[4])
end


-- Equal or not after the same time for any two texts of one length.
local function same(a, b)
    local differ = 0

    if #a ~= #b then
        return false
    end

    for i = 1, #a do
        differ = bit.bor(differ, bit.bxor(string.byte(a, i),
                                          string.byte(b, i)))
    end

    return differ == 0
end


function M.access()
    ngx.ctx.id = "req_" .. string.sub(ngx.var.request_id, 17)

    local port, id = string.match(string.lower(ngx.var.host),
                                  "^(%d+)%-(sb[-_][a-z2-7]+)%.")

    if not port or #id ~= 23 then
        return fail(404, "sandbox_not_found", "There is no such sandbox.")
    end

    port = tonumber(port)

    if port > 65535 or port == 22 or (port >= 5900 and port <= 5999) then
        return fail(403, "port_not_allowed", "This port is not reachable.")
    end

    id = "sb_" .. string.sub(id, 4)

    local route = routes:get(id)

    if not route then
        route = read(id)

        if not route then
            return fail(404, "sandbox_not_found", "There is no such sandbox.")
        end

        routes:set(id, route, 60)
    end

    local address, token = string.match(route, "^(%S+) (.*)$")

    if token ~= "" then
        local shown = ngx.req.get_headers()[HEADER]

        if type(shown) ~= "string" or not same(shown, token) then
            return fail(403, "traffic_token_invalid", "The token is wrong.")
        end
    end

    ngx.req.clear_header(HEADER)
    ngx.ctx.address = address
    ngx.ctx.port = port
end


function M.balance()
    assert(balancer.set_current_peer(ngx.ctx.address, ngx.ctx.port))
end


function M.header()
    ngx.header["X-Request-Id"] = ngx.ctx.id
end


return M
