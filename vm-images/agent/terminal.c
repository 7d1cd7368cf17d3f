/* Pseudo-terminals, by devpts. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
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


/* 1 if a byte that was typed has ended a line, or done away with it. */
static int
terminal_begins(const struct termios *t, int before)
{
    size_t i;
    static const int ends[] = { VEOF, VEOL, VEOL2, VKILL, VINTR, VQUIT, VSUSP };

    if (before == -1 || before == '\n'
        || (before == '\r' && (t->c_iflag & ICRNL))) {
        return 1;
    }

    for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        if (t->c_cc[ends[i]] != _POSIX_VDISABLE
            && t->c_cc[ends[i]] == (cc_t) before) {
            return 1;
        }
    }

    return 0;
}


/* The first of two such characters only ends what there is of the line. */
size_t
agent_terminal_eof(int fd, int before, char bytes[2])
{
    struct termios t;

    if (tcgetattr(fd, &t) == -1 || t.c_cc[VEOF] == _POSIX_VDISABLE) {
        return 0;
    }

    bytes[0] = bytes[1] = (char) t.c_cc[VEOF];

    return (t.c_lflag & ICANON) && !terminal_begins(&t, before) ? 2 : 1;
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
