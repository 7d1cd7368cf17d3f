/*
 * The body of POST …/exec, from JSON text to checked values.  No I/O.
 */

#ifndef AGENT_EXEC_REQUEST_H
#define AGENT_EXEC_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "env.h"
#include "sandbox_path.h"

#define AGENT_EXEC_ARGS_MAX 4096
#define AGENT_EXEC_TIMEOUT_MAX 86400

typedef struct {
    char **argv; /* NULL-terminated; the shell's for shell:true */
    size_t argc;
    int64_t timeout_secs;
    char cwd[SANDBOX_PATH_MAX]; /* normalised, "" if left out */
    agent_env_t envs;
    char *user; /* NULL if left out */
    int signal;
} agent_exec_request_t;

typedef enum {
    AGENT_EXEC_OK = 0,
    AGENT_EXEC_INVALID_JSON,
    AGENT_EXEC_INVALID,
    AGENT_EXEC_NOT_IMPLEMENTED,
    AGENT_EXEC_NO_MEMORY
} agent_exec_status_t;

typedef struct {
    char field[128];
    char reason[256];
} agent_exec_error_t;

/* On OK the caller frees req; otherwise it is empty and err is set. */
agent_exec_status_t
agent_exec_parse(agent_exec_request_t *req, const char *body, size_t len,
                 agent_exec_error_t *err);
void agent_exec_free(agent_exec_request_t *req);

#endif
