/*
 * What clients show to get to guests, and guests do not get to see; see
 * traffic.h.
 */

#include "ngx_http_sandbox_api.h"
#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_errors.h"
#include "ngx_http_sandbox_traffic.h"

#include <openssl/crypto.h>


/*
 * Hides a header from the guest: elements of the list cannot be taken out
 * (other fields point into it, and readers of the list do not bear empty
 * parts), so it becomes one that proxy modules never pass on.
 */
static void
ngx_http_sandbox_traffic_hide(ngx_table_elt_t *h)
{
    static ngx_str_t hidden = ngx_string("keep-alive");

    h->hash = ngx_hash_key(hidden.data, hidden.len);
    h->key = hidden;
    h->lowcase_key = hidden.data;
    ngx_str_set(&h->value, "");
}


ngx_uint_t
ngx_http_sandbox_traffic_take_token(ngx_http_request_t *r, ngx_str_t *token)
{
    ngx_uint_t count;
    ngx_table_elt_t *h;
    ngx_http_sandbox_headers_t it;

    count = 0;
    ngx_memzero(&it, sizeof(it));

    while ((h = ngx_http_sandbox_api_next_header(
                r, &it, "x-nullspace-traffic-access-token")))
    {
        *token = h->value;
        count++;
        ngx_http_sandbox_traffic_hide(h);
    }

    return count;
}


void
ngx_http_sandbox_traffic_take_key(ngx_http_request_t *r)
{
    static ngx_str_t key = ngx_string("Bearer ns_");

    ngx_table_elt_t *h;
    ngx_http_sandbox_headers_t it;

    ngx_memzero(&it, sizeof(it));

    while ((h = ngx_http_sandbox_api_next_header(r, &it, "authorization"))) {
        if (h->value.len >= key.len
            && ngx_strncasecmp(h->value.data, key.data, key.len) == 0)
        {
            ngx_http_sandbox_traffic_hide(h);
        }
    }
}


ngx_int_t
ngx_http_sandbox_traffic_admit(ngx_http_request_t *r,
                               const ngx_http_sandbox_route_t *route,
                               ngx_uint_t ntokens, const ngx_str_t *token)
{
    size_t len;

    if (route->public_traffic) {
        return NGX_OK;
    }

    if (ntokens == 0) {
        return ngx_http_sandbox_error(
            r, &ngx_http_sandbox_traffic_token_required,
            "This sandbox wants its traffic access token.");
    }

    len = ngx_strlen(route->token);

    if (ntokens != 1 || len == 0 || token->len != len
        || CRYPTO_memcmp(token->data, route->token, len) != 0)
    {
        return ngx_http_sandbox_error(
            r, &ngx_http_sandbox_traffic_token_invalid,
            "This is not the sandbox's traffic access token.");
    }

    return NGX_OK;
}
