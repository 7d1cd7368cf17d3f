/*
 * The traffic tokens that clients show to reach guests, and the headers that
 * guests do not get to see; see traffic.h.
 */

#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_errors.h"
#include "ngx_http_sandbox_headers.h"
#include "ngx_http_sandbox_traffic.h"

#include "ngx_http_sandbox_route.h"
#include "sandbox_digest.h"


/*
 * Hides a header from the guest.  An element before the last of its part cannot
 * be taken out (other fields point into the part, and readers of the list do
 * not bear empty parts), so the header becomes one that proxy modules never
 * pass on.
 */
static void
ngx_http_sandbox_traffic_hide(ngx_table_elt_t *h)
{
    static ngx_str_t hidden = ngx_string("te");
    static ngx_str_t nothing = ngx_string("");

    h->hash = ngx_hash('t', 'e');
    h->key = hidden;
    h->lowcase_key = hidden.data;
    h->value = nothing;
}


ngx_uint_t
ngx_http_sandbox_traffic_take_token(ngx_http_request_t *r, ngx_str_t *token)
{
    static const char name[] = "x-nullspace-traffic-access-token";

    ngx_uint_t i, count;
    ngx_list_part_t *part;
    ngx_table_elt_t *h;

    count = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == sizeof(name) - 1
                && ngx_memcmp(h[i].lowcase_key, name, sizeof(name) - 1) == 0)
            {
                *token = h[i].value;
                count++;

                if (i > 0 && i == part->nelts - 1) {
                    part->nelts--;
                    break;
                }

                ngx_http_sandbox_traffic_hide(&h[i]);
            }
        }
    }

    return count;
}


/* A function of its own: most requests have none, and pay no stack guard. */
static __attribute__((noinline)) void
ngx_http_sandbox_traffic_hide_key(ngx_http_request_t *r)
{
    ngx_str_t key;
    ngx_table_elt_t *h;
    ngx_http_sandbox_headers_t it;

    ngx_memzero(&it, sizeof(it));

    while ((h = ngx_http_sandbox_next_header(r, &it, "authorization"))) {
        key = ngx_http_sandbox_bearer(h);

        if (key.len >= sizeof("ns_") - 1
            && ngx_strncasecmp(key.data, (u_char *) "ns_", sizeof("ns_") - 1)
                   == 0)
        {
            ngx_http_sandbox_traffic_hide(h);
        }
    }
}


void
ngx_http_sandbox_traffic_take_key(ngx_http_request_t *r)
{
    if (r->headers_in.authorization) {
        ngx_http_sandbox_traffic_hide_key(r);
    }
}


/* 1 if the client asks for a WebSocket, and for nothing besides. */
static ngx_uint_t
ngx_http_sandbox_traffic_websocket(ngx_http_request_t *r)
{
    ngx_table_elt_t *h;
    ngx_http_sandbox_headers_t it;

    if (r->http_version >= NGX_HTTP_VERSION_20) {
        return 0;
    }

    ngx_memzero(&it, sizeof(it));
    h = ngx_http_sandbox_next_header(r, &it, "upgrade");

    return h && h->value.len == sizeof("websocket") - 1
           && ngx_strncasecmp(h->value.data, (u_char *) "websocket",
                              h->value.len)
                  == 0
           && ngx_http_sandbox_next_header(r, &it, "upgrade") == NULL;
}


/* As hide_key(). */
static __attribute__((noinline)) void
ngx_http_sandbox_traffic_hide_upgrade(ngx_http_request_t *r)
{
    ngx_table_elt_t *h;
    ngx_http_sandbox_headers_t it;

    r->headers_in.upgrade = NULL;
    ngx_memzero(&it, sizeof(it));

    while ((h = ngx_http_sandbox_next_header(r, &it, "upgrade"))) {
        ngx_http_sandbox_traffic_hide(h);
    }
}


void
ngx_http_sandbox_traffic_take_upgrade(ngx_http_request_t *r,
                                      ngx_uint_t websocket)
{
    if (r->headers_in.upgrade
        && !(websocket && ngx_http_sandbox_traffic_websocket(r)))
    {
        ngx_http_sandbox_traffic_hide_upgrade(r);
    }
}


ngx_int_t
ngx_http_sandbox_traffic_admit(ngx_http_request_t *r,
                               const ngx_http_sandbox_route_t *route,
                               ngx_uint_t ntokens, const ngx_str_t *token)
{
    if (route->public_traffic) {
        return NGX_OK;
    }

    if (ntokens == 0) {
        return ngx_http_sandbox_error(
            r, &ngx_http_sandbox_traffic_token_required,
            "This sandbox wants its traffic access token.");
    }

    if (ntokens != 1 || token->len != sizeof(route->token) - 1
        || route->token[0] == '\0'
        || !sandbox_equal_const_time(token->data, route->token,
                                     sizeof(route->token) - 1))
    {
        return ngx_http_sandbox_error(
            r, &ngx_http_sandbox_traffic_token_invalid,
            "This is not the sandbox's traffic access token.");
    }

    return NGX_OK;
}
