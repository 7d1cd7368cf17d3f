/* Looks for warm pools whose lease is over; see the header. */

#include "ngx_http_sandbox_pool_lease.h"

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_pool.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_schedule.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_timer.h"

/* Until a pool is due again, and between two looks of a worker, mostly. */
#define NGX_HTTP_SANDBOX_POOL_LEASE_INTERVAL_MS 2000

/* Until a pool is due again that a node has looked at in vain. */
#define NGX_HTTP_SANDBOX_POOL_LEASE_AGAIN_MS 500

#define NGX_HTTP_SANDBOX_POOL_LEASE_MOST 32 /* pools in one look */


static struct {
    ngx_event_t event;
    void (*over)(const char *id);
} ngx_http_sandbox_pool_lease;


static void
ngx_http_sandbox_pool_lease_due(void *data, redisReply *reply)
{
    size_t i;
    char id[SANDBOX_ID_SIZE];
    const char *text;
    redisReply *due;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || ngx_exiting) {
        return;
    }

    due = ngx_http_sandbox_reply_array(reply, 1);

    for (i = 0; i + 1 < due->elements; i += 2) {
        text = ngx_http_sandbox_reply_string(due, i);

        if (sandbox_id_parse(id, "twp", text, ngx_strlen(text)) == 0) {
            ngx_http_sandbox_pool_lease.over(id);
        }
    }
}


static void
ngx_http_sandbox_pool_lease_look(ngx_event_t *ev)
{
    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t a;

    if (ngx_exiting) {
        return;
    }

    /*
     * At random: a worker that came first each time, and whose node may not
     * take a pool, would keep the pool from others.
     */
    ngx_add_timer(ev, NGX_HTTP_SANDBOX_POOL_LEASE_INTERVAL_MS / 2
                          + (ngx_msec_t) ngx_random()
                                % NGX_HTTP_SANDBOX_POOL_LEASE_INTERVAL_MS);

    if (!ngx_http_sandbox_worker.ours) {
        return;
    }

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_leases(&key);
    ngx_http_sandbox_arg_key(&a, &key);
    ngx_http_sandbox_arg_int(&a, NGX_HTTP_SANDBOX_POOL_LEASE_INTERVAL_MS);
    ngx_http_sandbox_arg_int(&a, NGX_HTTP_SANDBOX_POOL_LEASE_MOST);

    (void) ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_pool_lease_due, NULL,
        &ngx_http_sandbox_lua_due, 1, a.n, a.values);
}


/* Sets the time of a pool on the list; until 0 takes it off the list. */
static void
ngx_http_sandbox_pool_lease_set(const char *id, int64_t until)
{
    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t a;

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_leases(&key);
    ngx_http_sandbox_arg(&a, until ? "ZADD" : "ZREM");
    ngx_http_sandbox_arg_key(&a, &key);

    if (until) {
        ngx_http_sandbox_arg_int(&a, until);
    }

    ngx_http_sandbox_arg(&a, id);

    (void) ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                          ngx_http_sandbox_reply_ignore, NULL,
                                          a.n, a.values);
}


void
ngx_http_sandbox_pool_lease_note(const char *id, int64_t until)
{
    ngx_http_sandbox_pool_lease_set(id, until);
}


void
ngx_http_sandbox_pool_lease_begin(const char *id, int64_t ms)
{
    ngx_http_sandbox_key_t key;

    ngx_http_sandbox_key_leases(&key);
    (void) ngx_http_sandbox_schedule_list_in(
        &key, id, ms, ngx_http_sandbox_reply_ignore, NULL);
}


void
ngx_http_sandbox_pool_lease_again(const char *id)
{
    ngx_http_sandbox_pool_lease_begin(id, NGX_HTTP_SANDBOX_POOL_LEASE_AGAIN_MS);
}


void
ngx_http_sandbox_pool_lease_forget(const char *id)
{
    ngx_http_sandbox_pool_lease_set(id, 0);
}


void
ngx_http_sandbox_pool_lease_start(void (*over)(const char *id))
{
    ngx_event_t *ev;

    ngx_http_sandbox_pool_lease.over = over;

    ev = &ngx_http_sandbox_pool_lease.event;
    ngx_http_sandbox_timer_init(ev, ngx_http_sandbox_pool_lease_look);
    ngx_add_timer(ev, (ngx_msec_t) ngx_random()
                          % NGX_HTTP_SANDBOX_POOL_LEASE_INTERVAL_MS);
}
