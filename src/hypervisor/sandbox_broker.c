/* The client of the memory broker; see the header. */

#define _GNU_SOURCE

#include "sandbox_broker.h"
#include "sandbox_hv.h"
#include "sandbox_rights.h"
#include "sandbox_time.h"

#include <errno.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BROKER_WAIT_MS 2000


/* UNAVAILABLE, with the reason (an errno). */
static sandbox_hv_status_t
broker_away(sandbox_hv_error_t *err, int error)
{
    return sandbox_hv_set(err, SANDBOX_HV_UNAVAILABLE,
                          "the memory broker does not answer: %s",
                          strerror(error));
}


/* A connection to the broker, or -1 with *err. */
static int
broker_connect(sandbox_hv_error_t *err)
{
    int fd, error;
    struct sockaddr_un address = { .sun_family = AF_UNIX,
                                   .sun_path = SANDBOX_BROKER_SOCKET };
    struct timeval wait = { .tv_sec = BROKER_WAIT_MS / 1000 };

    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    /* the timeout of sending limits connect() as well */
    if (fd == -1
        || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) == -1
        || connect(fd, (struct sockaddr *) &address, sizeof(address)) == -1)
    {
        error = errno;

        if (fd != -1) {
            (void) close(fd);
        }

        (void) broker_away(err, error == EAGAIN ? ETIMEDOUT : error);
        return -1;
    }

    return fd;
}


/* Waits for the answer, until the deadline: 0, or -1 with errno. */
static int
broker_receive(int server, sandbox_rights_t *answer, int64_t deadline_ms)
{
    int rc;
    ssize_t n;
    int64_t left;
    struct pollfd wait = { .fd = server, .events = POLLIN };

    do {
        left = deadline_ms - sandbox_time_monotonic_ms();
        rc = poll(&wait, 1, left > 0 ? (int) left : 0);
    } while (rc == -1 && errno == EINTR);

    if (rc != 1) {
        errno = rc == 0 ? ETIMEDOUT : errno;
        return -1;
    }

    n = sandbox_rights_receive(server, answer);

    if (n == 0) {
        errno = ECONNRESET;
    }

    return n > 0 ? 0 : -1;
}


/*
 * Sends a request, with fd unless it is -1, and takes the answer.  OK: *answer
 * is "ok" and has n descriptors, which the caller closes; else it has none.
 */
static sandbox_hv_status_t
broker_call(const char *text, int fd, sandbox_rights_t *answer, size_t n,
            sandbox_hv_error_t *err)
{
    int server, rc, error;
    int64_t deadline_ms;

    deadline_ms = sandbox_time_monotonic_ms() + BROKER_WAIT_MS;
    answer->n = 0;

    server = broker_connect(err);
    if (server == -1) {
        return err->status;
    }

    rc = sandbox_rights_send(server, text, &fd, fd != -1, 0) == 0
                 && broker_receive(server, answer, deadline_ms) == 0
             ? 0
             : -1;
    error = errno;
    (void) close(server);

    if (rc == -1) {
        return broker_away(err, error);
    }

    if (answer->whole && answer->n == n
        && strcmp(answer->text, SANDBOX_BROKER_OK) == 0)
    {
        return sandbox_hv_ok(err);
    }

    sandbox_rights_close(answer);

    if (strncmp(answer->text, SANDBOX_BROKER_ERROR,
                sizeof(SANDBOX_BROKER_ERROR) - 1)
        == 0)
    {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the memory broker refuses: %.200s",
                              answer->text + sizeof(SANDBOX_BROKER_ERROR) - 1);
    }

    return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                          "the memory broker's answer is not understood");
}


/* 1 if all are files of /proc: a read of a pipe or a socket could block. */
static int
broker_of_proc(const int *fds, size_t n)
{
    size_t i;
    struct statfs fs;

    for (i = 0; i < n; i++) {
        if (fstatfs(fds[i], &fs) == -1 || fs.f_type != PROC_SUPER_MAGIC) {
            return 0;
        }
    }

    return 1;
}


sandbox_hv_status_t
sandbox_broker_open(const char *sandbox, int fds[SANDBOX_BROKER_FILES],
                    sandbox_hv_error_t *err)
{
    int i, n;
    char text[SANDBOX_RIGHTS_TEXT];
    sandbox_rights_t answer;

    for (i = 0; i < SANDBOX_BROKER_FILES; i++) {
        fds[i] = -1;
    }

    n = snprintf(text, sizeof(text), SANDBOX_BROKER_OPEN "%s", sandbox);

    if (n < 0 || (size_t) n >= sizeof(text)) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "not the name of a machine");
    }

    if (broker_call(text, -1, &answer, SANDBOX_BROKER_FILES, err)
        != SANDBOX_HV_OK) {
        return err->status;
    }

    if (!broker_of_proc(answer.fds, answer.n)) {
        sandbox_rights_close(&answer);
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the memory broker has sent other files");
    }

    memcpy(fds, answer.fds, SANDBOX_BROKER_FILES * sizeof(int));
    return err->status;
}


sandbox_hv_status_t
sandbox_broker_drain(int fd, sandbox_hv_error_t *err)
{
    sandbox_rights_t answer;

    if (fd == -1) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "there is no pipe");
    }

    return broker_call(SANDBOX_BROKER_DRAIN, fd, &answer, 0, err);
}
