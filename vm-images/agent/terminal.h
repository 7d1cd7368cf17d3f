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

/*
 * Gives the bytes that typed make a reader of the terminal find the end of its
 * input; before is the byte that was typed last, -1 if there was none.  They
 * are one byte, two after the beginning of a line, none if the terminal has no
 * such character.  Returns their number.
 */
size_t agent_terminal_eof(int fd, int before, char bytes[2]);

/* Sets the size; the terminal's foreground processes get SIGWINCH. */
void agent_terminal_resize(int fd, unsigned short cols, unsigned short rows);

#endif
