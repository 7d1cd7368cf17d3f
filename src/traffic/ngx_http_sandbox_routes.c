/*
 * The route cache: from a sandbox id to the address of its guest, in shared
 * memory.  Knows nothing of Redis or of requests.
 *
 * An alias, a sandbox that was resumed under another id, has an entry of its
 * own that names the other id: the events of an id keep its own entry right.
 *
 * A fixed table of buckets fills the zone.  A bucket is one cache line of
 * tags (half of the id's hash) and SANDBOX_WAYS entries of four lines each.  A
 * lookup touches three lines, more only if the sandbox has a mask.  Two ids
 * with equal tags in one bucket displace each other, so a tag is unique there.
 * A full bucket drops by clock: an entry used since the hand last passed stays
 * one round longer.
 *
 * Writers hold the slab mutex, which the master frees if its holder is killed.
 * Readers hold nothing: sandbox_ways.h.
 */

#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_route.h"
#include "ngx_http_sandbox_state.h"
#include "ngx_http_sandbox_traffic.h"
#include "sandbox_ways.h"

#define NGX_HTTP_SANDBOX_CACHE_LINE 64
#define NGX_HTTP_SANDBOX_ENTRY_SIZE (4 * NGX_HTTP_SANDBOX_CACHE_LINE)

typedef struct {
    char id[SANDBOX_ID_LEN + 1];
    uint64_t execution;
    uint64_t tenant;
    ngx_msec_t expires;
    ngx_uint_t epoch;
    in_addr_t address;
    u_char state;
    unsigned public_traffic : 1;
    unsigned masked : 1;
    /* the other lines */
    char text[SANDBOX_NET_IPV4_SIZE];
    u_char text_len;
    union {
        char token[SANDBOX_TOKEN_SIZE];
        char next[SANDBOX_ID_SIZE]; /* of an alias */
    } more;
    char mask_host[SANDBOX_MASK_HOST_MAX + 1];
} ngx_http_sandbox_entry_t;

typedef struct {
    union {
        sandbox_ways_t tags;
        u_char line[NGX_HTTP_SANDBOX_CACHE_LINE];
    } head;
    union {
        ngx_http_sandbox_entry_t entry;
        u_char lines[NGX_HTTP_SANDBOX_ENTRY_SIZE];
    } ways[SANDBOX_WAYS];
} ngx_http_sandbox_bucket_t;

/* In shared memory, as are the buckets. */
typedef struct {
    ngx_uint_t epoch;
    ngx_uint_t nbuckets;
    ngx_http_sandbox_bucket_t *buckets;
} ngx_http_sandbox_table_t;

struct ngx_http_sandbox_routes_s {
    ngx_slab_pool_t *shpool;
    ngx_http_sandbox_table_t *table;
};

typedef struct {
    ngx_http_sandbox_bucket_t *bucket;
    uint32_t tag;
} ngx_http_sandbox_place_t;

_Static_assert(sizeof(ngx_http_sandbox_bucket_t)
                   == NGX_HTTP_SANDBOX_CACHE_LINE
                          + SANDBOX_WAYS * NGX_HTTP_SANDBOX_ENTRY_SIZE,
               "a bucket has no padding");
_Static_assert(SANDBOX_ID_LEN + 1 == 3 * sizeof(uint64_t),
               "an id is three words");
_Static_assert(offsetof(ngx_http_sandbox_entry_t, text)
                   <= NGX_HTTP_SANDBOX_CACHE_LINE,
               "the members before text are in the first line");


static ngx_int_t
ngx_http_sandbox_zone_init(ngx_shm_zone_t *shm_zone, void *data);


char *
ngx_http_sandbox_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_main_conf_t *mcf = conf;

    u_char *colon;
    ssize_t size;
    ngx_str_t *value, name, text;

    if (mcf->zone) {
        return "is duplicate";
    }

    value = cf->args->elts;

    colon = ngx_strlchr(value[1].data, value[1].data + value[1].len, ':');

    if (colon == NULL || colon == value[1].data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    name.data = value[1].data;
    name.len = colon - value[1].data;
    text.data = colon + 1;
    text.len = value[1].data + value[1].len - text.data;

    size = ngx_parse_size(&text);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone size \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    if (size < (ssize_t) (8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "zone \"%V\" is too small",
                           &name);
        return NGX_CONF_ERROR;
    }

    mcf->routes = ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_routes_t));
    if (mcf->routes == NULL) {
        return NGX_CONF_ERROR;
    }

    mcf->zone =
        ngx_shared_memory_add(cf, &name, size, &ngx_http_sandbox_module);
    if (mcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    mcf->zone->init = ngx_http_sandbox_zone_init;
    mcf->zone->data = mcf->routes;

    return NGX_CONF_OK;
}


/* The buckets: one block of all pages that are still free. */
static ngx_int_t
ngx_http_sandbox_zone_fill(ngx_slab_pool_t *shpool,
                           ngx_http_sandbox_table_t *table)
{
    size_t size;

    size = shpool->pfree * ngx_pagesize;

    table->buckets = ngx_slab_calloc(shpool, size);
    if (table->buckets == NULL) {
        return NGX_ERROR;
    }

    table->nbuckets = size / sizeof(ngx_http_sandbox_bucket_t);

    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_sandbox_routes_t *old = data;

    size_t len;
    ngx_http_sandbox_routes_t *routes;

    routes = shm_zone->data;

    if (old) {
        *routes = *old;
        return NGX_OK;
    }

    routes->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (shm_zone->shm.exists) {
        routes->table = routes->shpool->data;
        return NGX_OK;
    }

    len = sizeof(" in sandbox_zone \"\"") + shm_zone->shm.name.len;

    routes->shpool->log_ctx = ngx_slab_alloc(routes->shpool, len);
    routes->table =
        ngx_slab_calloc(routes->shpool, sizeof(ngx_http_sandbox_table_t));

    if (routes->shpool->log_ctx == NULL || routes->table == NULL) {
        return NGX_ERROR;
    }

    ngx_snprintf(routes->shpool->log_ctx, len, " in sandbox_zone \"%V\"%Z",
                 &shm_zone->shm.name);

    routes->shpool->data = routes->table;

    return ngx_http_sandbox_zone_fill(routes->shpool, routes->table);
}


/*
 * The place of id, which has SANDBOX_ID_SIZE bytes.  Only ids that Redis has
 * are stored, and those are random: no client can aim at one bucket, so the
 * hash needs no key.
 */
static ngx_inline ngx_int_t
ngx_http_sandbox_routes_place(ngx_http_sandbox_routes_t *routes, const char *id,
                              ngx_http_sandbox_place_t *place)
{
    uint64_t hash, n, last[2];

    if (id[SANDBOX_ID_LEN] != '\0') {
        return NGX_DECLINED;
    }

    /* its last characters, all of them random */
    ngx_memcpy(last, id + SANDBOX_ID_LEN - sizeof(last), sizeof(last));

    hash = (last[0] * 0x9e3779b97f4a7c15 ^ last[1]) * 0xd6e8feb86659fd93;
    hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93;
    n = ((hash & 0xffffffff) * routes->table->nbuckets) >> 32;

    place->bucket = &routes->table->buckets[n];
    place->tag = (uint32_t) (hash >> 32) | 1;

    return NGX_OK;
}


/* The way that has the tag of place, or SANDBOX_WAYS. */
static ngx_uint_t
ngx_http_sandbox_routes_find(ngx_http_sandbox_place_t *place)
{
    ngx_uint_t i;

    for (i = 0; i < SANDBOX_WAYS; i++) {
        if (place->bucket->head.tags.tags[i] == place->tag) {
            break;
        }
    }

    return i;
}


/* memcmp() of a constant length, without a call. */
static ngx_uint_t
ngx_http_sandbox_routes_same(const char *a, const char *b)
{
    uint64_t v[3], w[3];

    ngx_memcpy(v, a, sizeof(v));
    ngx_memcpy(w, b, sizeof(w));

    return v[0] == w[0] && v[1] == w[1] && v[2] == w[2];
}


/* Copies the entry of route->id, unless it expired more than stale ms ago. */
static ngx_int_t
ngx_http_sandbox_routes_copy(ngx_http_sandbox_routes_t *routes,
                             ngx_http_sandbox_place_t *place, ngx_msec_t stale,
                             ngx_http_sandbox_route_t *route)
{
    ngx_uint_t way;
    ngx_http_sandbox_entry_t *entry;

    way = ngx_http_sandbox_routes_find(place);

    if (way == SANDBOX_WAYS) {
        return NGX_DECLINED;
    }

    entry = &place->bucket->ways[way].entry;

    if (entry->epoch != routes->table->epoch
        || (ngx_msec_int_t) (entry->expires + stale - ngx_current_msec) <= 0
        || !ngx_http_sandbox_routes_same(entry->id, route->id))
    {
        return NGX_DECLINED;
    }

    if (!(place->bucket->head.tags.used & (1 << way))) {
        /* not atomic: a lost change of another worker's does no harm */
        place->bucket->head.tags.used |= (u_char) (1 << way);
    }

    route->state = entry->state;
    route->address = entry->address;
    route->execution = entry->execution;
    route->tenant = entry->tenant;
    route->text_len = entry->text_len;
    ngx_memcpy(route->text, entry->text, sizeof(route->text));
    route->public_traffic = entry->public_traffic;
    route->masked = entry->masked;
    route->auto_resume = 0; /* not used of a sandbox that runs */
    route->elsewhere = 0;   /* such routes are not stored */

    if (entry->state == NGX_HTTP_SANDBOX_RESUMED) {
        ngx_memcpy(route->next, entry->more.next, sizeof(route->next));
        return NGX_OK;
    }

    if (!entry->public_traffic) {
        ngx_memcpy(route->token, entry->more.token, sizeof(route->token));
    }

    if (entry->masked) {
        ngx_memcpy(route->mask_host, entry->mask_host,
                   sizeof(route->mask_host));
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_sandbox_routes_lookup(ngx_http_sandbox_main_conf_t *mcf,
                               const char *id, ngx_msec_t stale,
                               ngx_http_sandbox_route_t *route)
{
    ngx_int_t rc;
    ngx_uint_t hops, writes;
    sandbox_ways_t *tags;
    ngx_http_sandbox_place_t place;
    ngx_http_sandbox_routes_t *routes;

    routes = mcf->routes;

    for (hops = 0; hops <= NGX_HTTP_SANDBOX_HOPS_MAX; hops++) {
        ngx_memcpy(route->id, id, sizeof(route->id));

        if (ngx_http_sandbox_routes_place(routes, route->id, &place) != NGX_OK)
        {
            return NGX_DECLINED;
        }

        tags = &place.bucket->head.tags;
        writes = tags->writes;
        ngx_memory_barrier();

        rc = ngx_http_sandbox_routes_copy(routes, &place, stale, route);

        ngx_memory_barrier();
        if (tags->writes != writes || (writes & 1)) {
            return NGX_DECLINED;
        }

        if (rc != NGX_OK || route->state != NGX_HTTP_SANDBOX_RESUMED) {
            return rc;
        }

        id = route->next;
    }

    return NGX_DECLINED;
}


/* The way to overwrite: a free or dead one, else by clock.  Under the mutex. */
static ngx_uint_t
ngx_http_sandbox_routes_victim(ngx_http_sandbox_bucket_t *bucket,
                               ngx_uint_t epoch)
{
    ngx_uint_t i;
    sandbox_ways_t *tags;
    ngx_http_sandbox_entry_t *entry;

    tags = &bucket->head.tags;

    for (i = 0; i < SANDBOX_WAYS; i++) {
        entry = &bucket->ways[i].entry;

        if (tags->tags[i] == 0 || entry->epoch != epoch
            || (ngx_msec_int_t) (entry->expires - ngx_current_msec) <= 0)
        {
            return i;
        }
    }

    for (;;) {
        i = tags->hand;
        tags->hand = (u_char) ((i + 1) % SANDBOX_WAYS);

        if (!(tags->used & (1 << i))) {
            return i;
        }

        tags->used &= (u_char) ~(1 << i);
    }
}


/* Under the mutex. */
static void
ngx_http_sandbox_routes_put(ngx_http_sandbox_place_t *place,
                            const ngx_http_sandbox_entry_t *entry)
{
    ngx_uint_t way;

    way = ngx_http_sandbox_routes_find(place);

    if (way == SANDBOX_WAYS) {
        way = ngx_http_sandbox_routes_victim(place->bucket, entry->epoch);
    }

    sandbox_ways_put(&place->bucket->head.tags, way, place->tag,
                     &place->bucket->ways[way].entry, entry,
                     sizeof(ngx_http_sandbox_entry_t));
}


ngx_int_t
ngx_http_sandbox_routes_store(ngx_http_sandbox_main_conf_t *mcf,
                              const ngx_http_sandbox_route_t *route,
                              ngx_uint_t epoch)
{
    ngx_uint_t current;
    ngx_http_sandbox_place_t place;
    ngx_http_sandbox_entry_t entry;
    ngx_http_sandbox_routes_t *routes;

    routes = mcf->routes;

    if (ngx_http_sandbox_routes_place(routes, route->id, &place) != NGX_OK) {
        return NGX_DECLINED;
    }

    ngx_memzero(&entry, sizeof(ngx_http_sandbox_entry_t));
    ngx_memcpy(entry.id, route->id, sizeof(entry.id));
    entry.execution = route->execution;
    entry.tenant = route->tenant;
    entry.expires = ngx_current_msec + mcf->route_ttl;
    entry.address = route->address;
    entry.text_len = route->text_len;
    ngx_memcpy(entry.text, route->text, sizeof(entry.text));
    entry.state = (u_char) route->state;
    entry.public_traffic = route->public_traffic;
    entry.masked = route->masked;

    if (route->state == NGX_HTTP_SANDBOX_RESUMED) {
        ngx_memcpy(entry.more.next, route->next, sizeof(entry.more.next));

    } else {
        ngx_memcpy(entry.more.token, route->token, sizeof(entry.more.token));
    }

    ngx_memcpy(entry.mask_host, route->mask_host, sizeof(entry.mask_host));

    ngx_shmtx_lock(&routes->shpool->mutex);

    current = routes->table->epoch + place.bucket->head.tags.generation;

    if (current != epoch) {
        ngx_shmtx_unlock(&routes->shpool->mutex);
        return NGX_DECLINED;
    }

    entry.epoch = routes->table->epoch;
    ngx_http_sandbox_routes_put(&place, &entry);

    ngx_shmtx_unlock(&routes->shpool->mutex);

    return NGX_OK;
}


void
ngx_http_sandbox_routes_forget(ngx_http_sandbox_main_conf_t *mcf,
                               const char *id)
{
    ngx_uint_t way;
    ngx_http_sandbox_place_t place;
    ngx_http_sandbox_routes_t *routes;

    routes = mcf->routes;

    if (ngx_http_sandbox_routes_place(routes, id, &place) != NGX_OK) {
        return;
    }

    ngx_shmtx_lock(&routes->shpool->mutex);

    way = ngx_http_sandbox_routes_find(&place);

    sandbox_ways_forget(&place.bucket->head.tags, way);

    ngx_shmtx_unlock(&routes->shpool->mutex);
}


ngx_uint_t
ngx_http_sandbox_routes_epoch(ngx_http_sandbox_main_conf_t *mcf, const char *id)
{
    ngx_uint_t epoch;
    ngx_http_sandbox_place_t place;
    ngx_http_sandbox_routes_t *routes;

    routes = mcf->routes;

    if (ngx_http_sandbox_routes_place(routes, id, &place) != NGX_OK) {
        return 0;
    }

    ngx_shmtx_lock(&routes->shpool->mutex);

    /* both only grow: the sum changes with each of them */
    epoch = routes->table->epoch + place.bucket->head.tags.generation;

    ngx_shmtx_unlock(&routes->shpool->mutex);

    return epoch;
}


void
ngx_http_sandbox_routes_bump(ngx_http_sandbox_main_conf_t *mcf)
{
    ngx_http_sandbox_routes_t *routes;

    routes = mcf->routes;

    ngx_shmtx_lock(&routes->shpool->mutex);
    routes->table->epoch++;
    ngx_shmtx_unlock(&routes->shpool->mutex);
}
