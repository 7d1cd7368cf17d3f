/*
 * The module as nginx sees it: directives and their checks, phases, worker
 * start and stop.  No logic of sandboxes lives here.
 */

#include "ngx_http_sandbox_module.h"

#include "ngx_http_sandbox_agenda.h"
#include "ngx_http_sandbox_api.h"
#include "ngx_http_sandbox_await.h"
#include "ngx_http_sandbox_clock.h"
#include "ngx_http_sandbox_conf.h"
#include "ngx_http_sandbox_events.h"
#include "ngx_http_sandbox_filters.h"
#include "ngx_http_sandbox_gate.h"
#include "ngx_http_sandbox_limits.h"
#include "ngx_http_sandbox_live.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_reconcile.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_tend.h"
#include "ngx_http_sandbox_traffic.h"
#include "ngx_http_sandbox_variables.h"


static void *ngx_http_sandbox_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_sandbox_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_sandbox_create_loc_conf(ngx_conf_t *cf);
static char *
ngx_http_sandbox_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static char *ngx_http_sandbox_api_used(ngx_conf_t *cf, void *post, void *flag);
static char *
ngx_http_sandbox_traffic_used(ngx_conf_t *cf, void *post, void *flag);
static ngx_int_t ngx_http_sandbox_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_sandbox_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_sandbox_init_process(ngx_cycle_t *cycle);
static void ngx_http_sandbox_exit_process(ngx_cycle_t *cycle);


static ngx_conf_enum_t ngx_http_sandbox_accels[] = {
    { ngx_string("auto"), SANDBOX_ACCEL_AUTO },
    { ngx_string("kvm"), SANDBOX_ACCEL_KVM },
    { ngx_string("tcg"), SANDBOX_ACCEL_TCG },
    { ngx_null_string, 0 }
};

static ngx_conf_num_bounds_t ngx_http_sandbox_one_second = {
    ngx_conf_check_num_bounds, 1000, 86400000
};

/* up to a year: times in Redis' scripts are floating point numbers */
static ngx_conf_num_bounds_t ngx_http_sandbox_retention = {
    ngx_conf_check_num_bounds, 1000, INT64_C(31536000000)
};

static ngx_conf_post_t ngx_http_sandbox_api_post = {
    ngx_http_sandbox_api_used
};

static ngx_conf_post_t ngx_http_sandbox_traffic_post = {
    ngx_http_sandbox_traffic_used
};

#define NGX_HTTP_SANDBOX_MAIN(member)                                          \
    NGX_HTTP_MAIN_CONF_OFFSET, offsetof(ngx_http_sandbox_main_conf_t, member)
#define NGX_HTTP_SANDBOX_LOC(member)                                           \
    NGX_HTTP_LOC_CONF_OFFSET, offsetof(ngx_http_sandbox_loc_conf_t, member)

static ngx_command_t ngx_http_sandbox_commands[] = {

    { ngx_string("sandbox_zone"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_http_sandbox_zone, NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL },

    { ngx_string("sandbox_redis"), NGX_HTTP_MAIN_CONF | NGX_CONF_1MORE,
      ngx_http_sandbox_redis, NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL },

    { ngx_string("sandbox_libvirt"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_str_slot, NGX_HTTP_SANDBOX_MAIN(libvirt_uri), NULL },

    { ngx_string("sandbox_accel"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot, NGX_HTTP_SANDBOX_MAIN(accel),
      ngx_http_sandbox_accels },

    { ngx_string("sandbox_data_dir"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_str_slot, NGX_HTTP_SANDBOX_MAIN(data_dir), NULL },

    { ngx_string("sandbox_templates"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_str_slot, NGX_HTTP_SANDBOX_MAIN(templates_dir), NULL },

    { ngx_string("sandbox_network"), NGX_HTTP_MAIN_CONF | NGX_CONF_1MORE,
      ngx_http_sandbox_network, NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL },

    { ngx_string("sandbox_domain"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_str_slot, NGX_HTTP_SANDBOX_MAIN(domain), NULL },

    { ngx_string("sandbox_node"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_str_slot, NGX_HTTP_SANDBOX_MAIN(node), NULL },

    { ngx_string("sandbox_thread_pools"), NGX_HTTP_MAIN_CONF | NGX_CONF_2MORE,
      ngx_http_sandbox_thread_pools, NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL },

    { ngx_string("sandbox_limits"), NGX_HTTP_MAIN_CONF | NGX_CONF_1MORE,
      ngx_http_sandbox_params_slot, NGX_HTTP_SANDBOX_MAIN(limited),
      &ngx_http_sandbox_limits },

    { ngx_string("sandbox_checkpoints"), NGX_HTTP_MAIN_CONF | NGX_CONF_FLAG,
      ngx_conf_set_flag_slot, NGX_HTTP_SANDBOX_MAIN(checkpoints), NULL },

    { ngx_string("sandbox_boot_timeout"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot, NGX_HTTP_SANDBOX_MAIN(boot_timeout),
      &ngx_http_sandbox_one_second },

    { ngx_string("sandbox_wake_timeout"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot, NGX_HTTP_SANDBOX_MAIN(wake_timeout),
      &ngx_http_sandbox_one_second },

    { ngx_string("sandbox_lease"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot, NGX_HTTP_SANDBOX_MAIN(lease),
      &ngx_http_sandbox_one_second },

    { ngx_string("sandbox_reconcile"), NGX_HTTP_MAIN_CONF | NGX_CONF_1MORE,
      ngx_http_sandbox_params_slot, NGX_HTTP_SANDBOX_MAIN(reconciled),
      &ngx_http_sandbox_reconcile },

    { ngx_string("sandbox_warm_pools"), NGX_HTTP_MAIN_CONF | NGX_CONF_1MORE,
      ngx_http_sandbox_params_slot, NGX_HTTP_SANDBOX_MAIN(pooled),
      &ngx_http_sandbox_warm_pools },

    { ngx_string("sandbox_idempotency_retention"),
      NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_msec_slot,
      NGX_HTTP_SANDBOX_MAIN(retention), &ngx_http_sandbox_retention },

    { ngx_string("sandbox_idempotency_wait"),
      NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_msec_slot,
      NGX_HTTP_SANDBOX_MAIN(idem_wait), NULL },

    { ngx_string("sandbox_route_ttl"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot, NGX_HTTP_SANDBOX_MAIN(route_ttl), NULL },

    { ngx_string("sandbox_route_stale"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot, NGX_HTTP_SANDBOX_MAIN(route_stale), NULL },

    { ngx_string("sandbox_traffic_limits"), NGX_HTTP_MAIN_CONF | NGX_CONF_1MORE,
      ngx_http_sandbox_params_slot, NGX_HTTP_SANDBOX_MAIN(traffic_limited),
      &ngx_http_sandbox_traffic_limits },

    { ngx_string("sandbox_api_limits"), NGX_HTTP_MAIN_CONF | NGX_CONF_1MORE,
      ngx_http_sandbox_params_slot, NGX_HTTP_SANDBOX_MAIN(api_limited),
      &ngx_http_sandbox_api_limits },

    { ngx_string("sandbox_wake_limit"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE12,
      ngx_http_sandbox_wake_limit, NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL },

    { ngx_string("sandbox_api"),
      NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF
          | NGX_CONF_FLAG,
      ngx_conf_set_flag_slot, NGX_HTTP_SANDBOX_LOC(api),
      &ngx_http_sandbox_api_post },

    { ngx_string("sandbox_traffic"),
      NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF
          | NGX_CONF_FLAG,
      ngx_conf_set_flag_slot, NGX_HTTP_SANDBOX_LOC(traffic),
      &ngx_http_sandbox_traffic_post },

    { ngx_string("sandbox_metrics"), NGX_HTTP_LOC_CONF | NGX_CONF_FLAG,
      ngx_http_sandbox_metrics, NGX_HTTP_SANDBOX_LOC(metrics), NULL },

    { ngx_string("sandbox_peer"), NGX_HTTP_UPS_CONF | NGX_CONF_NOARGS,
      ngx_http_sandbox_peer, NGX_HTTP_SRV_CONF_OFFSET, 0, NULL },

    ngx_null_command
};

static ngx_http_module_t ngx_http_sandbox_module_ctx = {
    ngx_http_sandbox_add_variables,     /* preconfiguration */
    ngx_http_sandbox_postconfiguration, /* postconfiguration */
    ngx_http_sandbox_create_main_conf,  /* create main configuration */
    ngx_http_sandbox_init_main_conf,    /* init main configuration */
    NULL,                               /* create server configuration */
    NULL,                               /* merge server configuration */
    ngx_http_sandbox_create_loc_conf,   /* create location configuration */
    ngx_http_sandbox_merge_loc_conf     /* merge location configuration */
};

ngx_module_t ngx_http_sandbox_module = {
    NGX_MODULE_V1,
    &ngx_http_sandbox_module_ctx,  /* module context */
    ngx_http_sandbox_commands,     /* module directives */
    NGX_HTTP_MODULE,               /* module type */
    NULL,                          /* init master */
    ngx_http_sandbox_init_module,  /* init module */
    ngx_http_sandbox_init_process, /* init process */
    NULL,                          /* init thread */
    NULL,                          /* exit thread */
    ngx_http_sandbox_exit_process, /* exit process */
    NULL,                          /* exit master */
    NGX_MODULE_V1_PADDING
};

ngx_http_sandbox_worker_t ngx_http_sandbox_worker;


static void *
ngx_http_sandbox_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    mcf->accel = NGX_CONF_UNSET_UINT;
    mcf->boot_timeout = NGX_CONF_UNSET_MSEC;
    mcf->wake_timeout = NGX_CONF_UNSET_MSEC;
    mcf->checkpoints = NGX_CONF_UNSET;
    mcf->lease = NGX_CONF_UNSET_MSEC;
    mcf->idem_wait = NGX_CONF_UNSET_MSEC;
    mcf->retention = NGX_CONF_UNSET_MSEC;
    mcf->route_ttl = NGX_CONF_UNSET_MSEC;
    mcf->route_stale = NGX_CONF_UNSET_MSEC;
    mcf->reconcile_interval = NGX_CONF_UNSET_MSEC;
    mcf->reconcile_grace = 30000;
    mcf->tenant_threads = 3;
    mcf->tenant_queue = 64;
    mcf->refill_parallel = 2;
    mcf->refill_interval = 5000;
    mcf->refill_check = 30000;
    mcf->max_vcpus = 8;
    mcf->max_memory_mb = 16384;
    mcf->max_disk_mb = 131072;
    mcf->max_sandboxes = 256;
    mcf->max_timeout = 24 * 3600 * 1000;
    mcf->max_connections = 1024;
    mcf->max_age = 24 * 3600 * 1000;
    mcf->max_wakes = 10;
    mcf->wakes_interval = 3600 * 1000;

    return mcf;
}


/*
 * All that may refuse the configuration.  Not in postconfiguration: there, the
 * master's chains of filters are being built anew, and a worker of the old
 * configuration that starts after a refusal would have the half of them.
 */
static ngx_int_t
ngx_http_sandbox_check_main_conf(ngx_conf_t *cf,
                                 ngx_http_sandbox_main_conf_t *mcf)
{
    if (!mcf->api && !mcf->traffic) {
        if (mcf->metrics) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"sandbox_metrics\" has nothing to tell: no "
                               "location has \"sandbox_api\" or "
                               "\"sandbox_traffic\"");
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    if (ngx_http_sandbox_metrics_init(cf, &ngx_http_sandbox_module) != NGX_OK
        || ngx_http_sandbox_limits_init(cf, &ngx_http_sandbox_module) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_sandbox_conf_check(cf, mcf);
}


static char *
ngx_http_sandbox_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_sandbox_main_conf_t *mcf = conf;

    ngx_conf_init_uint_value(mcf->accel, SANDBOX_ACCEL_AUTO);
    ngx_conf_init_msec_value(mcf->boot_timeout, 60000);
    ngx_conf_init_msec_value(mcf->wake_timeout, 30000);
    ngx_conf_init_value(mcf->checkpoints, 1);
    ngx_conf_init_msec_value(mcf->lease, 15000);
    ngx_conf_init_msec_value(mcf->idem_wait, 30000);
    ngx_conf_init_msec_value(mcf->retention, 24 * 3600 * 1000);
    ngx_conf_init_msec_value(mcf->route_ttl, 60000);
    ngx_conf_init_msec_value(mcf->route_stale, 30000);
    ngx_conf_init_msec_value(mcf->reconcile_interval, 10000);

    if (mcf->libvirt_uri.data == NULL) {
        ngx_str_set(&mcf->libvirt_uri, "qemu:///system");
    }

    if (mcf->data_dir.data == NULL) {
        ngx_str_set(&mcf->data_dir, "/var/lib/nginx-sandbox");
    }

    if (mcf->node.data == NULL) {
        mcf->node = cf->cycle->hostname;
    }

    mcf->hypervisor.uri = (char *) mcf->libvirt_uri.data;
    mcf->hypervisor.accel = mcf->accel;

    return ngx_http_sandbox_check_main_conf(cf, mcf) == NGX_OK ? NGX_CONF_OK
                                                               : NGX_CONF_ERROR;
}


static char *
ngx_http_sandbox_api_used(ngx_conf_t *cf, void *post, void *flag)
{
    ngx_flag_t *on = flag;

    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_module);
    mcf->api |= *on;

    return NGX_CONF_OK;
}


static char *
ngx_http_sandbox_traffic_used(ngx_conf_t *cf, void *post, void *flag)
{
    ngx_flag_t *on = flag;

    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_module);
    mcf->traffic |= *on;

    return NGX_CONF_OK;
}


static void *
ngx_http_sandbox_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_sandbox_loc_conf_t *conf;

    conf = ngx_palloc(cf->pool, sizeof(ngx_http_sandbox_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->api = NGX_CONF_UNSET;
    conf->traffic = NGX_CONF_UNSET;
    conf->metrics = NGX_CONF_UNSET;

    return conf;
}


static char *
ngx_http_sandbox_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_sandbox_loc_conf_t *prev = parent;
    ngx_http_sandbox_loc_conf_t *conf = child;

    /* not inherited, as the content handler that it sets is not */
    ngx_conf_init_value(conf->metrics, 0);

    if (conf->metrics) {
        if (conf->api == 1 || conf->traffic == 1) {
            return "\"sandbox_metrics\" stands in a location of its own, "
                   "without \"sandbox_api\" or \"sandbox_traffic\"";
        }

        conf->api = 0;
        conf->traffic = 0;
    }

    /* "sandbox_api on" ends an inherited "sandbox_traffic", and vice versa */
    if (conf->api == 1 && conf->traffic == NGX_CONF_UNSET) {
        conf->traffic = 0;
    }

    if (conf->traffic == 1 && conf->api == NGX_CONF_UNSET) {
        conf->api = 0;
    }

    ngx_conf_merge_value(conf->api, prev->api, 0);
    ngx_conf_merge_value(conf->traffic, prev->traffic, 0);

    if (conf->api && conf->traffic) {
        return "\"sandbox_api\" and \"sandbox_traffic\" exclude each other in "
               "one location";
    }

    return NGX_CONF_OK;
}


/* One handler for traffic and API: each registered one costs every request. */
static ngx_int_t
ngx_http_sandbox_precontent_handler(ngx_http_request_t *r)
{
    ngx_http_sandbox_loc_conf_t *slcf;

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_module);

    return slcf->traffic ? ngx_http_sandbox_traffic_handler(r)
                         : ngx_http_sandbox_api_handler(r);
}


static ngx_int_t
ngx_http_sandbox_log_phase_handler(ngx_http_request_t *r)
{
    ngx_http_sandbox_loc_conf_t *slcf;

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_module);

    return slcf->traffic ? ngx_http_sandbox_traffic_count(r)
                         : ngx_http_sandbox_api_count(r);
}


static ngx_int_t
ngx_http_sandbox_add_handler(ngx_conf_t *cf, ngx_http_phases phase,
                             ngx_http_handler_pt handler)
{
    ngx_http_handler_pt *h;
    ngx_http_core_main_conf_t *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[phase].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_sandbox_main_conf_t *mcf;

    /*
     * The filters, whatever this configuration has: if it fails later, workers
     * of the old one that start from then on have these chains.
     */
    ngx_http_sandbox_api_bound_bodies();
    ngx_http_sandbox_filters_init();

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_module);

    if (!mcf->api && !mcf->traffic) {
        return NGX_OK;
    }

    ngx_http_sandbox_api_name_routes();

    /*
     * Both run before the content phase, so that access rules of the location
     * hold and proxy_pass stays its content handler.
     */

    if (ngx_http_sandbox_add_handler(cf, NGX_HTTP_PRECONTENT_PHASE,
                                     ngx_http_sandbox_precontent_handler)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_sandbox_add_handler(cf, NGX_HTTP_LOG_PHASE,
                                        ngx_http_sandbox_log_phase_handler);
}


/* Lines from libvirt threads: nginx's log is safe to write to from them. */
static void
ngx_http_sandbox_hypervisor_log(int level, const char *message)
{
    ngx_log_error((ngx_uint_t) level, ngx_cycle->log, 0, "sandbox: %s",
                  message);
}


/* In the master, at the start and at each reload, which keeps the module. */
static ngx_int_t
ngx_http_sandbox_init_module(ngx_cycle_t *cycle)
{
    if (!ngx_test_config) {
        ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0, "sandbox: version %s",
                      ngx_http_sandbox_version);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_init_process(ngx_cycle_t *cycle)
{
    char nonce[SANDBOX_TOKEN_SIZE];
    ngx_http_sandbox_worker_t *worker;
    ngx_http_sandbox_main_conf_t *mcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_sandbox_module);

    if (mcf == NULL || (!mcf->api && !mcf->traffic)) {
        return NGX_OK;
    }

    ngx_http_sandbox_limits_start(ngx_http_sandbox_metrics_start());
    ngx_http_sandbox_metric_set(NGX_HTTP_SANDBOX_METRIC_SANDBOXES_MAX, 0,
                                mcf->max_sandboxes);
    ngx_http_sandbox_loop_start(cycle);

    worker = &ngx_http_sandbox_worker;
    worker->conf = mcf;

    if (sandbox_token_make(nonce) != 0) {
        return NGX_ERROR;
    }

    ngx_snprintf((u_char *) worker->owner, sizeof(worker->owner), "%P/%s%Z",
                 ngx_pid, nonce);

    ngx_http_sandbox_scripts_init();

    worker->redis = ngx_http_sandbox_redis_create(mcf->redis, cycle->log);
    if (worker->redis == NULL) {
        return NGX_ERROR;
    }

    ngx_http_sandbox_clock_start(worker->redis);
    ngx_http_sandbox_live_subscribe();
    ngx_http_sandbox_routes_subscribe();
    ngx_http_sandbox_await_init();
    ngx_http_sandbox_reconcile_subscribe();
    ngx_http_sandbox_tend_init();

    if (ngx_http_sandbox_events_listen() != NGX_OK) {
        return NGX_ERROR;
    }

    if (sandbox_hypervisor_start(&mcf->hypervisor,
                                 ngx_http_sandbox_hypervisor_log)
        != 0)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "sandbox: the libvirt event loop cannot start");
        return NGX_ERROR;
    }

    ngx_http_sandbox_gate_init();
    ngx_http_sandbox_op_probe();
    ngx_http_sandbox_reconcile_start();

    return ngx_http_sandbox_agenda_start();
}


static void
ngx_http_sandbox_exit_process(ngx_cycle_t *cycle)
{
    if (ngx_http_sandbox_worker.redis) {
        ngx_http_sandbox_reconcile_stop();
        ngx_http_sandbox_redis_destroy(ngx_http_sandbox_worker.redis);
        ngx_http_sandbox_worker.redis = NULL;
        sandbox_hypervisor_stop();
    }

    ngx_http_sandbox_loop_stop();
    ngx_http_sandbox_metrics_stop();
}
