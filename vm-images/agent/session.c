/* Finding the processes of a session.  The kernel has no call for it. */

#define _GNU_SOURCE

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>

#include "proc.h"
#include "session.h"


/* 1 if pid lives in the session. */
static int
session_member(pid_t pid, pid_t sid)
{
    agent_proc_t p;

    return agent_proc_read(pid, &p) == 0 && p.session == sid && p.state != 'Z'
           && p.state != 'X';
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
