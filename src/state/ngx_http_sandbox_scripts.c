/*
 * The Lua scripts, compiled in from sandbox_scripts.h (made by the build from
 * the .lua files, see config.make), and their SHA-1 for EVALSHA.
 */

#include "ngx_http_sandbox_scripts.h"

#include "sandbox_scripts.h"

#include <ngx_sha1.h>

#define NGX_HTTP_SANDBOX_LUA(name)                                             \
    ngx_http_sandbox_script_t ngx_http_sandbox_lua_##name = {                  \
        #name, sandbox_lua_##name, sizeof(sandbox_lua_##name), ""              \
    }

NGX_HTTP_SANDBOX_LUA(abandon);
NGX_HTTP_SANDBOX_LUA(admit);
NGX_HTTP_SANDBOX_LUA(adopt);
NGX_HTTP_SANDBOX_LUA(bury);
NGX_HTTP_SANDBOX_LUA(checkout);
NGX_HTTP_SANDBOX_LUA(claim);
NGX_HTTP_SANDBOX_LUA(commit);
NGX_HTTP_SANDBOX_LUA(due);
NGX_HTTP_SANDBOX_LUA(free);
NGX_HTTP_SANDBOX_LUA(hibernate);
NGX_HTTP_SANDBOX_LUA(lead);
NGX_HTTP_SANDBOX_LUA(list);
NGX_HTTP_SANDBOX_LUA(lose);
NGX_HTTP_SANDBOX_LUA(network_claim);
NGX_HTTP_SANDBOX_LUA(network_commit);
NGX_HTTP_SANDBOX_LUA(paused);
NGX_HTTP_SANDBOX_LUA(pool_change);
NGX_HTTP_SANDBOX_LUA(pool_create);
NGX_HTTP_SANDBOX_LUA(pool_delete);
NGX_HTTP_SANDBOX_LUA(pool_failed);
NGX_HTTP_SANDBOX_LUA(pool_read);
NGX_HTTP_SANDBOX_LUA(pool_ready);
NGX_HTTP_SANDBOX_LUA(pool_reserve);
NGX_HTTP_SANDBOX_LUA(pool_tend);
NGX_HTTP_SANDBOX_LUA(pool_unfit);
NGX_HTTP_SANDBOX_LUA(release);
NGX_HTTP_SANDBOX_LUA(renew);
NGX_HTTP_SANDBOX_LUA(reserve);
NGX_HTTP_SANDBOX_LUA(resume);
NGX_HTTP_SANDBOX_LUA(schedule);
NGX_HTTP_SANDBOX_LUA(snapshot_claim);
NGX_HTTP_SANDBOX_LUA(snapshot_commit);
NGX_HTTP_SANDBOX_LUA(snapshot_end);
NGX_HTTP_SANDBOX_LUA(snapshot_reserve);
NGX_HTTP_SANDBOX_LUA(timeout);
NGX_HTTP_SANDBOX_LUA(unschedule);


void
ngx_http_sandbox_scripts_init(void)
{
    u_char digest[20];
    ngx_sha1_t sha1;
    ngx_uint_t i;
    ngx_http_sandbox_script_t *all[] = {
        &ngx_http_sandbox_lua_adopt,
        &ngx_http_sandbox_lua_lead,
        &ngx_http_sandbox_lua_lose,
        &ngx_http_sandbox_lua_abandon,
        &ngx_http_sandbox_lua_admit,
        &ngx_http_sandbox_lua_bury,
        &ngx_http_sandbox_lua_claim,
        &ngx_http_sandbox_lua_commit,
        &ngx_http_sandbox_lua_due,
        &ngx_http_sandbox_lua_list,
        &ngx_http_sandbox_lua_release,
        &ngx_http_sandbox_lua_renew,
        &ngx_http_sandbox_lua_reserve,
        &ngx_http_sandbox_lua_timeout,
        &ngx_http_sandbox_lua_free,
        &ngx_http_sandbox_lua_hibernate,
        &ngx_http_sandbox_lua_network_claim,
        &ngx_http_sandbox_lua_network_commit,
        &ngx_http_sandbox_lua_paused,
        &ngx_http_sandbox_lua_resume,
        &ngx_http_sandbox_lua_schedule,
        &ngx_http_sandbox_lua_snapshot_claim,
        &ngx_http_sandbox_lua_snapshot_commit,
        &ngx_http_sandbox_lua_snapshot_end,
        &ngx_http_sandbox_lua_snapshot_reserve,
        &ngx_http_sandbox_lua_checkout,
        &ngx_http_sandbox_lua_pool_change,
        &ngx_http_sandbox_lua_pool_create,
        &ngx_http_sandbox_lua_pool_delete,
        &ngx_http_sandbox_lua_pool_failed,
        &ngx_http_sandbox_lua_pool_read,
        &ngx_http_sandbox_lua_pool_ready,
        &ngx_http_sandbox_lua_pool_reserve,
        &ngx_http_sandbox_lua_pool_tend,
        &ngx_http_sandbox_lua_pool_unfit,
        &ngx_http_sandbox_lua_unschedule,
    };

    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        ngx_sha1_init(&sha1);
        ngx_sha1_update(&sha1, all[i]->body, all[i]->len);
        ngx_sha1_final(digest, &sha1);

        *ngx_hex_dump((u_char *) all[i]->sha, digest, sizeof(digest)) = '\0';
    }
}
