/*
 * What a create comes from, when that is not a template: a reusable snapshot,
 * a running sandbox (fork) or a paused one (resume).
 *
 * Its record is read into the specification of the new sandbox; what the
 * request says against it is refused.  While somebody else is at work on it,
 * this waits for the news and reads again.
 */

#include "ngx_http_sandbox_create_parts.h"

#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_transition.h"
#include "sandbox_crash.h"
#include "sandbox_text.h"
#include "sandbox_time.h"


/* Order matters: the enumeration below has the indexes. */
static const char *ngx_http_sandbox_source_fields[] = {
    "state",
    "tenant",
    "node",
    "template",
    "vcpus",
    "memory_mb",
    "disk_mb",
    "cwd",
    "envs",
    "metadata",
    "timeout_ms",
    "timeout_action",
    "auto_resume",
    "next",
    "origin",
    "snapshot_id",
    "public_traffic",
    "mask_host",
    "kind",
    "sandbox_id",
    "traffic_token",
    "internet_access",
    "allow_out",
    "deny_out",
    "network_generation",
};

typedef enum {
    SOURCE_STATE = 0,
    SOURCE_TENANT,
    SOURCE_NODE,
    SOURCE_TEMPLATE,
    SOURCE_VCPUS,
    SOURCE_MEMORY,
    SOURCE_DISK,
    SOURCE_CWD,
    SOURCE_ENVS,
    SOURCE_METADATA,
    SOURCE_TIMEOUT,
    SOURCE_ACTION,
    SOURCE_AUTO_RESUME,
    SOURCE_NEXT,
    SOURCE_ORIGIN,
    SOURCE_SNAPSHOT,
    SOURCE_PUBLIC,
    SOURCE_MASK,
    SOURCE_KIND,
    SOURCE_SANDBOX,
    SOURCE_TOKEN,
    SOURCE_INTERNET,
    SOURCE_ALLOW_OUT,
    SOURCE_DENY_OUT,
    SOURCE_GENERATION,
    SOURCE_FIELDS
} ngx_http_sandbox_source_field_e;


static void ngx_http_sandbox_source_read(void *data, redisReply *reply);


/*
 * What was admitted is given back: the agenda may come to it while this waits.
 * A later try is admitted under another id.
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


/* Ends c; what was admitted is given back. */
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
    return ngx_strncmp(c->parent, "snap_", 5) == 0;
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


static ngx_int_t
ngx_http_sandbox_source_ask(ngx_http_sandbox_create_op_t *c)
{
    ngx_uint_t i;
    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t a;

    ngx_http_sandbox_source_unadmit(c);

    if (ngx_http_sandbox_source_is_snapshot(c)) {
        ngx_http_sandbox_key_snapshot(&key, c->parent);

    } else {
        ngx_http_sandbox_key_record(&key, c->parent);
    }

    a.n = a.nnumbers = 0;
    ngx_http_sandbox_arg(&a, "HMGET");
    ngx_http_sandbox_arg_key(&a, &key);

    for (i = 0; i < SOURCE_FIELDS; i++) {
        ngx_http_sandbox_arg(&a, ngx_http_sandbox_source_fields[i]);
    }

    c->peeking = 1;

    return ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                          ngx_http_sandbox_source_read, c, a.n,
                                          a.values);
}


void
ngx_http_sandbox_create_source(ngx_http_sandbox_create_op_t *c)
{
    if (c->spec.snapshot_id && c->parent[0] == '\0'
        && sandbox_id_parse(c->parent, "snap", c->spec.snapshot_id,
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


/* There is news of what is waited for, or it is time to look. */
static void
ngx_http_sandbox_source_wake(void *data, ngx_str_t *word, ngx_str_t *detail)
{
    ngx_http_sandbox_create_op_t *c = data;

    if (c->peeking) {
        return;
    }

    if (c->op.done == NULL) {
        /* nobody waits for it any more, and nothing has begun */
        ngx_http_sandbox_op_finish(&c->op);
        return;
    }

    if (sandbox_time_monotonic_ms() >= c->changing) {
        ngx_http_sandbox_source_fail(
            c,
            c->wake ? &ngx_http_sandbox_sandbox_changing
                    : &ngx_http_sandbox_transition_in_progress,
            "The sandbox is changing its state; try again.");
        return;
    }

    ngx_http_sandbox_create_source(c);
}


void
ngx_http_sandbox_create_source_wait(ngx_http_sandbox_create_op_t *c)
{
    c->peeking = 0;
    ngx_http_sandbox_source_unadmit(c);

    if (c->changing == 0) {
        c->changing = sandbox_time_monotonic_ms()
                      + (int64_t) ngx_http_sandbox_worker.conf->wake_timeout;
    }

    ngx_http_sandbox_await(&c->op.await, c->parent,
                           ngx_http_sandbox_source_wake, c);
}


/* A string of the reply in memory of its own; absent ones leave *copy. */
static ngx_int_t
ngx_http_sandbox_source_copy(char **copy, redisReply *reply, size_t i)
{
    char *text;

    if (reply->element[i]->type != REDIS_REPLY_STRING) {
        return NGX_OK;
    }

    text = strdup(reply->element[i]->str);
    if (text == NULL) {
        return NGX_ERROR;
    }

    free(*copy);
    *copy = text;

    return NGX_OK;
}


/* 1 unless it says otherwise: earlier ones say nothing. */
static int
ngx_http_sandbox_source_internet(redisReply *reply)
{
    return ngx_strcmp(ngx_http_sandbox_reply_string(reply, SOURCE_INTERNET),
                      "0")
           != 0;
}


/* A second look may find other lists than the first one, or none. */
static ngx_int_t
ngx_http_sandbox_source_egress(ngx_http_sandbox_create_op_t *c,
                               redisReply *reply)
{
    free(c->spec.allow_out);
    free(c->spec.deny_out);
    c->spec.allow_out = c->spec.deny_out = NULL;

    return ngx_http_sandbox_source_copy(&c->spec.allow_out, reply,
                                        SOURCE_ALLOW_OUT)
                       == NGX_OK
                   && ngx_http_sandbox_source_copy(&c->spec.deny_out, reply,
                                                   SOURCE_DENY_OUT)
                          == NGX_OK
               ? NGX_OK
               : NGX_ERROR;
}


/* What depends on the machine and not on the request. */
static ngx_int_t
ngx_http_sandbox_source_machine(ngx_http_sandbox_create_op_t *c,
                                redisReply *reply)
{
    sandbox_template_t *const *t;

    c->spec.vcpus = ngx_http_sandbox_reply_integer(reply, SOURCE_VCPUS);
    c->spec.memory_mb = ngx_http_sandbox_reply_integer(reply, SOURCE_MEMORY);
    c->spec.disk_mb = ngx_http_sandbox_reply_integer(reply, SOURCE_DISK);

    c->spec.internet = ngx_http_sandbox_source_internet(reply);
    ngx_cpystrn(
        (u_char *) c->generation,
        (u_char *) ngx_http_sandbox_reply_string(reply, SOURCE_GENERATION),
        sizeof(c->generation));

    if (ngx_http_sandbox_source_copy(&c->template_name, reply, SOURCE_TEMPLATE)
            != NGX_OK
        || ngx_http_sandbox_source_egress(c, reply) != NGX_OK
        || ngx_http_sandbox_source_copy(&c->spec.envs, reply, SOURCE_ENVS)
               != NGX_OK
        || c->template_name == NULL)
    {
        return NGX_ERROR;
    }

    /* it need not be configured any more */
    for (t = ngx_http_sandbox_worker.conf->templates;
         *t && ngx_strcmp((*t)->name, c->template_name) != 0; t++)
    { /* void */
    }

    c->spec.template = *t;

    if (c->spec.cwd == NULL
        && ngx_http_sandbox_source_copy(&c->spec.cwd, reply, SOURCE_CWD)
               != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* What a fork or a later execution has of the earlier one. */
static ngx_int_t
ngx_http_sandbox_source_rest(ngx_http_sandbox_create_op_t *c, redisReply *reply)
{
    c->spec.timeout_ms = ngx_http_sandbox_reply_integer(reply, SOURCE_TIMEOUT);
    c->spec.hibernate =
        ngx_strcmp(ngx_http_sandbox_reply_string(reply, SOURCE_ACTION),
                   NGX_HTTP_SANDBOX_ACTION_HIBERNATE)
        == 0;
    c->spec.auto_resume =
        ngx_http_sandbox_reply_integer(reply, SOURCE_AUTO_RESUME) != 0;
    c->spec.public_traffic =
        ngx_http_sandbox_reply_integer(reply, SOURCE_PUBLIC) != 0;

    if (c->spec.metadata == NULL
        && ngx_http_sandbox_source_copy(&c->spec.metadata, reply,
                                        SOURCE_METADATA)
               != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_sandbox_source_copy(&c->spec.mask_host, reply, SOURCE_MASK)
                       == NGX_OK
                   && c->spec.metadata
               ? NGX_OK
               : NGX_ERROR;
}


/* The member of the request that contradicts the snapshot, or NULL. */
static const char *
ngx_http_sandbox_source_contradiction(const ngx_http_sandbox_create_op_t *c,
                                      redisReply *reply)
{
    const char *envs;

    if (c->spec.template
        && ngx_strcmp(c->spec.template->name,
                      ngx_http_sandbox_reply_string(reply, SOURCE_TEMPLATE))
               != 0)
    {
        return "template";
    }

    if (c->spec.vcpus
        && c->spec.vcpus != ngx_http_sandbox_reply_integer(reply, SOURCE_VCPUS))
    {
        return "vcpus";
    }

    if (c->spec.memory_mb
        && c->spec.memory_mb
               != ngx_http_sandbox_reply_integer(reply, SOURCE_MEMORY))
    {
        return "memory_mb";
    }

    if (c->spec.internet != -1
        && c->spec.internet != ngx_http_sandbox_source_internet(reply))
    {
        return "internet_access";
    }

    if (c->spec.allow_out
        && ngx_strcmp(c->spec.allow_out,
                      ngx_http_sandbox_reply_string(reply, SOURCE_ALLOW_OUT))
               != 0)
    {
        return "network.allow_out";
    }

    if (c->spec.deny_out
        && ngx_strcmp(c->spec.deny_out,
                      ngx_http_sandbox_reply_string(reply, SOURCE_DENY_OUT))
               != 0)
    {
        return "network.deny_out";
    }

    envs = ngx_http_sandbox_reply_string(reply, SOURCE_ENVS);

    if (c->spec.envs && !sandbox_json_equal(c->spec.envs, *envs ? envs : "{}"))
    {
        return "envs";
    }

    return NULL;
}


static ngx_int_t
ngx_http_sandbox_source_snapshot(ngx_http_sandbox_create_op_t *c,
                                 redisReply *reply)
{
    const char *field;

    if (ngx_strcmp(ngx_http_sandbox_reply_string(reply, SOURCE_KIND),
                   "reusable")
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

    ngx_memcpy(c->checkpoint, c->parent, sizeof(c->checkpoint));

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


/* It runs: what a wake wants, and a resume does not. */
static void
ngx_http_sandbox_source_awake(ngx_http_sandbox_create_op_t *c)
{
    if (!c->wake) {
        ngx_http_sandbox_source_conflict(
            c, ngx_http_sandbox_state_name(NGX_HTTP_SANDBOX_RUNNING),
            "The sandbox is not paused.");
        return;
    }

    ngx_http_sandbox_source_unadmit(c);
    ngx_memcpy(c->op.id, c->parent, sizeof(c->op.id));
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

    if (c->wake
        && ngx_http_sandbox_reply_integer(reply, SOURCE_AUTO_RESUME) == 0) {
        ngx_http_sandbox_source_fail(
            c, &ngx_http_sandbox_sandbox_paused_auto_resume_disabled,
            "The sandbox is paused and does not resume by itself.");
        return NGX_DONE;
    }

    origin = ngx_http_sandbox_reply_string(reply, SOURCE_ORIGIN);
    ngx_cpystrn((u_char *) c->origin, (u_char *) (*origin ? origin : c->parent),
                sizeof(c->origin));
    ngx_cpystrn(
        (u_char *) c->checkpoint,
        (u_char *) ngx_http_sandbox_reply_string(reply, SOURCE_SNAPSHOT),
        sizeof(c->checkpoint));

    if (c->wake) {
        /* nobody is told a new one: who has the old one comes again */
        ngx_cpystrn(
            (u_char *) c->traffic_token,
            (u_char *) ngx_http_sandbox_reply_string(reply, SOURCE_TOKEN),
            sizeof(c->traffic_token));
    }

    return ngx_http_sandbox_source_rest(c, reply);
}


/*
 * Goes to another record: of a later execution, or from the snapshot of a
 * hibernation to its sandbox.  1 if that ends this look.
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
                       "hibernate")
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

    if (*next == '\0' || c->hops++ >= NGX_HTTP_SANDBOX_HOPS_MAX) {
        ngx_http_sandbox_source_missing(c);
        return 1;
    }

    ngx_cpystrn((u_char *) c->parent, (u_char *) next, sizeof(c->parent));
    ngx_http_sandbox_create_source(c);

    return 1;
}


static ngx_uint_t
ngx_http_sandbox_source_is_ours(redisReply *reply)
{
    ngx_str_t *node;
    const char *text;

    node = &ngx_http_sandbox_worker.conf->node;
    text = ngx_http_sandbox_reply_string(reply, SOURCE_NODE);

    return ngx_strlen(text) == node->len
           && ngx_strncmp(text, node->data, node->len) == 0;
}


static void
ngx_http_sandbox_source_read(void *data, redisReply *reply)
{
    ngx_http_sandbox_create_op_t *c = data;

    ngx_int_t rc;
    const char *tenant;
    ngx_http_sandbox_state_e state;

    c->peeking = 0;

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

    c->hops = 0;

    switch (c->source) {
    case NGX_HTTP_SANDBOX_FROM_SNAPSHOT:
        rc = ngx_http_sandbox_source_snapshot(c, reply);
        break;

    case NGX_HTTP_SANDBOX_FROM_FORK:
        rc = ngx_http_sandbox_source_fork(c, reply, state);
        break;

    default:
        rc = ngx_http_sandbox_source_paused(c, reply, state);
    }

    if (rc == NGX_DONE) {
        return;
    }

    if (!ngx_http_sandbox_source_is_ours(reply)) {
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


ngx_int_t
ngx_http_sandbox_create_reserve_resume(ngx_http_sandbox_create_op_t *c)
{
    char execution[17];
    ngx_http_sandbox_key_t record, index, old, events;
    ngx_http_sandbox_args_t a;

    ngx_snprintf((u_char *) execution, sizeof(execution), "%016xL%Z",
                 c->execution);

    a.n = a.nnumbers = 0;
    ngx_http_sandbox_key_record(&record, c->op.id);
    ngx_http_sandbox_key_tenant(&index, c->tenant);
    ngx_http_sandbox_key_record(&old, c->parent);
    ngx_http_sandbox_key_events(&events);

    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg_key(&a, &index);
    ngx_http_sandbox_arg_key(&a, &old);
    ngx_http_sandbox_arg(&a, c->parent);
    ngx_http_sandbox_arg(&a, c->op.id);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, (int64_t) ngx_http_sandbox_worker.conf->lease);
    ngx_http_sandbox_arg_int(&a, c->admitted_until);
    ngx_http_sandbox_arg_key(&a, &events);
    ngx_http_sandbox_arg_transition(&a, NGX_HTTP_SANDBOX_RESUME);
    ngx_http_sandbox_arg(&a, c->generation);
    ngx_http_sandbox_arg_int(
        &a,
        c->wake ? (int64_t) ngx_http_sandbox_worker.conf->wakes_interval : 0);
    ngx_http_sandbox_create_record(c, &a, NULL, execution);

    SANDBOX_CRASH_POINT("resume.reserve.before");
    c->reserving = sandbox_time_monotonic_ms();

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_create_reserved, c,
        &ngx_http_sandbox_lua_resume, 3, a.n, a.values);
}


ngx_http_sandbox_op_t *
ngx_http_sandbox_op_fork(const char *id, ngx_http_sandbox_ctx_t *ctx,
                         ngx_str_t *idem_key, sandbox_snapshot_t *body,
                         ngx_http_sandbox_op_done_pt done, void *data)
{
    ngx_http_sandbox_create_op_t *c;

    c = ngx_http_sandbox_create_new(ctx, done, data);
    if (c == NULL) {
        return NULL;
    }

    c->source = NGX_HTTP_SANDBOX_FROM_FORK;
    ngx_cpystrn((u_char *) c->parent, (u_char *) id, sizeof(c->parent));
    c->idem.route = NGX_HTTP_SANDBOX_ROUTE_FORK;

    if (ngx_http_sandbox_idem_init(&c->idem, idem_key, body->fingerprint)
            != NGX_OK
        || ngx_http_sandbox_idem_peek(&c->idem) != NGX_OK)
    {
        ngx_http_sandbox_op_discard(&c->op);
        return NULL;
    }

    if (body->given) {
        c->spec.metadata = body->metadata;
        body->metadata = NULL;
    }

    return &c->op;
}


ngx_http_sandbox_op_t *
ngx_http_sandbox_op_resume(const char *id, ngx_http_sandbox_ctx_t *ctx,
                           ngx_uint_t wake, ngx_http_sandbox_op_done_pt done,
                           void *data)
{
    ngx_http_sandbox_create_op_t *c;

    c = ngx_http_sandbox_create_new(ctx, done, data);
    if (c == NULL) {
        return NULL;
    }

    c->source = NGX_HTTP_SANDBOX_FROM_PAUSED;
    c->wake = wake;
    ngx_cpystrn((u_char *) c->parent, (u_char *) id, sizeof(c->parent));

    if (ngx_http_sandbox_source_ask(c) != NGX_OK) {
        ngx_http_sandbox_op_discard(&c->op);
        return NULL;
    }

    return &c->op;
}
