/*
 * Reading control groups, which are directories: the groups below one, and the
 * processes and threads in one.
 */

#ifndef AGENT_CGROUP_H
#define AGENT_CGROUP_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define AGENT_CGROUP_DEPTH 64 /* of groups that are gone into */

/* 1 if errno says that the group was removed, so that it has no process. */
int agent_cgroup_gone(void);

/*
 * Calls run for each group right below a group until one returns other than 0.
 * The last result, 0 if there are none, or -1 with errno set.
 */
int agent_cgroup_each(int group,
                      int (*run)(int group, const char *name, int64_t arg),
                      int64_t arg);

/*
 * The file of a group that lists its processes or threads, closed by the
 * caller; NULL with errno set.
 */
FILE *agent_cgroup_ids(int group, const char *file);

/* The next number of it, 0 for one of another name space; -1 at the end. */
pid_t agent_cgroup_id(FILE *ids);

#endif
