/*
 * Writing agendas: when the operations that are due on one look at an id, which
 * names a sandbox, a snapshot or a warm pool.  agenda.h reads them.
 *
 * A record decides, the agenda only says when to look at it.  So an entry may
 * be early, and an operation puts one there before it writes the record, so
 * that the agenda goes on if its worker dies.
 *
 * Relative times are ms from now by the clock of Redis, which decides when an
 * entry is due; absolute ones are ms since the epoch by that clock, never by
 * this host's.  Event loop only.
 *
 * A function with a handler gives NGX_ERROR if Redis is away, as
 * ngx_http_sandbox_redis_eval() or, with an absolute time, _command() does; any
 * other reports neither the reply nor a failure.
 */

#ifndef NGX_HTTP_SANDBOX_SCHEDULE_H
#define NGX_HTTP_SANDBOX_SCHEDULE_H

#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_redis.h"

/*
 * Puts id on the list with that key, an agenda or another one that due.lua
 * reads.  The reply is that of schedule.lua.
 */
ngx_int_t
ngx_http_sandbox_schedule_list_in(ngx_http_sandbox_key_t *list, const char *id,
                                  int64_t ms,
                                  ngx_http_sandbox_redis_handler_pt handler,
                                  void *data);

/* The same on a node's agenda. */
ngx_int_t
ngx_http_sandbox_schedule_place_in(const ngx_str_t *node, const char *id,
                                   int64_t ms,
                                   ngx_http_sandbox_redis_handler_pt handler,
                                   void *data);

/*
 * The same at a time, _by() at that time at the latest; with hasten, only moves
 * an entry that is there at a later time.  The reply is that of ZADD.
 */
ngx_int_t
ngx_http_sandbox_schedule_place_at(const ngx_str_t *node, const char *id,
                                   int64_t at, ngx_uint_t hasten,
                                   ngx_http_sandbox_redis_handler_pt handler,
                                   void *data);
ngx_int_t
ngx_http_sandbox_schedule_place_by(const ngx_str_t *node, const char *id,
                                   int64_t at,
                                   ngx_http_sandbox_redis_handler_pt handler,
                                   void *data);

/*
 * Puts id on an agenda: _on() on that of a node, _in() and _at() on that of
 * this node.
 */
void
ngx_http_sandbox_schedule_on(const ngx_str_t *node, const char *id, int64_t ms);
void ngx_http_sandbox_schedule_in(const char *id, int64_t ms);
void ngx_http_sandbox_schedule_at(const char *id, int64_t at);

/* Moves the agenda entry of id, if there is one at a later time, up. */
void ngx_http_sandbox_schedule_hasten_on(const ngx_str_t *node, const char *id,
                                         int64_t ms);
void ngx_http_sandbox_schedule_hasten_in(const char *id, int64_t ms);

/*
 * Puts the entry of id on this node's agenda off after a look at its record.
 * The record may have got an earlier deadline or lease since: it is read again
 * afterwards, and the entry is moved up to that time.
 */
void ngx_http_sandbox_schedule_postpone_in(const char *id, int64_t ms);
void ngx_http_sandbox_schedule_postpone_at(const char *id, int64_t at);

/* Takes id off the agenda of this node; the address of id stays held. */
void ngx_http_sandbox_schedule_remove(const char *id);

/*
 * The same for an operation after which nothing is to be done: if the agenda
 * has id at another time than listed, another operation may need the entry, and
 * it stays.
 */
void ngx_http_sandbox_schedule_remove_idle(const char *id, int64_t listed);

#endif
