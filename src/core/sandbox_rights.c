/* Messages with descriptors; see the header. */

#define _GNU_SOURCE

#include "sandbox_rights.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef union {
    struct cmsghdr align;
    char room[CMSG_SPACE(SANDBOX_RIGHTS_FDS * sizeof(int))];
} rights_control_t;


int
sandbox_rights_send(int socket, const char *text, const int *fds, size_t n,
                    int flags)
{
    struct msghdr msg;
    struct iovec iov;
    struct cmsghdr *cmsg;
    rights_control_t control;

    if (n > SANDBOX_RIGHTS_FDS) {
        errno = EINVAL;
        return -1;
    }

    memset(&msg, 0, sizeof(msg));
    memset(&control, 0, sizeof(control));

    iov.iov_base = (void *) (uintptr_t) text;
    iov.iov_len = strlen(text);
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;

    if (n) {
        msg.msg_control = control.room;
        msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
    }

    return sendmsg(socket, &msg, MSG_NOSIGNAL | flags) == -1 ? -1 : 0;
}


/* Takes the descriptors out of a message; those in excess are closed. */
static void
rights_collect(struct msghdr *msg, sandbox_rights_t *message)
{
    int fd;
    size_t i, n;
    struct cmsghdr *cmsg;

    for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS) {
            continue;
        }

        n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        for (i = 0; i < n; i++) {
            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));

            if (message->n < SANDBOX_RIGHTS_FDS) {
                message->fds[message->n++] = fd;
            } else {
                (void) close(fd);
                message->whole = 0;
            }
        }
    }
}


ssize_t
sandbox_rights_receive(int socket, sandbox_rights_t *message)
{
    ssize_t n;
    struct msghdr msg;
    struct iovec iov;
    rights_control_t control;

    memset(&msg, 0, sizeof(msg));
    memset(message, 0, sizeof(*message));

    iov.iov_base = message->text;
    iov.iov_len = SANDBOX_RIGHTS_TEXT;
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    msg.msg_control = control.room;
    msg.msg_controllen = sizeof(control.room);

    n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n == -1) {
        return -1;
    }

    message->whole = !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
                     && strlen(message->text) == (size_t) n;
    rights_collect(&msg, message);

    /* an empty message cannot be told from a peer that has hung up */
    if (n == 0) {
        sandbox_rights_close(message);
    }

    return n;
}


void
sandbox_rights_close(sandbox_rights_t *message)
{
    while (message->n) {
        (void) close(message->fds[--message->n]);
    }
}
