/* Pseudo-terminals. */

#ifndef AGENT_TERMINAL_H
#define AGENT_TERMINAL_H

#include <sys/types.h>

/*
 * A new terminal that belongs to the user: our end, which does not block, and
 * the command's in *child.  -1 with errno set.
 */
int agent_terminal_open(int *child, uid_t uid, unsigned short cols,
                        unsigned short rows);

/* Its foreground gets SIGWINCH. */
void agent_terminal_resize(int fd, unsigned short cols, unsigned short rows);

#endif
