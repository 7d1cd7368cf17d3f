/*
 * A command as a process, started in a session and a control group of its own.
 * Its output is passed to its owner as it comes, up to what the owner allows;
 * its end is reported once.  Knows nothing of HTTP, and keeps no output.  Event
 * loop only.
 */

#ifndef AGENT_PROCESS_H
#define AGENT_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "env.h"
#include "user.h"

typedef struct agent_process_s agent_process_t;

typedef enum { AGENT_STDOUT = 0, AGENT_STDERR = 1 } agent_stream_t;

/* Read only by agent_process_start(): need not live longer. */
typedef struct {
    char *const *argv;
    char *const *envp;
    const char *cwd;
    const agent_user_t *user;
    int64_t timeout_ms;    /* 0 for none */
    int timeout_signal;    /* sent after timeout_ms; SIGKILL follows */
    unsigned input : 1;    /* stdin is a pipe, not empty */
    unsigned terminal : 1; /* stdin, stdout and stderr are a terminal */
    unsigned short cols;   /* of the terminal */
    unsigned short rows;
} agent_process_spec_t;

typedef struct {
    int code;      /* as in a shell: 128 plus the signal after a signal */
    int signal;    /* that ended the process, or 0 */
    int timed_out; /* timeout_ms was reached, and the tree was killed */
} agent_exit_t;

typedef struct {
    /* All output of a terminal is stdout. */
    void (*output)(void *data, agent_stream_t stream, const char *buf,
                   size_t len);

    /*
     * The process has ended, and all its output was passed on.  The owner must
     * not use the process object any more.
     */
    void (*done)(void *data, const agent_exit_t *e);
    void *data;
} agent_process_owner_t;

/* Bytes counted for each input beside its own, so that empty input counts. */
#define AGENT_INPUT_COST 256

/* Queued input; embedded in its owner's structure. */
typedef struct agent_input_s agent_input_t;

struct agent_input_s {
    const char *buf; /* must live until done() or cancel() */
    size_t len;
    size_t sent;
    int eof;    /* stdin ends after it: agent_process_write() */
    int queued; /* set by process.c */

    /* All was written, or err is an errno.  Not called from within write(). */
    void (*done)(void *data, int err);
    void *data;
    TAILQ_ENTRY(agent_input_s) link;
};

/* NULL with errno set. */
agent_process_t *agent_process_start(const agent_process_spec_t *spec,
                                     const agent_process_owner_t *owner);

int64_t agent_process_pid(const agent_process_t *p);

/*
 * Sets how many more bytes of output are read, SIZE_MAX (the initial value) for
 * any number.  Further output stays in the pipe, and blocks the command.
 */
void agent_process_allow(agent_process_t *p, size_t n);

/*
 * Queues input; 0, or -1 with errno set: EPIPE if stdin is closed, or will be
 * after the queued input, ENOBUFS if too much is queued, ENOMEM if the share of
 * input is used up.
 *
 * Input with eof ends stdin: a pipe is closed after it.  A terminal is not, for
 * others may read from it later: its character for the end of input is typed,
 * twice in the middle of a line.
 */
int agent_process_write(agent_process_t *p, agent_input_t *in);
void agent_process_cancel(agent_process_t *p, agent_input_t *in);

/* 1 if the share of input has room for a first input of that length. */
int agent_process_takes(size_t len);

/* Signals the whole tree; 0, or -1 if the process has ended. */
int agent_process_signal(agent_process_t *p, int signal);

/* Sets the size of the terminal. */
void agent_process_resize(agent_process_t *p, unsigned short cols,
                          unsigned short rows);

/* Kills the tree for an owner that goes away; nothing more is reported. */
void agent_process_abandon(agent_process_t *p);

#endif
