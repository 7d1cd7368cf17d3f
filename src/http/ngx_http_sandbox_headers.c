/* Headers; see the header. */

#include "ngx_http_sandbox_headers.h"


ngx_table_elt_t *
ngx_http_sandbox_next_header(ngx_http_request_t *r,
                             ngx_http_sandbox_headers_t *it, const char *name)
{
    size_t len;
    ngx_table_elt_t *h;

    len = ngx_strlen(name);

    if (it->part == NULL) {
        it->part = &r->headers_in.headers.part;
    }

    for (;;) {
        if (it->i == it->part->nelts) {
            if (it->part->next == NULL) {
                return NULL;
            }

            it->part = it->part->next;
            it->i = 0;
            continue;
        }

        h = it->part->elts;
        h = &h[it->i++];

        if (h->key.len == len && ngx_memcmp(h->lowcase_key, name, len) == 0) {
            return h;
        }
    }
}


ngx_uint_t
ngx_http_sandbox_json_type(const ngx_str_t *type)
{
    size_t len = sizeof("application/json") - 1;

    return type->len >= len
           && ngx_strncasecmp(type->data, (u_char *) "application/json", len)
                  == 0
           && (type->len == len || type->data[len] == ';'
               || type->data[len] == ' ');
}


ngx_str_t
ngx_http_sandbox_bearer(const ngx_table_elt_t *h)
{
    ngx_str_t key;

    ngx_str_null(&key);

    if (h == NULL || h->value.len <= sizeof("Bearer ") - 1
        || ngx_strncasecmp(h->value.data, (u_char *) "Bearer ",
                           sizeof("Bearer ") - 1)
               != 0)
    {
        return key;
    }

    key.data = h->value.data + sizeof("Bearer ") - 1;
    key.len = h->value.len - (sizeof("Bearer ") - 1);

    while (key.len && *key.data == ' ') {
        key.data++;
        key.len--;
    }

    return key;
}


ngx_int_t
ngx_http_sandbox_add_header(ngx_http_request_t *r, const char *name,
                            ngx_str_t *value)
{
    ngx_table_elt_t *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;

    return NGX_OK;
}
