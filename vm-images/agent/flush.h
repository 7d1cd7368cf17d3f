/*
 * Syncs all file systems to the disk.
 */

#ifndef AGENT_FLUSH_H
#define AGENT_FLUSH_H

/*
 * Starts the sync in a process of its own, as it may take long; the agent goes
 * on.  done gets 0 or an errno.  Event loop only.  0, or -1 with errno set.
 */
int agent_flush(void (*done)(void *data, int err), void *data);

#endif
