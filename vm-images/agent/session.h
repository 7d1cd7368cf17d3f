/* Sessions of processes, as /proc shows them. */

#ifndef AGENT_SESSION_H
#define AGENT_SESSION_H

#include <sys/types.h>

/*
 * Signals every process of session sid; returns the number of those that were
 * not dead already.
 */
int agent_session_kill(pid_t sid, int signal);

#endif
