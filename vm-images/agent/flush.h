/*
 * Writing the file systems to the disk, all of them.
 */

#ifndef AGENT_FLUSH_H
#define AGENT_FLUSH_H

/*
 * In a process of its own, while the agent goes on: it may take as long as the
 * disk does.  done gets 0 or an errno.  Event loop only.  0, or -1 with errno
 * set.
 */
int agent_flush(void (*done)(void *data, int err), void *data);

#endif
