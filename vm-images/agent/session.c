/* Finding the processes of a session.  The kernel has no call for it. */

#define _GNU_SOURCE

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session.h"


/* 1 if pid lives in the session. */
static int
session_member(pid_t pid, pid_t sid)
{
    int fd, pgrp, ppid, session;
    char state;
    char *p;
    char path[64], buf[512];
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);

    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        return 0;
    }

    n = read(fd, buf, sizeof(buf) - 1);
    close(fd);

    if (n <= 0) {
        return 0;
    }

    buf[n] = '\0';

    /* The name before may hold anything, a closing bracket included. */
    p = strrchr(buf, ')');
    if (p == NULL
        || sscanf(p + 1, " %c %d %d %d", &state, &ppid, &pgrp, &session) != 4)
    {
        return 0;
    }

    return session == sid && state != 'Z' && state != 'X';
}


int
agent_session_kill(pid_t sid, int signal)
{
    int n;
    DIR *dir;
    long pid;
    char *end;
    struct dirent *entry;

    dir = opendir("/proc");
    if (dir == NULL) {
        kill(-sid, signal);
        return 0;
    }

    n = 0;

    while ((entry = readdir(dir)) != NULL) {
        pid = strtol(entry->d_name, &end, 10);

        if (pid > 1 && *end == '\0' && session_member((pid_t) pid, sid)) {
            kill((pid_t) pid, signal);
            n++;
        }
    }

    closedir(dir);

    return n;
}
