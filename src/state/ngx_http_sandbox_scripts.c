/*
 * The Lua scripts, compiled in from sandbox_scripts.h (made by the build from
 * the .lua files, see config.make), and their SHA-1 for EVALSHA.
 */

#include "ngx_http_sandbox_scripts.h"

#include "sandbox_scripts.h"

#include <ngx_sha1.h>

#define NGX_HTTP_SANDBOX_SCRIPT_DEFINE(name)                                   \
    ngx_http_sandbox_script_t ngx_http_sandbox_lua_##name = {                  \
        #name, sandbox_lua_##name, sizeof(sandbox_lua_##name), ""              \
    };

NGX_HTTP_SANDBOX_SCRIPTS(NGX_HTTP_SANDBOX_SCRIPT_DEFINE)

#define NGX_HTTP_SANDBOX_SCRIPT_ADDRESS(name) &ngx_http_sandbox_lua_##name,

static ngx_http_sandbox_script_t *const ngx_http_sandbox_scripts[] = {
    NGX_HTTP_SANDBOX_SCRIPTS(NGX_HTTP_SANDBOX_SCRIPT_ADDRESS)
};


void
ngx_http_sandbox_scripts_init(void)
{
    u_char digest[20];
    ngx_sha1_t sha1;
    ngx_uint_t i;
    ngx_http_sandbox_script_t *script;

    for (i = 0; i < sizeof(ngx_http_sandbox_scripts)
                        / sizeof(ngx_http_sandbox_scripts[0]);
         i++)
    {
        script = ngx_http_sandbox_scripts[i];

        ngx_sha1_init(&sha1);
        ngx_sha1_update(&sha1, script->body, script->len);
        ngx_sha1_final(digest, &sha1);

        *ngx_hex_dump((u_char *) script->sha, digest, sizeof(digest)) = '\0';
    }
}
