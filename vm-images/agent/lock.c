/*
 * Locks of directories; see the header.
 *
 * A directory is a byte of a file that has no name, locked by fcntl(2).  The
 * number of the byte is made from that of the directory; two that have the
 * same one only wait for each other.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "lock.h"
#include "sandbox_time.h"

#define LOCK_WAIT_MS 5000
#define LOCK_LOOK_MS 500 /* how often a wait is looked at */

static int lock_fd = -1;


int
agent_lock_open(void)
{
    if (lock_fd == -1) {
        lock_fd = memfd_create("lock", MFD_CLOEXEC);
    }

    return lock_fd == -1 ? -1 : 0;
}


int
agent_lock_keep(int fd)
{
    if (lock_fd != fd && dup3(lock_fd, fd, O_CLOEXEC) == -1) {
        return -1;
    }

    lock_fd = fd;

    return 0;
}


static int
lock_set(short type, off_t at, off_t len, int how)
{
    struct flock lock;

    memset(&lock, 0, sizeof(lock));
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = at;
    lock.l_len = len;

    return fcntl(lock_fd, how, &lock);
}


/* Does nothing: that a signal comes ends a wait. */
static void
lock_alarm(int signal)
{
    (void) signal;
}


static void
lock_alarms(int ms)
{
    struct itimerval timer;

    timer.it_value.tv_sec = 0;
    timer.it_value.tv_usec = ms * 1000;
    timer.it_interval = timer.it_value;

    setitimer(ITIMER_REAL, &timer, NULL);
}


/* Locks a byte that another process has, when that gives it up. */
static int
lock_wait(off_t at)
{
    int rc, err;
    int64_t until;
    struct sigaction act;

    memset(&act, 0, sizeof(act));
    act.sa_handler = lock_alarm; /* and without SA_RESTART */
    sigaction(SIGALRM, &act, NULL);

    until = sandbox_time_monotonic_ms() + LOCK_WAIT_MS;
    lock_alarms(LOCK_LOOK_MS);

    do {
        rc = lock_set(F_WRLCK, at, 1, F_SETLKW);
    } while (rc == -1 && errno == EINTR && sandbox_time_monotonic_ms() < until);

    err = errno == EINTR ? ETIME : errno;
    lock_alarms(0);
    errno = err;

    return rc;
}


static int
lock_byte(off_t at)
{
    if (lock_set(F_WRLCK, at, 1, F_SETLK) == 0) {
        return 0;
    }

    return errno == EAGAIN || errno == EACCES ? lock_wait(at) : -1;
}


/* The byte of a directory; -1 with errno set. */
static off_t
lock_place(int dir)
{
    struct stat st;

    if (fstatat(dir, "", &st, AT_EMPTY_PATH) == -1) {
        return -1;
    }

    return (off_t) ((st.st_ino ^ (uint64_t) st.st_dev << 40) & INT64_MAX >> 1);
}


int
agent_lock_both(int dir, int other)
{
    off_t a, b, first, last;

    a = lock_place(dir);
    b = lock_place(other);

    if (a == -1 || b == -1 || agent_lock_open() == -1) {
        return -1;
    }

    /* in one order, so that no two processes wait for each other */
    first = a < b ? a : b;
    last = a < b ? b : a;

    if (lock_byte(first) == -1) {
        return -1;
    }

    if (last != first && lock_byte(last) == -1) {
        agent_unlock();
        return -1;
    }

    return 0;
}


int
agent_lock(int dir)
{
    return agent_lock_both(dir, dir);
}


void
agent_unlock(void)
{
    int err;

    err = errno;
    (void) lock_set(F_UNLCK, 0, 0, F_SETLK);
    errno = err;
}
