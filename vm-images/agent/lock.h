/*
 * The lock under which workers change files for clients: whoever looks at a
 * file and then replaces, moves or removes it holds the lock of its directory,
 * so that no other request comes between.  It is the agent's own: programs in
 * the guest neither take it nor wait for it.  Of a process, which needs only
 * one at a time; it goes with the process.
 */

#ifndef AGENT_LOCK_H
#define AGENT_LOCK_H

/* What locks are kept by is made, before a worker starts.  0, or -1. */
int agent_lock_open(void);

/* In a new worker: gives fd to what was opened.  0, or -1 with errno set. */
int agent_lock_keep(int fd);

/*
 * Locks the directory of a descriptor.  Waits for another process, but not for
 * ever: its file system may hang.  0, or -1 with errno set, ETIME if the wait
 * was too long.
 */
int agent_lock(int dir);

/* The same for two directories, which may be one. */
int agent_lock_both(int dir, int other);

/* Gives up whatever is locked. */
void agent_unlock(void);

#endif
