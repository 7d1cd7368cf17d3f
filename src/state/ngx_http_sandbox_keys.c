/* Names of keys; see the header. */

#include "ngx_http_sandbox_keys.h"

#include "ngx_http_sandbox_module.h"
#include "sandbox_digest.h"
#include "sandbox_id.h"


const char *
ngx_http_sandbox_id_shard(const char *id)
{
    const char *p;

    p = strchr(id, '_');

    return p ? p + 1 : id;
}


/* Text that does not fit is cut off: no prefix, tenant or id is that long. */
static void
ngx_http_sandbox_key_add(ngx_http_sandbox_key_t *key, const void *text,
                         size_t len)
{
    len = ngx_min(len, sizeof(key->buf) - key->name.len);
    ngx_memcpy(key->buf + key->name.len, text, len);
    key->name.len += len;
}


void
ngx_http_sandbox_key_append(ngx_http_sandbox_key_t *key, const char *text)
{
    ngx_http_sandbox_key_add(key, text, ngx_strlen(text));
}


void
ngx_http_sandbox_key_shard(ngx_http_sandbox_key_t *key, const char *shard,
                           const char *kind)
{
    ngx_str_t *prefix;

    prefix = &ngx_http_sandbox_worker.conf->prefix;
    key->name.data = key->buf;
    key->name.len = 0;

    ngx_http_sandbox_key_add(key, prefix->data, prefix->len);
    ngx_http_sandbox_key_append(key, "{");
    ngx_http_sandbox_key_add(key, shard, SANDBOX_SHARD_LEN);
    ngx_http_sandbox_key_append(key, "}:");
    ngx_http_sandbox_key_append(key, kind);
    ngx_http_sandbox_key_append(key, ":");
}


void
ngx_http_sandbox_key_record(ngx_http_sandbox_key_t *key, const char *id)
{
    ngx_http_sandbox_key_shard(key, ngx_http_sandbox_id_shard(id), "sandbox");
    ngx_http_sandbox_key_append(key, id);
}


void
ngx_http_sandbox_key_tenant(ngx_http_sandbox_key_t *key, const char *tenant)
{
    char shard[SANDBOX_SHARD_LEN];

    sandbox_id_shard(shard, tenant, ngx_strlen(tenant));
    ngx_http_sandbox_key_shard(key, shard, "tenant");
    ngx_http_sandbox_key_append(key, tenant);
}


void
ngx_http_sandbox_key_tenant_destroyed(ngx_http_sandbox_key_t *key,
                                      const char *tenant)
{
    ngx_http_sandbox_key_tenant(key, tenant);
    ngx_http_sandbox_key_append(key, ":destroyed");
}


void
ngx_http_sandbox_key_idem(ngx_http_sandbox_key_t *key, const char *tenant,
                          const char *route, const uint8_t *digest)
{
    char shard[SANDBOX_SHARD_LEN];
    char hex[SANDBOX_SHA256_HEX_SIZE];

    sandbox_id_shard(shard, tenant, ngx_strlen(tenant));
    sandbox_hex(hex, digest, SANDBOX_SHA256_LEN);
    ngx_http_sandbox_key_shard(key, shard, "idem");
    ngx_http_sandbox_key_append(key, tenant);
    ngx_http_sandbox_key_append(key, ":");
    ngx_http_sandbox_key_append(key, route);
    ngx_http_sandbox_key_append(key, ":");
    ngx_http_sandbox_key_append(key, hex);
}


void
ngx_http_sandbox_key_of_node(ngx_http_sandbox_key_t *key, const ngx_str_t *node,
                             const char *kind)
{
    key->name.data = key->buf;
    key->name.len =
        ngx_snprintf(key->buf, sizeof(key->buf), "%V{%V}:%s",
                     &ngx_http_sandbox_worker.conf->prefix, node, kind)
        - key->buf;
}


void
ngx_http_sandbox_key_node(ngx_http_sandbox_key_t *key, const char *kind)
{
    ngx_http_sandbox_key_of_node(key, &ngx_http_sandbox_worker.conf->node,
                                 kind);
}


void
ngx_http_sandbox_key_common(ngx_http_sandbox_key_t *key, const char *kind)
{
    key->name.data = key->buf;
    key->name.len = ngx_snprintf(key->buf, sizeof(key->buf), "%V%s",
                                 &ngx_http_sandbox_worker.conf->prefix, kind)
                    - key->buf;
}


void
ngx_http_sandbox_key_events(ngx_http_sandbox_key_t *key)
{
    ngx_http_sandbox_key_common(key, "events");
}


void
ngx_http_sandbox_arg_key(ngx_http_sandbox_args_t *args,
                         ngx_http_sandbox_key_t *key)
{
    ngx_http_sandbox_arg_len(args, key->name.data, key->name.len);
}


void
ngx_http_sandbox_args_hmget(ngx_http_sandbox_args_t *args,
                            ngx_http_sandbox_key_t *key,
                            const char *const *fields, size_t n)
{
    size_t i;

    ngx_http_sandbox_arg(args, "HMGET");
    ngx_http_sandbox_arg_key(args, key);

    for (i = 0; i < n; i++) {
        ngx_http_sandbox_arg(args, fields[i]);
    }
}


void
ngx_http_sandbox_node_keys(ngx_http_sandbox_node_keys_t *keys,
                           ngx_http_sandbox_args_t *args)
{
    ngx_http_sandbox_key_node(&keys->agenda, "agenda");
    ngx_http_sandbox_key_node(&keys->addresses, "addresses");
    ngx_http_sandbox_key_node(&keys->guests, "guests");
    ngx_http_sandbox_key_node(&keys->cursor, "cursor");

    ngx_http_sandbox_arg_key(args, &keys->agenda);
    ngx_http_sandbox_arg_key(args, &keys->addresses);
    ngx_http_sandbox_arg_key(args, &keys->guests);
    ngx_http_sandbox_arg_key(args, &keys->cursor);
}


const ngx_str_t *
ngx_http_sandbox_self(void)
{
    static const ngx_str_t nobody = ngx_string("");

    return ngx_http_sandbox_worker.foreign
               ? &nobody
               : &ngx_http_sandbox_worker.conf->node;
}


void
ngx_http_sandbox_arg_self(ngx_http_sandbox_args_t *args)
{
    const ngx_str_t *self;

    self = ngx_http_sandbox_self();
    ngx_http_sandbox_arg_len(args, self->data, self->len);
}
