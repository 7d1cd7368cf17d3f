/*
 * What all folders of the module share: its configuration, the context of a
 * request and the state of the worker.
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

/* An error of the API; ngx_http_sandbox_codes.h lists all of them. */
typedef struct {
    ngx_uint_t status;
    ngx_str_t code;
    ngx_uint_t retry_after; /* seconds; 0: not retryable */
} ngx_http_sandbox_error_t;

/* A guest's address and port, as long as nginx may name what it has tried. */
typedef struct {
    ngx_str_t name; /* in text */
    char text[SANDBOX_NET_IPV4_SIZE + SANDBOX_NET_PORT_SIZE];
} ngx_http_sandbox_peer_name_t;

typedef struct {
    ngx_str_t request_id; /* in request */
    char request[SANDBOX_ID_SIZE];
    ngx_str_t tenant;  /* NUL-terminated */
    ngx_str_t sandbox; /* the id in the path, as the client spelled it */
    const void *route; /* row of the API's route table, once known */

    /* where an upstream {} with "sandbox_peer" goes; sin_family 0: nowhere */
    struct sockaddr_in peer;
    ngx_str_t *peer_name; /* the same as text; NULL before the first one */
    ngx_http_sandbox_peer_name_t first_peer;
    struct ngx_http_sandbox_live_s *live; /* the request at that guest */
    ngx_str_t host; /* the Host that the guest sees, if masked */

    /* the error to be answered, for the envelope; NULL if none */
    const ngx_http_sandbox_error_t *error;
    ngx_str_t message; /* a sentence for a person */
    ngx_str_t field;   /* error_detail, when not empty */
    ngx_str_t reason;
    const char *detail_name;
    char *detail;           /* error_detail, when not NULL */
    ngx_uint_t retry_after; /* seconds, in place of the error's; or 0 */

    /* the body that the error filter sends in place of nginx's page */
    ngx_str_t envelope;
    ngx_uint_t http_version; /* the client's */
    off_t received;          /* bytes of the body so far, if bounded */
    unsigned bounded : 1;    /* the body may have at most 1 MiB */
    unsigned passed : 1;     /* the request goes on to proxy_pass */
    unsigned traffic : 1;    /* the location has sandbox_traffic */
    unsigned edge : 1;       /* the path, not the Host, names the sandbox */
} ngx_http_sandbox_ctx_t;

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

/*
 * Makes ev, zeroed memory, a timer of the worker that calls handler.  It does
 * not keep a worker alive that is shutting down.
 */
void ngx_http_sandbox_timer_init(ngx_event_t *ev, ngx_event_handler_pt handler);

/*
 * Makes ev, memory that was zeroed once, a timer that keeps a worker that is
 * shutting down alive for ms, or until it is deleted.  For a task in a thread:
 * without a timer nginx leaves its event loop, and waits for the thread in a
 * loop that takes a CPU.
 */
void ngx_http_sandbox_linger(ngx_event_t *ev, ngx_msec_t ms);

/*
 * r waits: ends it when its client goes away, or at once (after this returns)
 * if it has gone.  NGX_ERROR if nginx's events fail.
 */
ngx_int_t ngx_http_sandbox_watch_client(ngx_http_request_t *r);

/* The context of r, made at first use; NULL if memory is out. */
ngx_http_sandbox_ctx_t *ngx_http_sandbox_ctx(ngx_http_request_t *r);

/*
 * Makes ctx, zeroed memory of the caller's that lives as long as r, the
 * context of r.  NGX_ERROR if no request id can be made.
 */
ngx_int_t
ngx_http_sandbox_ctx_init(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx);

#endif
