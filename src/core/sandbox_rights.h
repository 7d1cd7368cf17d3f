/*
 * Short messages with descriptors (SCM_RIGHTS) between processes of one host,
 * over a socket that keeps messages apart (SOCK_SEQPACKET).
 *
 * libc only; any thread.
 */

#ifndef SANDBOX_RIGHTS_H
#define SANDBOX_RIGHTS_H

#include <stddef.h>
#include <sys/types.h>

#define SANDBOX_RIGHTS_TEXT 256 /* bytes of the longest message */

/* More than a message of ours has, so that one too many is noticed. */
#define SANDBOX_RIGHTS_FDS 4

typedef struct {
    char text[SANDBOX_RIGHTS_TEXT + 1];
    int fds[SANDBOX_RIGHTS_FDS]; /* closed on exec */
    size_t n;
    int whole; /* 0: the message was too long, or its text had a NUL */
} sandbox_rights_t;

/*
 * Sends the text and n descriptors, at most SANDBOX_RIGHTS_FDS, which stay the
 * caller's; flags as of sendmsg().  0, or -1 with errno.
 */
int sandbox_rights_send(int socket, const char *text, const int *fds, size_t n,
                        int flags);

/*
 * Receives a message; does not wait.  Returns the bytes of the text, 0 if the
 * peer has hung up, or -1 with errno.  The caller closes the message, which has
 * no descriptors after 0 and -1.
 */
ssize_t sandbox_rights_receive(int socket, sandbox_rights_t *message);
void sandbox_rights_close(sandbox_rights_t *message);

#endif
