/*
 * A file written beside its name and put in its place at once: who reads sees
 * the old one or the whole new one, and one that is given up leaves nothing.
 * Blocking; in a worker.
 */

#ifndef AGENT_REPLACE_H
#define AGENT_REPLACE_H

#include <sys/stat.h>

#include "sandbox_path.h"

typedef struct {
    int dir;         /* where it will be */
    int fd;          /* to write to */
    int exists;      /* there is a file of that name now: */
    struct stat old; /* this */
    int named;       /* the new one is in dir as temp, */
    int placed;      /* or where it is to be already */
    char name[SANDBOX_PATH_NAME_MAX + 1];
    char temp[48];
} agent_replace_t;

typedef enum {
    AGENT_REPLACE_FOLLOW = 0, /* a link at the path leads to the file meant */
    AGENT_REPLACE_LINK,       /* it is what is replaced, like any file */
    AGENT_REPLACE_OWN         /* the same, for files of the agent's own */
} agent_replace_how_t;

/*
 * Looks a path below root up; what is there is refused unless it is a file:
 * EISDIR, EINVAL; ELOOP for a link to nothing; EBUSY if what it leads to is
 * replaced all the time; EPERM in what the agent keeps
 * for itself.  -1 with errno set.
 */
int agent_replace_find(agent_replace_t *p, int root, const char *path,
                       agent_replace_how_t how);

/*
 * Makes the new file, empty, of the mode and owner of the old one or 0644 and
 * root's.  -1 with errno set.  It is then to be committed or aborted.
 */
int agent_replace_open(agent_replace_t *p);

/* In place of open(): another name of the file name in from, or a link. */
int agent_replace_hard(agent_replace_t *p, int from, const char *name);
int agent_replace_symlink(agent_replace_t *p, const char *target, uid_t uid,
                          gid_t gid);

/* Looks again what is at the name: in exists, and if it is set, in old. */
void agent_replace_again(agent_replace_t *p);

/*
 * Puts it in place.  exclusive: EEXIST if there is a file meanwhile.  After
 * either result nothing but the file in place is left.
 */
int agent_replace_commit(agent_replace_t *p, int exclusive);
/* 1 if a name is one that a file has only until it is put in place. */
int agent_replace_is_temp(const char *name);

/* Harmless at any time after find(), and after a commit. */
void agent_replace_abort(agent_replace_t *p);

#endif
