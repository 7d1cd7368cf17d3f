/* Reads the /proc entry of a process or a thread. */

#ifndef AGENT_PROC_H
#define AGENT_PROC_H

#include <sys/types.h>

typedef struct {
    char state; /* a letter, as in ps(1) */
    pid_t session;
} agent_proc_t;

/* 0, or -1 if there is no such process or thread. */
int agent_proc_read(pid_t id, agent_proc_t *p);

#endif
