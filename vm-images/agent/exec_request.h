/*
 * Requests that start a command, from JSON to checked values: the body of POST
 * …/exec, and the messages exec_start and pty_start.  No I/O.
 */

#ifndef AGENT_EXEC_REQUEST_H
#define AGENT_EXEC_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "body.h"
#include "env.h"
#include "sandbox_path.h"

#define AGENT_EXEC_ARGS_MAX 4096
#define AGENT_EXEC_TIMEOUT_MAX 86400

typedef enum {
    AGENT_EXEC_POST = 1,   /* the route */
    AGENT_EXEC_STREAM = 2, /* exec_start */
    AGENT_EXEC_PTY = 4     /* pty_start */
} agent_exec_form_t;

typedef struct {
    char **argv;          /* NULL-terminated; the shell's for shell:true */
    size_t argc;          /* 0 for the user's login shell, on a terminal */
    size_t command;       /* index in argv of the requested command */
    int64_t timeout_secs; /* 0 for none */
    char cwd[SANDBOX_PATH_MAX]; /* normalised, "" if left out */
    agent_env_t envs;
    char user[AGENT_USER_SIZE]; /* "" if left out */
    char *input;                /* NULL if left out */
    size_t input_len;
    int signal;
    int shell;
    int background;
    int pipe;                               /* of exec_start: stdin is a pipe */
    int base64;                             /* for output that is no text */
    char session_id[AGENT_SESSION_ID_SIZE]; /* "" if left out */
    int64_t cols;
    int64_t rows;
} agent_exec_request_t;

/* On OK the caller frees req; otherwise it is empty and err is set. */
agent_body_status_t
agent_exec_parse(agent_exec_request_t *req, const char *body, size_t len,
                 agent_body_error_t *err);
agent_body_status_t
agent_exec_read(agent_exec_request_t *req, agent_exec_form_t form,
                const sandbox_json_t *doc, agent_body_error_t *err);
void agent_exec_free(agent_exec_request_t *req);

#endif
