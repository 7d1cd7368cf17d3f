/*
 * The guest's file system as clients see it: every path is resolved by the
 * kernel below one directory, its links too, and never by text alone.
 * Descriptors are O_CLOEXEC and closed by the caller.  Blocking.
 */

#ifndef AGENT_FS_H
#define AGENT_FS_H

#include <dirent.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "sandbox_path.h"
#include "sandbox_text.h"

/* What the agent keeps for itself; below the root. */
#define AGENT_FS_PRIVATE "/workspace/.nullspace"

#define AGENT_FS_ETAG_SIZE 72

/* A directory in place of "/", for tests; copied. */
void agent_fs_set_root(const char *path);

/* The root, O_PATH; -1 with errno set. */
int agent_fs_root(void);

/*
 * Opens a path below the directory root, which ".." and absolute links do not
 * lead out of.  flags as of open(2); O_CREAT makes files of that mode.  Magic
 * links of /proc are not followed: ELOOP.
 */
int agent_fs_open(int root, const char *path, int flags, mode_t mode);

/*
 * The directory that a path lies in, O_PATH; *name is set to its last part
 * within path, "" for the root itself.
 */
int agent_fs_parent(int root, const char *path, const char **name);

/* The path of what an absolute path lies in, "" for the root's. */
void agent_fs_above(char above[SANDBOX_PATH_MAX], const char *path);

/*
 * Makes a directory and those above it; what is there stays as it is.  EPERM
 * in what the agent keeps for itself, whatever links lead there.
 */
int agent_fs_mkdirs(int root, const char *path, mode_t mode);
/* The same for the agent itself. */
int agent_fs_mkdirs_own(int root, const char *path, mode_t mode);

/*
 * Makes a directory that clients may make; with parents as "mkdir -p" does,
 * which takes one that is there, too.  1 if it was made, 0 if it was there,
 * with *mode set to what it has; -1 with errno set.
 */
int agent_fs_mkdir(int root, const char *path, mode_t *mode, int parents);

/* The entries of a directory, from the first one on; NULL with errno set. */
DIR *agent_fs_list(int dir);

/*
 * Opens a regular file to read and fills st; others, FIFOs and devices among
 * them, are EISDIR or EINVAL, and are never waited for.
 */
int agent_fs_open_file(int root, const char *path, struct stat *st);

/*
 * Where a descriptor's file is now, below root, normalised.  0, or -1 with
 * errno set; ENOENT if it is nowhere.
 */
int agent_fs_where(int root, int fd, char path[SANDBOX_PATH_MAX]);

/* 1 if what fd is opened on is, or is in, what the agent keeps for itself. */
int agent_fs_is_private(int fd);

/* A strong entity tag, in quotes. */
void agent_fs_etag(char out[AGENT_FS_ETAG_SIZE], const struct stat *st);

/* The last owner and group whose names were looked up; zeroed at first. */
typedef struct {
    int has_user;
    int has_group;
    uid_t uid;
    gid_t gid;
    char user[64];
    char group[64];
} agent_fs_names_t;

/*
 * The object of a file: path is what it is called in it, dir and name are
 * where to read a link's target.
 */
void agent_fs_json(sandbox_text_t *t, const char *path, const struct stat *st,
                   int dir, const char *name, agent_fs_names_t *names);

/* "0644" */
void agent_fs_mode(char out[8], mode_t mode);

/* All of data, or -1 with errno set. */
int agent_fs_write(int fd, const void *data, size_t len);

#endif
