/* Pseudo-terminals. */

#ifndef AGENT_TERMINAL_H
#define AGENT_TERMINAL_H

#include <sys/types.h>

/*
 * Makes a terminal that belongs to the user.  Returns our end, which is
 * non-blocking, and in *child the command's end; -1 with errno set.
 */
int agent_terminal_open(int *child, uid_t uid, unsigned short cols,
                        unsigned short rows);

/* Sets the size; the terminal's foreground processes get SIGWINCH. */
void agent_terminal_resize(int fd, unsigned short cols, unsigned short rows);

#endif
