/* What /proc says of a process or a thread. */

#ifndef AGENT_PROC_H
#define AGENT_PROC_H

#include <sys/types.h>

typedef struct {
    char state; /* as ps(1) has it */
    pid_t session;
} agent_proc_t;

/* 0, or -1 if there is no such process or thread. */
int agent_proc_read(pid_t id, agent_proc_t *p);

#endif
