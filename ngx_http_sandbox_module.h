/*
 * What all folders of the module share: its configuration and the state of the
 * worker.
 */

#ifndef NGX_HTTP_SANDBOX_MODULE_H
#define NGX_HTTP_SANDBOX_MODULE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#if !(NGX_THREADS)
#error "nginx must be configured with --with-threads; see scripts/build"
#endif

#include "sandbox_hypervisor.h"
#include "sandbox_id.h"
#include "sandbox_net.h"

#define NGX_HTTP_SANDBOX_PREFIX_MAX 64

typedef enum {
    NGX_HTTP_SANDBOX_ORPHANS_DESTROY = 0,
    NGX_HTTP_SANDBOX_ORPHANS_KEEP
} ngx_http_sandbox_orphans_e;

typedef struct ngx_http_sandbox_routes_s ngx_http_sandbox_routes_t;

/* How many requests of one tenant are let in. */
typedef struct {
    uint64_t interval; /* us between two requests; 0: no limit */
    uint64_t burst;    /* requests that may come at once on top */
} ngx_http_sandbox_rate_t;

/* The http {} level: the settings of one node. */
typedef struct {
    ngx_str_t node;   /* this host's name in Redis keys */
    ngx_str_t domain; /* sandboxes are {port}-{id}.{domain} */
    ngx_str_t prefix; /* of every Redis key and channel */

    struct ngx_http_sandbox_redis_conf_s *redis;
    ngx_str_t libvirt_uri;
    ngx_str_t data_dir;
    ngx_uint_t accel; /* sandbox_accel_t */
    sandbox_hypervisor_conf_t hypervisor;
    ngx_str_t templates_dir;
    sandbox_template_t **templates; /* NULL-terminated */

    in_addr_t subnet; /* host order; the gateway is subnet + 1 */
    ngx_uint_t subnet_bits;
    char **dns; /* NULL-terminated, or NULL */

    ngx_thread_pool_t *quick;  /* teardown, surveys; well under a second */
    ngx_thread_pool_t *slow;   /* boots: seconds */
    ngx_thread_pool_t *refill; /* boots for warm pools; slow, if not given */
    ngx_int_t tenant_threads;  /* of slow, that one tenant may have at once */
    ngx_int_t tenant_queue;    /* tasks of one tenant that wait for these */

    ngx_int_t max_vcpus;
    ngx_int_t max_memory_mb;
    ngx_int_t max_disk_mb;
    ngx_int_t max_sandboxes; /* on this node */
    ngx_msec_t max_timeout;
    ngx_msec_t boot_timeout;
    ngx_msec_t wake_timeout; /* of requests that wait for a paused sandbox */
    ngx_flag_t checkpoints;  /* creates start from a booted guest */
    ngx_msec_t lease;
    ngx_msec_t idem_wait; /* of a repeated request, for the first one */
    ngx_msec_t retention; /* of idempotent answers and of tombstones */

    ngx_msec_t reconcile_interval;
    ngx_msec_t reconcile_grace;
    ngx_http_sandbox_orphans_e reconcile_orphans;

    ngx_int_t refill_parallel; /* members of a warm pool in the making */
    ngx_msec_t refill_interval;
    ngx_msec_t refill_check; /* how often a ready member is asked */

    ngx_shm_zone_t *zone; /* the route cache */
    ngx_http_sandbox_routes_t *routes;
    ngx_msec_t route_ttl;
    ngx_msec_t route_stale; /* past route_ttl, while Redis is away */

    ngx_uint_t max_connections;       /* to one sandbox at once; 0: no limit */
    ngx_msec_t max_age;               /* of one connection; 0: no limit */
    ngx_http_sandbox_rate_t rates[2]; /* ngx_http_sandbox_rate_e */
    ngx_uint_t max_wakes;             /* of a sandbox by traffic; 0: no limit */
    ngx_msec_t wakes_interval;

    /* set once the directive was read, to refuse a second one */
    ngx_flag_t limited;
    ngx_flag_t reconciled;
    ngx_flag_t pooled;
    ngx_flag_t traffic_limited;
    ngx_flag_t api_limited;
    ngx_flag_t wake_limited;

    unsigned api : 1;     /* some location has "sandbox_api on" */
    unsigned traffic : 1; /* some location has "sandbox_traffic on" */
    unsigned metrics : 1; /* some location has "sandbox_metrics on" */
} ngx_http_sandbox_main_conf_t;

typedef struct {
    ngx_flag_t api;
    ngx_flag_t traffic;
    ngx_flag_t metrics;
} ngx_http_sandbox_loc_conf_t;

/* The state of this worker, filled in by init_process. */
typedef struct {
    ngx_http_sandbox_main_conf_t *conf;
    struct ngx_http_sandbox_redis_s *redis;
    char owner[64]; /* "<pid>/<nonce>", holder of leases */
    char host[64];  /* machine-id, or "" */

    /* which host owns the name of the node, see leader.h; both 0: unknown */
    unsigned ours : 1;    /* this host */
    unsigned foreign : 1; /* another one */
} ngx_http_sandbox_worker_t;

extern ngx_module_t ngx_http_sandbox_module;
extern ngx_http_sandbox_worker_t ngx_http_sandbox_worker;

#endif
