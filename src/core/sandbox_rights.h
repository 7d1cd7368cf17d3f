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

/* More than anybody sends, so that one too many is seen. */
#define SANDBOX_RIGHTS_FDS 4

typedef struct {
    char text[SANDBOX_RIGHTS_TEXT + 1];
    int fds[SANDBOX_RIGHTS_FDS]; /* closed on exec */
    size_t n;
    int whole; /* 0: there was more of it than may be, or a NUL */
} sandbox_rights_t;

/*
 * The text and n descriptors, at most SANDBOX_RIGHTS_FDS, which stay the
 * caller's; flags as of sendmsg().  0, or -1 with errno.
 */
int sandbox_rights_send(int socket, const char *text, const int *fds, size_t n,
                        int flags);

/*
 * Does not wait.  Bytes of the text, 0: the other one has hung up, -1 with
 * errno.  What came with it is to be closed; none is left of 0 and -1.
 */
ssize_t sandbox_rights_receive(int socket, sandbox_rights_t *message);
void sandbox_rights_close(sandbox_rights_t *message);

#endif
