/*
 * The record of the snapshot or sandbox that a create comes from: how it is
 * read (create_source.c), and what the new sandbox inherits from it
 * (create_inherit.c).  Not for other files.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_CREATE_SOURCE_H
#define NGX_HTTP_SANDBOX_CREATE_SOURCE_H

#include "ngx_http_sandbox_create_parts.h"
#include "ngx_http_sandbox_redis.h"

/* Fields of the record of a sandbox or a snapshot, as elements of a reply. */
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

/* Reads the record of c->parent.id; NGX_ERROR if Redis is away. */
ngx_int_t ngx_http_sandbox_source_ask(ngx_http_sandbox_create_op_t *c);

/*
 * Copies to c what the machine determines: sizes, template, egress policy,
 * environment.  NGX_ERROR: memory is out.
 */
ngx_int_t ngx_http_sandbox_source_machine(ngx_http_sandbox_create_op_t *c,
                                          redisReply *reply);

/* Copies the rest, which a fork or a later execution inherits; as above. */
ngx_int_t ngx_http_sandbox_source_rest(ngx_http_sandbox_create_op_t *c,
                                       redisReply *reply);

/* The name of the body's member that contradicts the snapshot, or NULL. */
const char *
ngx_http_sandbox_source_contradiction(const ngx_http_sandbox_create_op_t *c,
                                      redisReply *reply);

#endif
