/*
 * The line protocol of docs/guest-protocol.md, guest side: bytes in, answers
 * out, over no particular channel.  The host is trusted, but it may write half
 * a line: a line that is no request is skipped.
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

    /* Lets the commands go on; returns likewise. */
    int (*thaw)(void *data, char error[AGENT_ERROR_SIZE]);

    /*
     * Stops the commands; returns likewise, or AGENT_LATER with sync, which
     * writes the file systems afterwards.
     */
    int (*freeze)(void *data, const char *nonce, int sync,
                  char error[AGENT_ERROR_SIZE]);

    /* Begins to sync the file systems; AGENT_LATER, or -1 likewise. */
    int (*flush)(void *data, const char *nonce, char error[AGENT_ERROR_SIZE]);
    void *data;

    char *line; /* the part of the current line that has come */
    size_t len;
    int skipping; /* the current line is too long */
} agent_bootstrap_t;

/* The caller has set the functions and data.  0, or -1 if memory is out. */
int agent_bootstrap_init(agent_bootstrap_t *b);
void agent_bootstrap_free(agent_bootstrap_t *b);

void agent_bootstrap_feed(agent_bootstrap_t *b, const char *data, size_t len);

/* Answers a request after AGENT_LATER; error: a sentence, NULL for success. */
void agent_bootstrap_later(agent_bootstrap_t *b, const char *op,
                           const char *nonce, const char *error);

#endif
