/*
 * The Lua scripts beside this file, by name.  Each script's head says its keys
 * and result, and lists its arguments in the order in which the caller appends
 * them: one call of ngx_http_sandbox_arg…() for each (arg_transition() appends
 * two, "allowed" and "new_state").  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_SCRIPTS_H
#define NGX_HTTP_SANDBOX_SCRIPTS_H

#include "ngx_http_sandbox_redis.h"

/* X(name), for each script <name>.lua: ngx_http_sandbox_lua_<name> */
#define NGX_HTTP_SANDBOX_SCRIPTS(X)                                            \
    X(abandon)                                                                 \
    X(admit)                                                                   \
    X(adopt)                                                                   \
    X(bury)                                                                    \
    X(checkout)                                                                \
    X(claim)                                                                   \
    X(commit)                                                                  \
    X(due)                                                                     \
    X(free)                                                                    \
    X(hibernate)                                                               \
    X(lead)                                                                    \
    X(list)                                                                    \
    X(lose)                                                                    \
    X(network_claim)                                                           \
    X(network_commit)                                                          \
    X(paused)                                                                  \
    X(pool_change)                                                             \
    X(pool_create)                                                             \
    X(pool_delete)                                                             \
    X(pool_failed)                                                             \
    X(pool_read)                                                               \
    X(pool_ready)                                                              \
    X(pool_reserve)                                                            \
    X(pool_tend)                                                               \
    X(pool_unfit)                                                              \
    X(release)                                                                 \
    X(renew)                                                                   \
    X(reserve)                                                                 \
    X(resume)                                                                  \
    X(schedule)                                                                \
    X(snapshot_claim)                                                          \
    X(snapshot_commit)                                                         \
    X(snapshot_end)                                                            \
    X(snapshot_reserve)                                                        \
    X(timeout)                                                                 \
    X(unschedule)

#define NGX_HTTP_SANDBOX_SCRIPT_EXTERN(name)                                   \
    extern ngx_http_sandbox_script_t ngx_http_sandbox_lua_##name;

NGX_HTTP_SANDBOX_SCRIPTS(NGX_HTTP_SANDBOX_SCRIPT_EXTERN)

#undef NGX_HTTP_SANDBOX_SCRIPT_EXTERN

/* Computes the scripts' SHA-1 digests; called from init_process. */
void ngx_http_sandbox_scripts_init(void);

#endif
