/*
 * The order in which tasks of tenants enter a thread pool: at most share tasks
 * of one tenant are in it at once, the rest wait in the order in which they
 * came.  So one tenant, whose guests may never answer, cannot hold all threads.
 * No nginx; one thread.
 */

#ifndef SANDBOX_GATE_H
#define SANDBOX_GATE_H

#include <stddef.h>

typedef struct sandbox_gate_entry_s sandbox_gate_entry_t;

/* A task, of which the gate knows no more; the caller's memory. */
struct sandbox_gate_entry_s {
    sandbox_gate_entry_t *next;
    const char *tenant; /* kept by the caller until the entry leaves */
};

/* Zeroed but for share and room at first. */
typedef struct {
    size_t share; /* entries of one tenant inside at once, at least 1 */
    size_t room;  /* entries of one tenant that may wait */
    sandbox_gate_entry_t *inside;
    sandbox_gate_entry_t *waiting; /* the first one came first */
} sandbox_gate_t;

typedef enum {
    SANDBOX_GATE_OPEN = 0, /* it may enter */
    SANDBOX_GATE_WAIT,
    SANDBOX_GATE_FULL /* too many of the tenant wait already */
} sandbox_gate_answer_t;

/* What the next entry of tenant has to do; changes nothing. */
sandbox_gate_answer_t
sandbox_gate_ask(const sandbox_gate_t *gate, const char *tenant);

/* Takes an entry in: inside, or at the end of those that wait. */
void sandbox_gate_enter(sandbox_gate_t *gate, sandbox_gate_entry_t *entry);
void sandbox_gate_wait(sandbox_gate_t *gate, sandbox_gate_entry_t *entry);

/* The first of those that wait that may enter, NULL if none; it still waits. */
sandbox_gate_entry_t *sandbox_gate_next(const sandbox_gate_t *gate);

/* The entry no longer waits: it is inside. */
void sandbox_gate_pass(sandbox_gate_t *gate, sandbox_gate_entry_t *entry);

/* The entry is no longer inside. */
void sandbox_gate_leave(sandbox_gate_t *gate, sandbox_gate_entry_t *entry);

#endif
