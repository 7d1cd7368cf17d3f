/*
 * Users of the root file system, from its /etc/passwd and /etc/group only: the
 * agent must not load name service modules from a foreign root file system.
 */

#ifndef AGENT_USER_H
#define AGENT_USER_H

#include <stddef.h>
#include <sys/types.h>

#define AGENT_USER_GROUPS_MAX 64

typedef struct {
    uid_t uid;
    gid_t gid;
    gid_t groups[AGENT_USER_GROUPS_MAX];
    size_t ngroups;
    char name[64];
    char home[256];
    char shell[256];
} agent_user_t;

/*
 * Finds a user by name or number.  Root and numbers need no entry in
 * /etc/passwd.  0, or -1 if there is no such user.
 */
int agent_user_find(agent_user_t *user, const char *name);

#endif
