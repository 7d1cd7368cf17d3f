/*
 * The line protocol of docs/guest-protocol.md, guest side: bytes in, answers
 * out, over no particular channel.  The host is trusted, its half-written
 * lines are not: what is no request is skipped.
 */

#ifndef AGENT_BOOTSTRAP_H
#define AGENT_BOOTSTRAP_H

#include <stddef.h>

#include "sandbox_json.h"

#define AGENT_LINE_MAX (128 * 1024)
#define AGENT_ERROR_SIZE 256

typedef struct {
    /* Takes an answer, line end included. */
    void (*answer)(void *data, const char *line, size_t len);

    /* Does what the document asks; 0, or -1 with a sentence in error. */
    int (*configure)(void *data, const sandbox_json_t *doc,
                     char error[AGENT_ERROR_SIZE]);

    /* Stops the commands, or lets them go on; likewise. */
    int (*freeze)(void *data, int on, char error[AGENT_ERROR_SIZE]);
    void *data;

    char *line; /* what came of the current line */
    size_t len;
    int skipping; /* the current line is too long */
} agent_bootstrap_t;

/* The functions and data are set by the caller.  0, or -1 (memory). */
int agent_bootstrap_init(agent_bootstrap_t *b);
void agent_bootstrap_free(agent_bootstrap_t *b);

void agent_bootstrap_feed(agent_bootstrap_t *b, const char *data, size_t len);

#endif
