/*
 * Workers: processes for work that may block on the disk.  The agent's loop
 * only moves bytes between a request and its worker.
 *
 * A worker gets the body of its request piece by piece and gives the answer the
 * same way, over one socket that keeps message boundaries.  It holds no other
 * descriptor of the agent, and ends by itself when its request is gone.
 */

#ifndef AGENT_WORKER_H
#define AGENT_WORKER_H

#include <stdint.h>
#include <sys/types.h>

#include "http.h"

typedef struct agent_worker_s agent_worker_t; /* the agent's side */

/* --- the process's side: blocking --------------------------------------- */

/*
 * Reads bytes of the body: their number, 0 at the end of the body, or -1 with
 * errno ECANCELED if the client has gone before that.
 */
ssize_t agent_worker_read(int peer, void *buf, size_t size);

/* Begins an answer of size bytes, -1 if unknown.  0, or -1: client has gone. */
int
agent_worker_begin(int peer, unsigned status, int64_t size, const char *type);
int agent_worker_write(int peer, const void *data, size_t len);
/* Ends an answer; without this the client sees that it was cut off. */
void agent_worker_end(int peer);

/*
 * Gives a whole JSON answer and frees body; adds the header name, unless NULL.
 */
void agent_worker_answer(int peer, unsigned status, sandbox_text_t *body,
                         const char *name, const char *value);

/* Gives an error in place of an answer.  field and reason may be NULL. */
void agent_worker_error(int peer, unsigned status, const char *code,
                        const char *field, const char *reason, const char *fmt,
                        ...) __attribute__((format(printf, 6, 7)));

/* --- the agent's side: event loop --------------------------------------- */

/*
 * Runs run(peer, data) in a process of its own, which answers r.  The fork
 * copies data; the caller frees its own.  0, or -1 after an answer.
 */
int agent_worker_start(agent_request_t *r, void (*run)(int peer, void *data),
                       void *data);

/* Callbacks for the rows of routes that start a worker; see http.h. */
void agent_worker_abort(void *ctx);
size_t agent_worker_piece(void *ctx, const char *data, size_t len);
void agent_worker_finish(void *ctx);

#endif
