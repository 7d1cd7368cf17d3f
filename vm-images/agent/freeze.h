/*
 * Freezes all commands while a checkpoint is taken.  They live below one
 * control group, which is frozen before the checkpoint and thawed after it, or
 * when the guest started from it has been configured.  Event loop only.
 */

#ifndef AGENT_FREEZE_H
#define AGENT_FREEZE_H

#include <stddef.h>
#include <sys/types.h>

/* Makes the group, after the boot; if that fails, commands run without it. */
void agent_freeze_init(void);

/* The descriptor of the group, or -1 if there is none. */
int agent_freeze_group(void);

/*
 * As fork(); from its first instruction the child is in the control group of
 * this descriptor, which is below ours, or, for -1, in ours, if there is one.
 */
pid_t agent_freeze_fork(int group);

/*
 * Stops the commands.  When it returns 0 none of them executes an instruction
 * of its own until agent_thaw().  -1 with a sentence in error: some may be
 * stopped and others not.
 */
int agent_freeze(char *error, size_t size);

/*
 * The same for a caller that starts no command before agent_thaw().  Returns 0
 * at once if all are stopped, as in a guest that is started from a checkpoint,
 * if no command was ever started, and if there is no group, so that commands
 * cannot be stopped.
 */
int agent_freeze_hold(char *error, size_t size);

/* Lets the commands go on.  0, or -1 with a sentence in error. */
int agent_thaw(char *error, size_t size);

#endif
