/*
 * The source of a create that is not from a template: a reusable snapshot, a
 * running sandbox (fork) or a paused one (resume).
 *
 * The record of the source is read and its state checked; what the new sandbox
 * inherits is in ngx_http_sandbox_create_inherit.c.  While another operation
 * changes the source, the create waits for the event and reads again.
 */

#include "ngx_http_sandbox_create_source.h"

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_snapshot.h"
#include "ngx_http_sandbox_state.h"
#include "sandbox_time.h"


static const char *const ngx_http_sandbox_source_fields[SOURCE_FIELDS] = {
    [SOURCE_STATE] = "state",
    [SOURCE_TENANT] = "tenant",
    [SOURCE_NODE] = "node",
    [SOURCE_TEMPLATE] = "template",
    [SOURCE_VCPUS] = "vcpus",
    [SOURCE_MEMORY] = "memory_mb",
    [SOURCE_DISK] = "disk_mb",
    [SOURCE_CWD] = "cwd",
    [SOURCE_ENVS] = "envs",
    [SOURCE_METADATA] = "metadata",
    [SOURCE_TIMEOUT] = "timeout_ms",
    [SOURCE_ACTION] = "timeout_action",
    [SOURCE_AUTO_RESUME] = "auto_resume",
    [SOURCE_NEXT] = "next",
    [SOURCE_ORIGIN] = "origin",
    [SOURCE_SNAPSHOT] = "snapshot_id",
    [SOURCE_PUBLIC] = "public_traffic",
    [SOURCE_MASK] = "mask_host",
    [SOURCE_KIND] = "kind",
    [SOURCE_SANDBOX] = "sandbox_id",
    [SOURCE_TOKEN] = "traffic_token",
    [SOURCE_INTERNET] = "internet_access",
    [SOURCE_ALLOW_OUT] = "allow_out",
    [SOURCE_DENY_OUT] = "deny_out",
    [SOURCE_GENERATION] = "network_generation",
};

static void ngx_http_sandbox_source_read(void *data, redisReply *reply);


/*
 * Gives address and agenda entry back, as the entry may become due while c
 * waits.  A later try is admitted under another id.
 */
static void
ngx_http_sandbox_source_unadmit(ngx_http_sandbox_create_op_t *c)
{
    if (c->admitted_until) {
        ngx_http_sandbox_op_release(c->op.id);
        c->admitted_until = 0;
    }

    c->op.id[0] = '\0';
}


/* Ends c with an error, and gives address and agenda entry back. */
static void
ngx_http_sandbox_source_fail(ngx_http_sandbox_create_op_t *c,
                             const ngx_http_sandbox_error_t *error,
                             const char *message)
{
    ngx_http_sandbox_source_unadmit(c);
    ngx_http_sandbox_op_finish_error(&c->op, error, message);
}


static void
ngx_http_sandbox_source_conflict(ngx_http_sandbox_create_op_t *c,
                                 const char *state, const char *message)
{
    ngx_cpystrn((u_char *) c->op.state, (u_char *) state, sizeof(c->op.state));
    ngx_http_sandbox_source_fail(
        c,
        ngx_strcmp(state,
                   ngx_http_sandbox_state_name(NGX_HTTP_SANDBOX_CREATING))
                == 0
            ? &ngx_http_sandbox_sandbox_not_ready
            : &ngx_http_sandbox_transition_conflict,
        message);
}


static ngx_uint_t
ngx_http_sandbox_source_is_snapshot(const ngx_http_sandbox_create_op_t *c)
{
    return ngx_strncmp(c->parent.id, "snap_", 5) == 0;
}


static void
ngx_http_sandbox_source_missing(ngx_http_sandbox_create_op_t *c)
{
    if (ngx_http_sandbox_source_is_snapshot(c)) {
        ngx_http_sandbox_source_fail(c, &ngx_http_sandbox_snapshot_not_found,
                                     "There is no such snapshot.");
        return;
    }

    ngx_http_sandbox_source_fail(c, &ngx_http_sandbox_sandbox_not_found,
                                 "There is no such sandbox.");
}


ngx_int_t
ngx_http_sandbox_source_ask(ngx_http_sandbox_create_op_t *c)
{
    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t a;

    ngx_http_sandbox_source_unadmit(c);

    if (ngx_http_sandbox_source_is_snapshot(c)) {
        ngx_http_sandbox_key_snapshot(&key, c->parent.id);

    } else {
        ngx_http_sandbox_key_record(&key, c->parent.id);
    }

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_args_hmget(&a, &key, ngx_http_sandbox_source_fields,
                                SOURCE_FIELDS);

    c->parent.reading = 1;

    return ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                          ngx_http_sandbox_source_read, c, a.n,
                                          a.values);
}


void
ngx_http_sandbox_create_source(ngx_http_sandbox_create_op_t *c)
{
    if (c->spec.snapshot_id && c->parent.id[0] == '\0'
        && sandbox_id_parse(c->parent.id, "snap", c->spec.snapshot_id,
                            ngx_strlen(c->spec.snapshot_id))
               != 0)
    {
        ngx_http_sandbox_source_fail(c, &ngx_http_sandbox_snapshot_not_found,
                                     "There is no such snapshot.");
        return;
    }

    if (ngx_http_sandbox_source_ask(c) != NGX_OK) {
        ngx_http_sandbox_create_no_redis(c);
    }
}


/* An event of the source, or the timer. */
static void
ngx_http_sandbox_source_wake(void *data, ngx_str_t *word, ngx_str_t *detail)
{
    ngx_http_sandbox_create_op_t *c = data;

    if (c->parent.reading) {
        return;
    }

    if (c->op.done == NULL) {
        /* the request is gone, and nothing has begun */
        ngx_http_sandbox_op_finish(&c->op);
        return;
    }

    if (sandbox_time_monotonic_ms() >= c->parent.wait_until_ms) {
        ngx_http_sandbox_source_fail(
            c,
            c->resume.wake ? &ngx_http_sandbox_sandbox_changing
                           : &ngx_http_sandbox_transition_in_progress,
            "The sandbox is changing its state; try again.");
        return;
    }

    ngx_http_sandbox_create_source(c);
}


void
ngx_http_sandbox_create_source_wait(ngx_http_sandbox_create_op_t *c)
{
    c->parent.reading = 0;
    ngx_http_sandbox_source_unadmit(c);

    if (c->parent.wait_until_ms == 0) {
        c->parent.wait_until_ms =
            sandbox_time_monotonic_ms()
            + (int64_t) ngx_http_sandbox_worker.conf->wake_timeout;
    }

    ngx_http_sandbox_await(&c->op.await, c->parent.id,
                           ngx_http_sandbox_source_wake, c);
}


static ngx_int_t
ngx_http_sandbox_source_snapshot(ngx_http_sandbox_create_op_t *c,
                                 redisReply *reply)
{
    const char *field;

    if (ngx_strcmp(ngx_http_sandbox_reply_string(reply, SOURCE_KIND),
                   NGX_HTTP_SANDBOX_SNAPSHOT_REUSABLE)
            != 0
        || ngx_strcmp(ngx_http_sandbox_reply_string(reply, SOURCE_STATE),
                      "ready")
               != 0)
    {
        ngx_http_sandbox_source_missing(c);
        return NGX_DONE;
    }

    field = ngx_http_sandbox_source_contradiction(c, reply);

    if (field) {
        c->op.field = field;
        c->op.reason = "must be left out or equal to the snapshot's";
        ngx_http_sandbox_source_fail(c, &ngx_http_sandbox_invalid_request,
                                     "A member of the body contradicts the "
                                     "snapshot.");
        return NGX_DONE;
    }

    ngx_memcpy(c->checkpoint, c->parent.id, sizeof(c->checkpoint));

    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_source_fork(ngx_http_sandbox_create_op_t *c, redisReply *reply,
                             ngx_http_sandbox_state_e state)
{
    switch (state) {
    case NGX_HTTP_SANDBOX_RUNNING:
        return ngx_http_sandbox_source_rest(c, reply);

    case NGX_HTTP_SANDBOX_HIBERNATING:
    case NGX_HTTP_SANDBOX_RESUMING:
        ngx_http_sandbox_create_source_wait(c);
        return NGX_DONE;

    default:
        ngx_http_sandbox_source_conflict(
            c, ngx_http_sandbox_state_name(state),
            "Only a running sandbox can be forked.");
        return NGX_DONE;
    }
}


/* The sandbox runs already: a success for a wake, an error for a resume. */
static void
ngx_http_sandbox_source_awake(ngx_http_sandbox_create_op_t *c)
{
    if (ngx_http_sandbox_idem_given(&c->idem) && !c->idem.again) {
        /* perhaps since another request with the same key has resumed it */
        c->idem.again = 1;
        ngx_http_sandbox_await_end(&c->op.await);

        if (ngx_http_sandbox_idem_peek(&c->idem) != NGX_OK) {
            ngx_http_sandbox_create_no_redis(c);
        }

        return;
    }

    if (!c->resume.wake) {
        ngx_http_sandbox_source_conflict(
            c, ngx_http_sandbox_state_name(NGX_HTTP_SANDBOX_RUNNING),
            "The sandbox is not paused.");
        return;
    }

    ngx_http_sandbox_source_unadmit(c);
    ngx_memcpy(c->op.id, c->parent.id, sizeof(c->op.id));
    c->op.status = NGX_HTTP_OK;
    ngx_http_sandbox_op_finish(&c->op);
}


static ngx_int_t
ngx_http_sandbox_source_paused(ngx_http_sandbox_create_op_t *c,
                               redisReply *reply,
                               ngx_http_sandbox_state_e state)
{
    const char *origin;

    switch (state) {
    case NGX_HTTP_SANDBOX_PAUSED:
        break;

    case NGX_HTTP_SANDBOX_RUNNING:
        ngx_http_sandbox_source_awake(c);
        return NGX_DONE;

    case NGX_HTTP_SANDBOX_HIBERNATING:
    case NGX_HTTP_SANDBOX_RESUMING:
        ngx_http_sandbox_create_source_wait(c);
        return NGX_DONE;

    default:
        ngx_http_sandbox_source_conflict(c, ngx_http_sandbox_state_name(state),
                                         "The sandbox is not paused.");
        return NGX_DONE;
    }

    if (c->resume.wake
        && ngx_http_sandbox_reply_integer(reply, SOURCE_AUTO_RESUME) == 0)
    {
        ngx_http_sandbox_source_fail(
            c, &ngx_http_sandbox_sandbox_paused_auto_resume_disabled,
            "The sandbox is paused and does not resume by itself.");
        return NGX_DONE;
    }

    origin = ngx_http_sandbox_reply_string(reply, SOURCE_ORIGIN);
    ngx_cpystrn((u_char *) c->resume.origin,
                (u_char *) (*origin ? origin : c->parent.id),
                sizeof(c->resume.origin));
    ngx_cpystrn(
        (u_char *) c->checkpoint,
        (u_char *) ngx_http_sandbox_reply_string(reply, SOURCE_SNAPSHOT),
        sizeof(c->checkpoint));

    if (c->resume.wake) {
        /* a wake answers no client with a new token: the old one stays valid */
        ngx_cpystrn(
            (u_char *) c->traffic_token,
            (u_char *) ngx_http_sandbox_reply_string(reply, SOURCE_TOKEN),
            sizeof(c->traffic_token));
    }

    return ngx_http_sandbox_source_rest(c, reply);
}


/* Judges the source by its state; NGX_DONE: c has ended, or waits. */
static ngx_int_t
ngx_http_sandbox_source_judge(ngx_http_sandbox_create_op_t *c,
                              redisReply *reply, ngx_http_sandbox_state_e state)
{
    switch (c->source) {
    case NGX_HTTP_SANDBOX_FROM_SNAPSHOT:
        return ngx_http_sandbox_source_snapshot(c, reply);

    case NGX_HTTP_SANDBOX_FROM_FORK:
        return ngx_http_sandbox_source_fork(c, reply, state);

    default:
        return ngx_http_sandbox_source_paused(c, reply, state);
    }
}


/*
 * Follows an alias to a later execution, or the snapshot of a hibernation to
 * its sandbox.  1 if reply is not the record of the source: another read has
 * begun, or c has ended.
 */
static ngx_uint_t
ngx_http_sandbox_source_follow(ngx_http_sandbox_create_op_t *c,
                               redisReply *reply,
                               ngx_http_sandbox_state_e state)
{
    const char *next;

    if (ngx_http_sandbox_source_is_snapshot(c)) {
        if (c->source != NGX_HTTP_SANDBOX_FROM_PAUSED) {
            return 0;
        }

        if (ngx_strcmp(ngx_http_sandbox_reply_string(reply, SOURCE_STATE),
                       "ready")
            != 0)
        {
            ngx_http_sandbox_source_missing(c);
            return 1;
        }

        if (ngx_strcmp(ngx_http_sandbox_reply_string(reply, SOURCE_KIND),
                       NGX_HTTP_SANDBOX_SNAPSHOT_HIBERNATE)
            != 0)
        {
            ngx_http_sandbox_source_fail(
                c, &ngx_http_sandbox_conflict,
                "This is a reusable snapshot: create a sandbox with its "
                "snapshot_id.");
            return 1;
        }

        next = ngx_http_sandbox_reply_string(reply, SOURCE_SANDBOX);

    } else if (state == NGX_HTTP_SANDBOX_RESUMED) {
        next = ngx_http_sandbox_reply_string(reply, SOURCE_NEXT);

    } else {
        return 0;
    }

    if (ngx_http_sandbox_op_hop(&c->op, c->parent.id, next) != NGX_OK) {
        ngx_http_sandbox_source_missing(c);
        return 1;
    }

    ngx_http_sandbox_create_source(c);

    return 1;
}


static ngx_uint_t
ngx_http_sandbox_source_is_ours(redisReply *reply)
{
    return *ngx_http_sandbox_reply_string(reply, SOURCE_NODE)
           && !ngx_http_sandbox_reply_elsewhere(reply->element[SOURCE_NODE]);
}


static void
ngx_http_sandbox_source_read(void *data, redisReply *reply)
{
    ngx_http_sandbox_create_op_t *c = data;

    ngx_int_t rc;
    const char *tenant;
    ngx_http_sandbox_state_e state;

    c->parent.reading = 0;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != SOURCE_FIELDS)
    {
        ngx_http_sandbox_create_no_redis(c);
        return;
    }

    tenant = ngx_http_sandbox_reply_string(reply, SOURCE_TENANT);
    state = ngx_http_sandbox_state_of(
        ngx_http_sandbox_reply_string(reply, SOURCE_STATE));

    if (*tenant == '\0' || ngx_http_sandbox_state_hidden(state)
        || (c->tenant[0] && ngx_strcmp(tenant, c->tenant) != 0))
    {
        ngx_http_sandbox_source_missing(c);
        return;
    }

    ngx_cpystrn((u_char *) c->tenant, (u_char *) tenant, sizeof(c->tenant));

    if (ngx_http_sandbox_source_follow(c, reply, state)) {
        return;
    }

    c->op.hops = 0;

    rc = ngx_http_sandbox_source_judge(c, reply, state);

    if (rc == NGX_DONE) {
        return;
    }

    if (!ngx_http_sandbox_source_is_ours(reply)) {
        ngx_http_sandbox_op_elsewhere(
            &c->op, ngx_http_sandbox_reply_string(reply, SOURCE_NODE));
        ngx_http_sandbox_source_fail(
            c, &ngx_http_sandbox_no_eligible_runtime_host,
            "What the sandbox is to be made of is on another node.");
        return;
    }

    if (rc != NGX_OK || ngx_http_sandbox_source_machine(c, reply) != NGX_OK) {
        ngx_http_sandbox_source_fail(c, &ngx_http_sandbox_internal_error,
                                     "Out of memory.");
        return;
    }

    ngx_http_sandbox_await_end(&c->op.await);
    ngx_http_sandbox_create_admit(c);
}
