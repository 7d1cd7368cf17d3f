/*
 * Work that may block on the disk, in a process of its own: the agent's loop
 * only moves bytes between its request and it.
 *
 * The process gets the body of its request piece by piece and gives the answer
 * the same way, over one socket that keeps messages apart.  It holds nothing
 * else of the agent, and ends by itself when its request has gone.
 */

#ifndef AGENT_WORKER_H
#define AGENT_WORKER_H

#include <stdint.h>
#include <sys/types.h>

#include "http.h"

typedef struct agent_worker_s agent_worker_t; /* the agent's side */

/* --- the process's side: blocking --------------------------------------- */

/*
 * Bytes of the body, 0 at its end, or -1 with errno set: ECANCELED if the
 * client has gone before that.
 */
ssize_t agent_worker_read(int peer, void *buf, size_t size);

/* Begins an answer of size bytes, -1 if unknown.  0, or -1: the client left. */
int
agent_worker_begin(int peer, unsigned status, int64_t size, const char *type);
int agent_worker_write(int peer, const void *data, size_t len);
/* All was written; an answer without this is cut off. */
void agent_worker_end(int peer);

/*
 * A whole JSON answer, which is freed, with a header of that name unless it is
 * NULL.
 */
void agent_worker_answer(int peer, unsigned status, sandbox_text_t *body,
                         const char *name, const char *value);

/* An error in place of an answer.  field and reason may be NULL. */
void agent_worker_error(int peer, unsigned status, const char *code,
                        const char *field, const char *reason, const char *fmt,
                        ...) __attribute__((format(printf, 6, 7)));

/* --- the agent's side: event loop --------------------------------------- */

/*
 * Runs run(peer, data) in a process of its own; it and what it says become
 * r's.  data is copied by the fork alone: the caller frees its own.  -1 after
 * an answer.
 */
int agent_worker_start(agent_request_t *r, void (*run)(int peer, void *data),
                       void *data);

/* What the rows of a table of routes have for them. */
void agent_worker_abort(void *ctx);
size_t agent_worker_piece(void *ctx, const char *data, size_t len);
void agent_worker_finish(void *ctx);

#endif
