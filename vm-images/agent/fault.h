/* What an errno of the guest's file system means to a client. */

#ifndef AGENT_FAULT_H
#define AGENT_FAULT_H

#include "http.h"

typedef struct {
    unsigned status;
    const char *code;
    const char *reason; /* of a 400: what is wrong with the name; else NULL */
    char message[160];
} agent_fault_t;

void agent_fault(agent_fault_t *fault, int err);

/* Answers r for the errno err; field is the member that names the file. */
void agent_http_fault(agent_request_t *r, int err, const char *field);

/* The same from a worker (worker.h); field is "path" unless it is given. */
void agent_worker_fault_at(int peer, int err, const char *field);
void agent_worker_fault(int peer, int err);

#endif
