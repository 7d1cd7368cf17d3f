/* Pseudo-terminals, by devpts. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "terminal.h"


void
agent_terminal_resize(int fd, unsigned short cols, unsigned short rows)
{
    struct winsize size;

    memset(&size, 0, sizeof(size));
    size.ws_col = cols;
    size.ws_row = rows;
    ioctl(fd, TIOCSWINSZ, &size);
}


int
agent_terminal_open(int *child, uid_t uid, unsigned short cols,
                    unsigned short rows)
{
    int fd, err, unlock;

    fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    unlock = 0;
    *child = -1;

    /*
     * The peer is opened by the descriptor: a root file system may have
     * anything at /dev/pts.
     */
    if (ioctl(fd, TIOCSPTLCK, &unlock) == 0) {
        *child = ioctl(fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    }

    if (*child == -1 || fchown(*child, uid, (gid_t) -1) == -1) {
        err = errno;

        if (*child != -1) {
            close(*child);
            *child = -1;
        }

        close(fd);
        errno = err;
        return -1;
    }

    agent_terminal_resize(fd, cols, rows);

    return fd;
}
