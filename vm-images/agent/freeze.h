/*
 * Commands stand still while a checkpoint is taken: all of them live below one
 * control group, which is frozen before and thawed once the guest is another
 * one.  Event loop only.
 */

#ifndef AGENT_FREEZE_H
#define AGENT_FREEZE_H

#include <stddef.h>
#include <sys/types.h>

/* Makes the group; without it commands run all the same.  After the boot. */
void agent_freeze_init(void);

/* The group, or -1 if there is none. */
int agent_freeze_group(void);

/*
 * As fork(); the child is in the group of the descriptor, which is one below
 * ours, from its first instruction.  -1: it is in ours, if there is one.
 */
pid_t agent_freeze_fork(int group);

/*
 * Stops the commands.  When it returns 0 none of them executes an instruction
 * of its own until agent_thaw().  -1 with a sentence in error: some may be
 * stopped and others not.
 */
int agent_freeze(char *error, size_t size);

/*
 * The same for who starts none before agent_thaw(): 0 at once where none was
 * ever started, and where there is no group and so no way to stop them.
 */
int agent_freeze_hold(char *error, size_t size);

/* Lets the commands go on.  0, or -1 with a sentence in error. */
int agent_thaw(char *error, size_t size);

#endif
