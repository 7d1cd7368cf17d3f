/*
 * Writing the file systems to the disk.
 */

#ifndef AGENT_FLUSH_H
#define AGENT_FLUSH_H

/* All of them, and waits for it.  0, or -1 with errno set.  Blocking. */
int agent_flush_wait(void);

/*
 * The same in a process of its own, while the agent and the commands go on;
 * done gets 0 or an errno.  Event loop only.  0, or -1 with errno set.
 */
int agent_flush(void (*done)(void *data, int err), void *data);

#endif
