/* Crash points; see the header.  Empty in a build without them. */

#include "sandbox_crash.h"

#ifdef SANDBOX_CRASH_POINTS

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>


/* Reads the order for a point and removes it for all others; 0 if none. */
static int
sandbox_crash_take(const char *name, char *order, size_t size)
{
    int fd, len;
    char path[512];
    ssize_t n;
    const char *dir;

    dir = getenv("SANDBOX_CRASH_DIR");
    if (dir == NULL) {
        return 0;
    }

    len = snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (len < 0 || (size_t) len >= sizeof(path)) {
        return 0;
    }

    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        return 0;
    }

    n = read(fd, order, size - 1);
    (void) close(fd);

    if (n < 0 || unlink(path) == -1) {
        return 0;
    }

    order[n] = '\0';
    return 1;
}


void
sandbox_crash_point(const char *name)
{
    long ms;
    char order[32];
    struct timespec pause;

    if (!sandbox_crash_take(name, order, sizeof(order))) {
        return;
    }

    (void) dprintf(STDERR_FILENO, "crash point %s, process %ld: %s\n", name,
                   (long) getpid(), order);

    if (strcmp(order, "stop") == 0) {
        (void) kill(getpid(), SIGSTOP);

    } else if (strncmp(order, "sleep ", sizeof("sleep ") - 1) == 0) {
        ms = strtol(order + sizeof("sleep ") - 1, NULL, 10);
        pause.tv_sec = ms / 1000;
        pause.tv_nsec = ms % 1000 * 1000000;
        (void) nanosleep(&pause, NULL);

    } else {
        (void) kill(getpid(), SIGKILL);
    }
}

#endif
