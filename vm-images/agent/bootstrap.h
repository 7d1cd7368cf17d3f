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
#define AGENT_NONCE_SIZE 65
#define AGENT_LATER 1 /* agent_bootstrap_later() will be called */

typedef struct {
    /* Takes an answer, line end included. */
    void (*answer)(void *data, const char *line, size_t len);

    /* Does what the document asks; 0, or -1 with a sentence in error. */
    int (*configure)(void *data, const sandbox_json_t *doc,
                     char error[AGENT_ERROR_SIZE]);

    /* Lets the commands go on; likewise. */
    int (*thaw)(void *data, char error[AGENT_ERROR_SIZE]);

    /*
     * Stops the commands; likewise, or AGENT_LATER with sync, which writes the
     * file systems then.
     */
    int (*freeze)(void *data, const char *nonce, int sync,
                  char error[AGENT_ERROR_SIZE]);

    /* Begins to write the file systems; AGENT_LATER, or -1 likewise. */
    int (*flush)(void *data, const char *nonce, char error[AGENT_ERROR_SIZE]);
    void *data;

    char *line; /* what came of the current line */
    size_t len;
    int skipping; /* the current line is too long */
} agent_bootstrap_t;

/* The functions and data are set by the caller.  0, or -1 (memory). */
int agent_bootstrap_init(agent_bootstrap_t *b);
void agent_bootstrap_free(agent_bootstrap_t *b);

void agent_bootstrap_feed(agent_bootstrap_t *b, const char *data, size_t len);

/* Answers what was to be answered later: well, or with a sentence in error. */
void agent_bootstrap_later(agent_bootstrap_t *b, const char *op,
                           const char *nonce, const char *error);

#endif
