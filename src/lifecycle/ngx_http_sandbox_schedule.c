/* Writing agendas; see the header. */

#include "ngx_http_sandbox_schedule.h"

#include "ngx_http_sandbox_module.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_state.h"
#include "sandbox_id.h"


typedef struct {
    char id[SANDBOX_ID_SIZE];
    int64_t at; /* ms by Redis' clock; 0: not known yet */
} ngx_http_sandbox_schedule_postponed_t;


/* how: "", or "hasten": only moves an entry that is there at a later time. */
static ngx_int_t
ngx_http_sandbox_schedule_send(ngx_http_sandbox_key_t *list, const char *id,
                               int64_t ms, const char *how,
                               ngx_http_sandbox_redis_handler_pt handler,
                               void *data)
{
    ngx_http_sandbox_args_t a;

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_arg_key(&a, list);
    ngx_http_sandbox_arg(&a, id);
    ngx_http_sandbox_arg_int(&a, ms);
    ngx_http_sandbox_arg(&a, how);

    return ngx_http_sandbox_redis_eval(ngx_http_sandbox_worker.redis, handler,
                                       data, &ngx_http_sandbox_lua_schedule, 1,
                                       a.n, a.values);
}


/* Sends ZADD; exists and earlier are its XX and LT. */
static ngx_int_t
ngx_http_sandbox_schedule_add(const ngx_str_t *node, const char *id, int64_t at,
                              ngx_uint_t exists, ngx_uint_t earlier,
                              ngx_http_sandbox_redis_handler_pt handler,
                              void *data)
{
    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t a;

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_of_node(&key, node, "agenda");
    ngx_http_sandbox_arg(&a, "ZADD");
    ngx_http_sandbox_arg_key(&a, &key);

    if (exists) {
        ngx_http_sandbox_arg(&a, "XX");
    }

    if (earlier) {
        ngx_http_sandbox_arg(&a, "LT");
    }

    ngx_http_sandbox_arg_int(&a, at);
    ngx_http_sandbox_arg(&a, id);

    return ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                          handler, data, a.n, a.values);
}


ngx_int_t
ngx_http_sandbox_schedule_list_in(ngx_http_sandbox_key_t *list, const char *id,
                                  int64_t ms,
                                  ngx_http_sandbox_redis_handler_pt handler,
                                  void *data)
{
    return ngx_http_sandbox_schedule_send(list, id, ms, "", handler, data);
}


ngx_int_t
ngx_http_sandbox_schedule_place_in(const ngx_str_t *node, const char *id,
                                   int64_t ms,
                                   ngx_http_sandbox_redis_handler_pt handler,
                                   void *data)
{
    ngx_http_sandbox_key_t key;

    ngx_http_sandbox_key_of_node(&key, node, "agenda");

    return ngx_http_sandbox_schedule_send(&key, id, ms, "", handler, data);
}


ngx_int_t
ngx_http_sandbox_schedule_place_at(const ngx_str_t *node, const char *id,
                                   int64_t at, ngx_uint_t hasten,
                                   ngx_http_sandbox_redis_handler_pt handler,
                                   void *data)
{
    return ngx_http_sandbox_schedule_add(node, id, at, hasten, hasten, handler,
                                         data);
}


ngx_int_t
ngx_http_sandbox_schedule_place_by(const ngx_str_t *node, const char *id,
                                   int64_t at,
                                   ngx_http_sandbox_redis_handler_pt handler,
                                   void *data)
{
    return ngx_http_sandbox_schedule_add(node, id, at, 0, 1, handler, data);
}


void
ngx_http_sandbox_schedule_on(const ngx_str_t *node, const char *id, int64_t ms)
{
    (void) ngx_http_sandbox_schedule_place_in(
        node, id, ms, ngx_http_sandbox_reply_ignore, NULL);
}


void
ngx_http_sandbox_schedule_in(const char *id, int64_t ms)
{
    ngx_http_sandbox_schedule_on(&ngx_http_sandbox_worker.conf->node, id, ms);
}


void
ngx_http_sandbox_schedule_at(const char *id, int64_t at)
{
    (void) ngx_http_sandbox_schedule_place_at(
        &ngx_http_sandbox_worker.conf->node, id, at, 0,
        ngx_http_sandbox_reply_ignore, NULL);
}


void
ngx_http_sandbox_schedule_hasten_on(const ngx_str_t *node, const char *id,
                                    int64_t ms)
{
    ngx_http_sandbox_key_t key;

    ngx_http_sandbox_key_of_node(&key, node, "agenda");
    (void) ngx_http_sandbox_schedule_send(&key, id, ms, "hasten",
                                          ngx_http_sandbox_reply_ignore, NULL);
}


void
ngx_http_sandbox_schedule_hasten_in(const char *id, int64_t ms)
{
    ngx_http_sandbox_schedule_hasten_on(&ngx_http_sandbox_worker.conf->node, id,
                                        ms);
}


/* The record, read after its entry was put off: moves the entry up again. */
static void
ngx_http_sandbox_schedule_postpone_checked(void *data, redisReply *reply)
{
    ngx_http_sandbox_schedule_postponed_t *p = data;

    int64_t at;
    const char *state;

    state = reply ? ngx_http_sandbox_reply_string(reply, 0) : "";

    if (ngx_http_sandbox_state_of(state) == NGX_HTTP_SANDBOX_RUNNING) {
        at = ngx_http_sandbox_reply_integer(reply, 1);

    } else if (ngx_http_sandbox_state_of(state) == NGX_HTTP_SANDBOX_DESTROYING
               || ngx_http_sandbox_state_of(state)
                      == NGX_HTTP_SANDBOX_HIBERNATING)
    {
        /* a DELETE or a hibernation has begun meanwhile: its lease counts */
        at = ngx_http_sandbox_reply_integer(reply, 2);

    } else {
        at = 0;
    }

    if (at && at < p->at) {
        (void) ngx_http_sandbox_schedule_place_at(
            &ngx_http_sandbox_worker.conf->node, p->id, at, 1,
            ngx_http_sandbox_reply_ignore, NULL);
    }

    ngx_free(p);
}


static void
ngx_http_sandbox_schedule_postpone_check(void *data, redisReply *reply)
{
    ngx_http_sandbox_schedule_postponed_t *p = data;

    ngx_http_sandbox_key_t record;
    ngx_http_sandbox_args_t a;

    if (reply && p->at == 0) {
        p->at = ngx_http_sandbox_reply_integer(reply, 0);
    }

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_record(&record, p->id);
    ngx_http_sandbox_arg(&a, "HMGET");
    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg(&a, "state");
    ngx_http_sandbox_arg(&a, "timeout_at");
    ngx_http_sandbox_arg(&a, "lease_at");

    if (reply == NULL
        || ngx_http_sandbox_redis_command(
               ngx_http_sandbox_worker.redis,
               ngx_http_sandbox_schedule_postpone_checked, p, a.n, a.values)
               != NGX_OK)
    {
        ngx_free(p);
    }
}


static ngx_http_sandbox_schedule_postponed_t *
ngx_http_sandbox_schedule_postponed(const char *id, int64_t at)
{
    ngx_http_sandbox_schedule_postponed_t *p;

    p = ngx_alloc(sizeof(ngx_http_sandbox_schedule_postponed_t),
                  ngx_cycle->log);

    if (p) {
        ngx_cpystrn((u_char *) p->id, (u_char *) id, sizeof(p->id));
        p->at = at;
    }

    return p;
}


void
ngx_http_sandbox_schedule_postpone_in(const char *id, int64_t ms)
{
    ngx_http_sandbox_schedule_postponed_t *p;

    p = ngx_http_sandbox_schedule_postponed(id, 0);

    if (p
        && ngx_http_sandbox_schedule_place_in(
               &ngx_http_sandbox_worker.conf->node, id, ms,
               ngx_http_sandbox_schedule_postpone_check, p)
               != NGX_OK)
    {
        ngx_free(p);
    }
}


void
ngx_http_sandbox_schedule_postpone_at(const char *id, int64_t at)
{
    ngx_http_sandbox_schedule_postponed_t *p;

    p = ngx_http_sandbox_schedule_postponed(id, at);

    if (p
        && ngx_http_sandbox_schedule_place_at(
               &ngx_http_sandbox_worker.conf->node, id, at, 0,
               ngx_http_sandbox_schedule_postpone_check, p)
               != NGX_OK)
    {
        ngx_free(p);
    }
}


void
ngx_http_sandbox_schedule_remove(const char *id)
{
    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t a;

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_node(&key, "agenda");
    ngx_http_sandbox_arg(&a, "ZREM");
    ngx_http_sandbox_arg_key(&a, &key);
    ngx_http_sandbox_arg(&a, id);

    (void) ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                          ngx_http_sandbox_reply_ignore, NULL,
                                          a.n, a.values);
}


void
ngx_http_sandbox_schedule_remove_idle(const char *id, int64_t listed)
{
    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t a;

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_node(&key, "agenda");
    ngx_http_sandbox_arg_key(&a, &key);
    ngx_http_sandbox_arg(&a, id);
    ngx_http_sandbox_arg_int(&a, listed);

    (void) ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_reply_ignore, NULL,
        &ngx_http_sandbox_lua_unschedule, 1, a.n, a.values);
}
