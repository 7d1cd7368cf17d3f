/*
 * The child's side of a command: from fork() to execve().
 */

#ifndef AGENT_CHILD_H
#define AGENT_CHILD_H

#include "process.h"

/*
 * Never returns; what goes wrong is said on the command's stderr.  The three
 * descriptors become its own, stdin may be -1 for none; on a terminal they are
 * the same one.
 */
void __attribute__((noreturn))
agent_child_run(const agent_process_spec_t *spec, const int fds[3]);

#endif
