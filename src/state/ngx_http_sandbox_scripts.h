/*
 * The Lua scripts beside this file, by name.  Each script's head says its
 * keys, arguments and result.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_SCRIPTS_H
#define NGX_HTTP_SANDBOX_SCRIPTS_H

#include "ngx_http_sandbox_redis.h"

extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_abandon;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_admit;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_adopt;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_bury;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_claim;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_commit;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_due;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_lead;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_list;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_lose;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_release;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_renew;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_reserve;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_schedule;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_snapshot_claim;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_snapshot_commit;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_snapshot_end;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_snapshot_reserve;
extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_timeout;

/* Fills the digests; from init_process. */
void ngx_http_sandbox_scripts_init(void);

#endif
