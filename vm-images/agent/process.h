/*
 * A command as a process: started in a session and a control group of its own,
 * its output handed on as it comes and as far as its owner allows, its end
 * reported once.  Knows nothing of HTTP, and keeps no output.  Event loop only.
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

/* Only read while the process is started. */
typedef struct {
    char *const *argv;
    char *const *envp;
    const char *cwd;
    const agent_user_t *user;
    int64_t timeout_ms;    /* 0 for none */
    int timeout_signal;    /* what the command gets then; SIGKILL follows */
    unsigned input : 1;    /* stdin is a pipe, not empty */
    unsigned terminal : 1; /* all three are a terminal; input goes to it */
    unsigned short cols;   /* its size */
    unsigned short rows;
} agent_process_spec_t;

typedef struct {
    int code;      /* what a shell would say: 128 and the signal */
    int signal;    /* that ended it, or 0 */
    int timed_out; /* nothing of the command lives */
} agent_exit_t;

typedef struct {
    /* A terminal's output is all stdout. */
    void (*output)(void *data, agent_stream_t stream, const char *buf,
                   size_t len);

    /*
     * The process is gone, and all its output was given.  The process object
     * is no longer the owner's then.
     */
    void (*done)(void *data, const agent_exit_t *e);
    void *data;
} agent_process_owner_t;

/* What input takes beside its bytes, roughly: empty input counts, too. */
#define AGENT_INPUT_COST 256

/* Input under way; embedded in its owner's structure. */
typedef struct agent_input_s agent_input_t;

struct agent_input_s {
    const char *buf; /* until done() or cancelled */
    size_t len;
    size_t sent;
    int eof;    /* nothing follows */
    int queued; /* the process's */

    /* All was taken; or never will be, with an errno.  Not from write(). */
    void (*done)(void *data, int err);
    void *data;
    TAILQ_ENTRY(agent_input_s) link;
};

/* NULL with errno set. */
agent_process_t *agent_process_start(const agent_process_spec_t *spec,
                                     const agent_process_owner_t *owner);

int64_t agent_process_pid(const agent_process_t *p);

/*
 * How many more bytes of output may come, SIZE_MAX for any number, as at
 * first; what is beyond stays in the pipe, and holds the command back.
 */
void agent_process_allow(agent_process_t *p, size_t n);

/*
 * Queues input; 0, or -1 with errno set: EPIPE if stdin is closed, or will be
 * after what is queued, ENOBUFS if too much is, ENOMEM if the share of input
 * is used up.
 */
int agent_process_write(agent_process_t *p, agent_input_t *in);
void agent_process_cancel(agent_process_t *p, agent_input_t *in);

/* 1 if the first input of a new process may have that length now. */
int agent_process_takes(size_t len);

/* Signals the whole tree; 0, or -1 if the process has ended. */
int agent_process_signal(agent_process_t *p, int signal);

/* The size of the terminal. */
void agent_process_resize(agent_process_t *p, unsigned short cols,
                          unsigned short rows);

/* The owner goes away: kills the tree, and reports nothing more. */
void agent_process_abandon(agent_process_t *p);

#endif
