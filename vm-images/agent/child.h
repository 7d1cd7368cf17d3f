/*
 * The child's side of a command: from fork() to execve().
 */

#ifndef AGENT_CHILD_H
#define AGENT_CHILD_H

#include "process.h"

/*
 * Executes the command; never returns.  Errors are written to the command's
 * stderr.  fds become its stdin, stdout and stderr; stdin may be -1 for none,
 * and on a terminal all three are the same descriptor.
 */
void __attribute__((noreturn))
agent_child_run(const agent_process_spec_t *spec, const int fds[3]);

#endif
