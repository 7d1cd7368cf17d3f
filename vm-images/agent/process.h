/*
 * A command as a process: started in a session of its own, its output handed
 * on as it comes, its end reported once.  Knows nothing of HTTP, and keeps no
 * output.  Event loop only.
 */

#ifndef AGENT_PROCESS_H
#define AGENT_PROCESS_H

#include <stddef.h>
#include <stdint.h>

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
    int64_t timeout_ms; /* 0 for none */
    int timeout_signal; /* what the group gets then; SIGKILL follows */
} agent_process_spec_t;

typedef struct {
    void (*output)(void *data, agent_stream_t stream, const char *buf,
                   size_t len);

    /*
     * The process is gone.  code is what a shell would say: the exit code, or
     * 128 and the signal.  After a time limit nothing of its session lives.
     * The process object is no longer the owner's then.
     */
    void (*done)(void *data, int code, int timed_out);
    void *data;
} agent_process_owner_t;

/* NULL with errno set. */
agent_process_t *agent_process_start(const agent_process_spec_t *spec,
                                     const agent_process_owner_t *owner);

int64_t agent_process_pid(const agent_process_t *p);

/* The owner goes away: kills the session, and reports nothing more. */
void agent_process_abandon(agent_process_t *p);

#endif
