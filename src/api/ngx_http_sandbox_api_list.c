/*
 * GET /v1/sandboxes and GET /v1/snapshots: a page of what a tenant has.
 *
 * A page is gathered in rounds.  In each, list.lua looks at a bounded number
 * of records behind a position and gives those of the wanted states and
 * template, or source; metadata is compared here.  A round is small enough to
 * stall neither Redis nor this worker, and when the rounds are used up the page
 * is answered as it is, with a token to go on from.
 */

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_object.h"
#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_resources.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_snapshot.h"
#include "ngx_http_sandbox_wait.h"
#include "sandbox_list_query.h"

/*
 * The bounds of one round: records looked at, and bytes of records read.  Fewer
 * bytes are read when metadata is compared, which takes up to a millisecond for
 * 10 KiB.
 */
#define NGX_HTTP_SANDBOX_LIST_LOOKS_FIRST 64
#define NGX_HTTP_SANDBOX_LIST_LOOKS 256
#define NGX_HTTP_SANDBOX_LIST_BYTES (128 * 1024)
#define NGX_HTTP_SANDBOX_LIST_BYTES_COMPARED (32 * 1024)

/* The bounds of a page; one full of the largest metadata must fit in. */
#define NGX_HTTP_SANDBOX_LIST_ROUNDS 64
#define NGX_HTTP_SANDBOX_LIST_LOOKS_ALL 4096


typedef struct {
    ngx_http_request_t *request;
    sandbox_list_query_t query; /* after: the position reached */
    sandbox_text_t text;
    ngx_uint_t count;
    ngx_uint_t rounds;
    ngx_uint_t looks;
    unsigned more : 1;
} ngx_http_sandbox_list_t;


static void ngx_http_sandbox_list_done(void *data, redisReply *reply);


static const struct {
    uint32_t state;
    const char *words;
} ngx_http_sandbox_list_states[] = {
    { SANDBOX_LIST_CREATING, "creating " },
    { SANDBOX_LIST_RUNNING, "running hibernating " },
    { SANDBOX_LIST_PAUSED, "paused resuming " },
    { SANDBOX_LIST_ERROR, "error " },
    { SANDBOX_LIST_DESTROYED, "destroying destroyed " },
};


static void
ngx_http_sandbox_list_cleanup(void *data)
{
    ngx_http_sandbox_list_t *list = data;

    if (ngx_http_sandbox_worker.redis) {
        ngx_http_sandbox_redis_forget(ngx_http_sandbox_worker.redis, list);
    }

    sandbox_list_query_free(&list->query);
    sandbox_text_free(&list->text);
}


/* NULL when r was answered because memory is out. */
static ngx_http_sandbox_list_t *
ngx_http_sandbox_list_new(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln;
    ngx_http_sandbox_list_t *list;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_sandbox_list_t));
    if (cln == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NULL;
    }

    list = cln->data;
    ngx_memzero(list, sizeof(ngx_http_sandbox_list_t));
    list->request = r;
    cln->handler = ngx_http_sandbox_list_cleanup;

    return list;
}


/* 1 if (nearly) every record behind the position is wanted. */
static ngx_uint_t
ngx_http_sandbox_list_plain(sandbox_list_query_t *q)
{
    return q->states == SANDBOX_LIST_LIVE && q->template == NULL
           && q->sandbox_id[0] == '\0' && q->metadata == NULL;
}


/* Appends the wanted states, and the other field that a record must have. */
static void
ngx_http_sandbox_list_filter(sandbox_list_query_t *q,
                             ngx_http_sandbox_args_t *a, char *states,
                             size_t size)
{
    u_char *p, *last;
    ngx_uint_t i;

    if (q->kind == SANDBOX_LIST_SNAPSHOTS) {
        ngx_http_sandbox_arg(a, " ready ");
        ngx_http_sandbox_arg(a, q->sandbox_id);
        ngx_http_sandbox_arg(a, "sandbox_id");
        ngx_http_sandbox_arg(a, "origin");
        return;
    }

    p = (u_char *) states;
    last = p + size;
    p = ngx_slprintf(p, last, " ");

    for (i = 0; i < sizeof(ngx_http_sandbox_list_states)
                        / sizeof(ngx_http_sandbox_list_states[0]);
         i++)
    {
        if (q->states & ngx_http_sandbox_list_states[i].state) {
            p = ngx_slprintf(p, last, "%s",
                             ngx_http_sandbox_list_states[i].words);
        }
    }

    ngx_http_sandbox_arg_len(a, states, (size_t) (p - (u_char *) states));
    ngx_http_sandbox_arg(a, q->template ? q->template : "");
    ngx_http_sandbox_arg(a, "template");
    ngx_http_sandbox_arg(a, "template");
}


/* Appends what list.lua is to look for. */
static void
ngx_http_sandbox_list_wanted(ngx_http_sandbox_list_t *list,
                             ngx_http_sandbox_args_t *a, char *states,
                             size_t size)
{
    ngx_uint_t rows, looks;
    sandbox_list_query_t *q;

    q = &list->query;

    looks = list->rounds == 1 ? NGX_HTTP_SANDBOX_LIST_LOOKS_FIRST
                              : NGX_HTTP_SANDBOX_LIST_LOOKS;
    rows = q->metadata ? looks : q->limit - list->count;

    if (ngx_http_sandbox_list_plain(q) || looks < rows) {
        looks = rows;
    }

    ngx_http_sandbox_arg_int(a, (int64_t) rows);
    ngx_http_sandbox_arg_int(a, (int64_t) looks);
    ngx_http_sandbox_arg_int(a, q->metadata
                                    ? NGX_HTTP_SANDBOX_LIST_BYTES_COMPARED
                                    : NGX_HTTP_SANDBOX_LIST_BYTES);

    ngx_http_sandbox_list_filter(q, a, states, size);

    if (q->kind == SANDBOX_LIST_SNAPSHOTS) {
        ngx_http_sandbox_snapshot_fields(a, 1);
    } else {
        ngx_http_sandbox_record_fields(
            a, q->metadata || ngx_http_sandbox_object_has_metadata(q->fields));
    }
}


/* Appends the indexes that are read. */
static void
ngx_http_sandbox_list_indexes(sandbox_list_query_t *q, const char *tenant,
                              ngx_http_sandbox_key_t *live,
                              ngx_http_sandbox_key_t *destroyed,
                              ngx_http_sandbox_args_t *a)
{
    if (q->kind == SANDBOX_LIST_SNAPSHOTS) {
        ngx_http_sandbox_key_tenant_snapshots(live, tenant);
        ngx_http_sandbox_arg_key(a, live);
        return;
    }

    if (q->states & SANDBOX_LIST_LIVE) {
        ngx_http_sandbox_key_tenant(live, tenant);
        ngx_http_sandbox_arg_key(a, live);
    }

    if (q->states & SANDBOX_LIST_DESTROYED) {
        ngx_http_sandbox_key_tenant_destroyed(destroyed, tenant);
        ngx_http_sandbox_arg_key(a, destroyed);
    }
}


static ngx_int_t
ngx_http_sandbox_list_ask(ngx_http_sandbox_list_t *list)
{
    char states[128], shard[SANDBOX_SHARD_LEN];
    ngx_uint_t nkeys;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_key_t live, destroyed, records;
    ngx_http_sandbox_args_t a;
    sandbox_list_query_t *q;

    ctx = ngx_http_get_module_ctx(list->request, ngx_http_sandbox_module);
    q = &list->query;
    list->rounds++;

    ngx_http_sandbox_args_init(&a);

    ngx_http_sandbox_list_indexes(q, (char *) ctx->tenant.data, &live,
                                  &destroyed, &a);

    nkeys = a.n;
    sandbox_id_shard(shard, (char *) ctx->tenant.data, ctx->tenant.len);
    ngx_http_sandbox_key_shard(&records, shard,
                               q->kind == SANDBOX_LIST_SNAPSHOTS ? "snapshot"
                                                                 : "sandbox");
    ngx_http_sandbox_arg_key(&a, &records);

    if (q->after.id[0]) {
        ngx_http_sandbox_arg_int(&a, q->after.created_at);
    } else {
        ngx_http_sandbox_arg(&a, "");
    }

    ngx_http_sandbox_arg(&a, q->after.id);
    ngx_http_sandbox_list_wanted(list, &a, states, sizeof(states));

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_list_done, list,
        &ngx_http_sandbox_lua_list, nkeys, a.n, a.values);
}


/* A row of list.lua, of either kind. */
typedef struct {
    const char *id;
    int64_t created_at;
    const char *metadata; /* NULL if it was not read */
    ngx_http_sandbox_record_t record;
    ngx_http_sandbox_snapshot_t snapshot;
} ngx_http_sandbox_list_item_t;


static ngx_int_t
ngx_http_sandbox_list_read(sandbox_list_t kind,
                           ngx_http_sandbox_list_item_t *item, redisReply *row)
{
    if (kind == SANDBOX_LIST_SNAPSHOTS) {
        if (ngx_http_sandbox_snapshot_row(&item->snapshot, row) != NGX_OK) {
            return NGX_ERROR;
        }

        item->id = item->snapshot.id;
        item->created_at = item->snapshot.created_at;
        item->metadata = item->snapshot.metadata;
        return NGX_OK;
    }

    if (ngx_http_sandbox_record_row(&item->record, row) != NGX_OK) {
        return NGX_ERROR;
    }

    item->id = item->record.id;
    item->created_at = item->record.created_at;
    item->metadata = item->record.metadata;
    return NGX_OK;
}


/* 1 if the row belongs to the page, into which it is then written. */
static ngx_uint_t
ngx_http_sandbox_list_row(ngx_http_sandbox_list_t *list, redisReply *row,
                          ngx_http_sandbox_list_item_t *item)
{
    int match;
    sandbox_list_query_t *q;

    q = &list->query;

    if (ngx_http_sandbox_list_read(q->kind, item, row) != NGX_OK) {
        return 0;
    }

    if (q->metadata) {
        match = item->metadata ? sandbox_metadata_filter_match(
                    q->metadata, item->metadata, ngx_strlen(item->metadata))
                               : 0;

        if (match < 0) {
            list->text.failed = 1;
        }

        if (match != 1) {
            return 0;
        }
    }

    sandbox_text_str(&list->text, list->count++ ? "," : "");

    if (q->kind == SANDBOX_LIST_SNAPSHOTS) {
        ngx_http_sandbox_snapshot_object(&list->text, &item->snapshot);
    } else {
        ngx_http_sandbox_object_masked(&list->text, &item->record, q->fields);
    }

    return 1;
}


static void
ngx_http_sandbox_list_position(ngx_http_sandbox_list_t *list,
                               int64_t created_at, const char *id)
{
    list->query.after.created_at = created_at;
    ngx_cpystrn((u_char *) list->query.after.id, (u_char *) id,
                sizeof(list->query.after.id));
}


/* Takes in a reply of list.lua. */
static void
ngx_http_sandbox_list_rows(ngx_http_sandbox_list_t *list, redisReply *reply)
{
    size_t i;
    redisReply *rows;
    ngx_http_sandbox_list_item_t item;

    rows = reply->element[4];
    list->more = ngx_http_sandbox_reply_integer(reply, 0) != 0;
    list->looks += (ngx_uint_t) ngx_http_sandbox_reply_integer(reply, 3);
    ngx_http_sandbox_list_position(list,
                                   ngx_http_sandbox_reply_integer(reply, 1),
                                   ngx_http_sandbox_reply_string(reply, 2));

    for (i = 0; i < rows->elements; i++) {
        if (ngx_http_sandbox_list_row(list, rows->element[i], &item)
            && list->count == list->query.limit && i + 1 < rows->elements)
        {
            /* the page ends here; the next one looks at the rest again */
            list->more = 1;
            ngx_http_sandbox_list_position(list, item.created_at, item.id);
            return;
        }
    }
}


static void
ngx_http_sandbox_list_answer(ngx_http_sandbox_list_t *list)
{
    char token[SANDBOX_LIST_TOKEN_SIZE];
    sandbox_text_t *t;
    ngx_http_request_t *r;
    ngx_http_sandbox_ctx_t *ctx;

    r = list->request;
    t = &list->text;
    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);
    token[0] = '\0';

    if (list->more
        && sandbox_list_token_make(token, list->query.kind, &list->query.after,
                                   (char *) ctx->tenant.data)
               != 0)
    {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    sandbox_text_str(t, "]");

    if (list->query.asked) {
        sandbox_text_fmt(
            t, list->more ? ",\"next_token\":\"%s\"}" : ",\"next_token\":null}",
            token);

    } else if (list->more
               && ngx_http_sandbox_api_header(r, "X-Next-Token", token,
                                              sizeof(token) - 1)
                      != NGX_OK)
    {
        t->failed = 1;
    }

    ngx_http_sandbox_wait_text(r, NGX_HTTP_OK, t);
}


static void
ngx_http_sandbox_list_done(void *data, redisReply *reply)
{
    ngx_http_sandbox_list_t *list = data;

    ngx_connection_t *c;

    c = list->request->connection;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != 5 || reply->element[4]->type != REDIS_REPLY_ARRAY)
    {
        ngx_http_sandbox_api_no_store(list->request);
        ngx_http_run_posted_requests(c);
        return;
    }

    ngx_http_sandbox_list_rows(list, reply);

    if (list->more && list->count < list->query.limit
        && list->rounds < NGX_HTTP_SANDBOX_LIST_ROUNDS
        && list->looks < NGX_HTTP_SANDBOX_LIST_LOOKS_ALL)
    {
        if (ngx_http_sandbox_list_ask(list) != NGX_OK) {
            ngx_http_sandbox_api_no_store(list->request);
        }

    } else {
        ngx_http_sandbox_list_answer(list);
    }

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_sandbox_list(ngx_http_request_t *r, sandbox_list_t kind)
{
    sandbox_query_error_t err;
    sandbox_query_status_t rc;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_list_t *list;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    list = ngx_http_sandbox_list_new(r);
    if (list == NULL) {
        return;
    }

    rc = sandbox_list_query_parse(&list->query, kind, (char *) r->args.data,
                                  r->args.len, (char *) ctx->tenant.data,
                                  ngx_http_sandbox_object_member, &err);
    if (rc != SANDBOX_QUERY_OK) {
        ngx_http_sandbox_api_fail_query(r, rc, &err);
        return;
    }

    sandbox_text_str(&list->text, list->query.asked ? "{\"items\":[" : "[");

    if (ngx_http_sandbox_list_ask(list) != NGX_OK) {
        ngx_http_sandbox_api_no_store(r);
    }
}


void
ngx_http_sandbox_api_list(ngx_http_request_t *r)
{
    ngx_http_sandbox_list(r, SANDBOX_LIST_SANDBOXES);
}


void
ngx_http_sandbox_api_list_snapshots(ngx_http_request_t *r)
{
    ngx_http_sandbox_list(r, SANDBOX_LIST_SNAPSHOTS);
}
