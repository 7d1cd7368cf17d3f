/*
 * The typed record of a sandbox in Redis, and reading it.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_RECORD_H
#define NGX_HTTP_SANDBOX_RECORD_H

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_redis.h"
#include "ngx_http_sandbox_state.h"
#include "sandbox_id.h"

#define NGX_HTTP_SANDBOX_ACTION_DESTROY "destroy"
#define NGX_HTTP_SANDBOX_ACTION_HIBERNATE "hibernate"

/* The state that the value names, or 0. */
ngx_http_sandbox_state_e ngx_http_sandbox_reply_state(redisReply *reply);

/* Most aliases followed: from a middle execution to the first, to the last. */
#define NGX_HTTP_SANDBOX_HOPS_MAX 3

/* Strings point into the reply they were read from, NUL-terminated. */
typedef struct {
    const char *id;
    const char *tenant;
    ngx_http_sandbox_state_e state;
    const char *template;
    int64_t vcpus;
    int64_t memory_mb;
    int64_t disk_mb;
    int64_t created_at; /* ms since the epoch */
    int64_t started_at; /* 0 while creating */
    int64_t timeout_ms;
    int64_t timeout_at;
    const char *timeout_action; /* done at timeout_at */
    const char *metadata;       /* JSON text; NULL if it was not read */
    const char *cwd;            /* NULL if not set */
    uint32_t address;           /* IPv4, host order */
    uint64_t execution;
    const char *agent_token; /* NULL unless there is or was a guest */
    int64_t auto_resume;
    const char *snapshot_id;  /* NULL unless PAUSED */
    const char *next;         /* of RESUMED: id of the later execution */
    const char *error_detail; /* JSON text; NULL unless FAILED */
    const char *elsewhere; /* its node, if that is another than this worker's */
} ngx_http_sandbox_record_t;

/* 1 if the value, a record's node, names another node; 0 if it has none. */
ngx_uint_t ngx_http_sandbox_reply_elsewhere(redisReply *reply);

/*
 * handler gets NGX_OK with the record, NGX_DECLINED if there is none that
 * clients may see, NGX_ERROR if Redis is away.  For an id that is an alias it
 * gets the record, and the id, of the execution that the alias leads to.  It is
 * called once, never from inside record_get(), and not at all after
 * ngx_http_sandbox_redis_forget() detached data.
 */
typedef void (*ngx_http_sandbox_record_pt)(void *data, ngx_int_t rc,
                                           ngx_http_sandbox_record_t *record);
typedef struct {
    ngx_http_sandbox_record_pt handler;
    void *data;
    /* called with each id on the way before its record is read; or NULL */
    void (*reading)(void *data, const char *id);
    char id[SANDBOX_ID_SIZE];
    ngx_uint_t hops; /* 0 */
} ngx_http_sandbox_record_get_t;

/*
 * The caller owns and fills get, which must live until handler is called, and
 * passes it to ngx_http_sandbox_redis_forget().  NGX_OK, or NGX_ERROR if Redis
 * is away (handler is not called then).
 */
ngx_int_t ngx_http_sandbox_record_get(ngx_http_sandbox_record_get_t *get);

/*
 * fields() appends the names of the fields that a script is to give; row()
 * reads such a row, which begins with the id, also of a sandbox that was
 * destroyed.  NGX_ERROR: the row is no record.
 */
void ngx_http_sandbox_record_fields(ngx_http_sandbox_args_t *args,
                                    ngx_uint_t metadata);
ngx_int_t
ngx_http_sandbox_record_row(ngx_http_sandbox_record_t *record, redisReply *row);

#endif
