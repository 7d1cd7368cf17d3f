/* Looking up users.  Blocking, but on two small files only. */

#define _GNU_SOURCE

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "small_file.h"
#include "user.h"

#define PASSWD "/etc/passwd"
#define GROUP "/etc/group"


/* 1 and the number if name is one. */
static int
user_number(const char *name, uid_t *uid)
{
    unsigned long n;
    size_t len;

    len = strlen(name);
    if (len == 0 || len > 10 || name[strspn(name, "0123456789")] != '\0') {
        return 0;
    }

    n = strtoul(name, NULL, 10);
    if (n >= (uid_t) -1) {
        return 0;
    }

    *uid = (uid_t) n;

    return 1;
}


static int
user_entry(agent_user_t *user, const char *name, const uid_t *uid)
{
    FILE *f;
    struct passwd *pw;

    f = agent_small_file_open(PASSWD);
    if (f == NULL) {
        return -1;
    }

    while ((pw = fgetpwent(f)) != NULL) {
        if (uid != NULL ? pw->pw_uid == *uid : strcmp(pw->pw_name, name) == 0) {
            user->uid = pw->pw_uid;
            user->gid = pw->pw_gid;
            snprintf(user->name, sizeof(user->name), "%s", pw->pw_name);
            snprintf(user->home, sizeof(user->home), "%s", pw->pw_dir);
            snprintf(user->shell, sizeof(user->shell), "%s", pw->pw_shell);
            break;
        }
    }

    fclose(f);

    return pw == NULL ? -1 : 0;
}


static void
user_groups(agent_user_t *user)
{
    FILE *f;
    char **member;
    struct group *gr;

    user->groups[user->ngroups++] = user->gid;

    f = agent_small_file_open(GROUP);
    if (f == NULL) {
        return;
    }

    while (user->ngroups < AGENT_USER_GROUPS_MAX && (gr = fgetgrent(f)) != NULL)
    {
        for (member = gr->gr_mem; *member != NULL; member++) {
            if (strcmp(*member, user->name) == 0 && gr->gr_gid != user->gid) {
                user->groups[user->ngroups++] = gr->gr_gid;
                break;
            }
        }
    }

    fclose(f);
}


int
agent_user_find(agent_user_t *user, const char *name)
{
    int number;
    uid_t uid;

    memset(user, 0, sizeof(*user));
    strcpy(user->home, "/");

    uid = 0;
    number = user_number(name, &uid);

    if (user_entry(user, name, number ? &uid : NULL) == -1) {
        if (!number && strcmp(name, "root") != 0) {
            return -1;
        }

        user->uid = uid;
        user->gid = uid;
        snprintf(user->name, sizeof(user->name), "%s", name);
    }

    if (user->home[0] != '/') {
        strcpy(user->home, "/");
    }

    if (user->shell[0] != '/') {
        strcpy(user->shell, "/bin/sh");
    }

    user_groups(user);

    return 0;
}
