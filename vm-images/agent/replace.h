/*
 * Replaces a file atomically: the new file is written without its final name
 * and then put in place, so a reader sees the old file or the whole new one.
 * An aborted replacement leaves nothing.  Blocking; in a worker.
 */

#ifndef AGENT_REPLACE_H
#define AGENT_REPLACE_H

#include <sys/stat.h>

#include "sandbox_path.h"

typedef struct {
    int dir;    /* the directory of the file */
    int fd;     /* of the new file, to write to */
    int exists; /* a file of that name exists, and old is its status */
    struct stat old;
    int named;  /* the new file is in dir under the name temp */
    int placed; /* the new file has its final name already */
    int locked; /* no other request changes files of dir meanwhile */
    char name[SANDBOX_PATH_NAME_MAX + 1];
    char temp[48];
} agent_replace_t;

typedef enum {
    AGENT_REPLACE_FOLLOW = 0, /* a link at the path is followed */
    AGENT_REPLACE_LINK,       /* a link at the path is itself replaced */
    AGENT_REPLACE_OWN         /* the same, for the agent's private files */
} agent_replace_how_t;

/*
 * Looks a path below root up.  0, or -1 with errno set: EISDIR or EINVAL if it
 * is no regular file; ELOOP for a link to nothing; EBUSY if the target of a
 * link is replaced all the time; EPERM in the agent's private directory.
 */
int agent_replace_find(agent_replace_t *p, int root, const char *path,
                       agent_replace_how_t how);

/*
 * Makes the new file, empty, with mode and owner of the old one, or 0644 and
 * root.  0, or -1 with errno set.  The caller then commits or aborts.
 */
int agent_replace_open(agent_replace_t *p);

/* In place of open(): makes a hard link to name in from, or a symbolic link. */
int agent_replace_hard(agent_replace_t *p, int from, const char *name);
int agent_replace_symlink(agent_replace_t *p, const char *target, uid_t uid,
                          gid_t gid);

/*
 * Looks the name up again, and sets exists and, if there is a file, old.  What
 * is seen holds for other requests until the commit or abort: the directory is
 * locked (lock.h).  0, or -1 with errno set.
 */
int agent_replace_again(agent_replace_t *p);

/*
 * Puts the new file in place, under the directory's lock.  exclusive: EEXIST if
 * there is a file meanwhile.  0, or -1 with errno set; the temporary file is
 * gone in either case.
 */
int agent_replace_commit(agent_replace_t *p, int exclusive);
/* 1 if name is of the form of the temporary names used here. */
int agent_replace_is_temp(const char *name);

/* Gives the replacement up; harmless after a commit or a failed find(). */
void agent_replace_abort(agent_replace_t *p);

#endif
