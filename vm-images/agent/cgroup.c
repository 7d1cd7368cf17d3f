/* Control groups; see the header.  Must not know what they are for. */

#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cgroup.h"
#include "fs.h"


int
agent_cgroup_gone(void)
{
    return errno == ENOENT || errno == ENODEV;
}


int
agent_cgroup_each(int group,
                  int (*run)(int group, const char *name, int64_t arg),
                  int64_t arg)
{
    int fd, rc;
    DIR *dir;
    struct dirent *entry;

    dir = agent_fs_list(group);
    if (dir == NULL) {
        return -1;
    }

    rc = 0;

    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.') {
            continue;
        }

        fd = openat(group, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd == -1) {
            rc = agent_cgroup_gone() ? 0 : -1;
            continue;
        }

        rc = run(fd, entry->d_name, arg);
        close(fd);
    }

    closedir(dir);

    return rc;
}


FILE *
agent_cgroup_ids(int group, const char *file)
{
    int fd;
    FILE *ids;

    fd = openat(group, file, O_RDONLY | O_CLOEXEC);
    ids = fd == -1 ? NULL : fdopen(fd, "r");

    if (ids == NULL && fd != -1) {
        close(fd);
    }

    return ids;
}


pid_t
agent_cgroup_id(FILE *ids)
{
    char line[32];

    return fgets(line, sizeof(line), ids) ? (pid_t) strtol(line, NULL, 10) : -1;
}
