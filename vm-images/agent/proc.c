/* Reading /proc/ID/stat; see the header. */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proc.h"


int
agent_proc_read(pid_t id, agent_proc_t *p)
{
    int fd, pgrp, ppid, session;
    char *s;
    char path[64], buf[512];
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int) id);

    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    n = read(fd, buf, sizeof(buf) - 1);
    close(fd);

    if (n <= 0) {
        return -1;
    }

    buf[n] = '\0';

    /* The name before may hold anything, a closing bracket included. */
    s = strrchr(buf, ')');
    if (s == NULL
        || sscanf(s + 1, " %c %d %d %d", &p->state, &ppid, &pgrp, &session)
               != 4)
    {
        return -1;
    }

    p->session = session;

    return 0;
}
