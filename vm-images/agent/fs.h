/*
 * The guest's file system as clients see it: the kernel resolves every path,
 * links included, below one directory; a path is never resolved as text.
 * Descriptors are O_CLOEXEC and closed by the caller.  Blocking.
 */

#ifndef AGENT_FS_H
#define AGENT_FS_H

#include <dirent.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "sandbox_path.h"
#include "sandbox_text.h"

/* The agent's private directory, below the root. */
#define AGENT_FS_PRIVATE "/workspace/.nullspace"

#define AGENT_FS_ETAG_SIZE 72

/* A directory in place of "/", for tests; copied. */
void agent_fs_set_root(const char *path);

/* The root, O_PATH; -1 with errno set. */
int agent_fs_root(void);

/*
 * Opens a path below the directory root; ".." and absolute links cannot leave
 * it.  flags as of open(2); O_CREAT makes files of that mode.  Magic links of
 * /proc are not followed: ELOOP.
 */
int agent_fs_open(int root, const char *path, int flags, mode_t mode);

/*
 * Opens the directory that a path lies in, O_PATH; *name is set to the last
 * part of path, "" for the root itself.
 */
int agent_fs_parent(int root, const char *path, const char **name);

/* The parent of an absolute path; "" if that is the root. */
void agent_fs_above(char above[SANDBOX_PATH_MAX], const char *path);

/*
 * Makes a directory and its parents; existing ones stay as they are.  EPERM in
 * the agent's private directory, also if links lead there.
 */
int agent_fs_mkdirs(int root, const char *path, mode_t mode);
/* The same for the agent itself, which may use its private directory. */
int agent_fs_mkdirs_own(int root, const char *path, mode_t mode);

/*
 * Makes a directory for a client; with parents as "mkdir -p" does, which also
 * accepts an existing directory.  1 if it was made, 0 if it existed, with *mode
 * set to its mode; -1 with errno set.
 */
int agent_fs_mkdir(int root, const char *path, mode_t *mode, int parents);

/* Lists a directory from its first entry on; NULL with errno set. */
DIR *agent_fs_list(int dir);

/*
 * Opens a regular file for a client to read and fills st; -1 with errno set.
 * Other files, such as FIFOs and devices, give EISDIR or EINVAL, without
 * waiting.  What is in the agent's private directory is not there: ENOENT.
 */
int agent_fs_open_file(int root, const char *path, struct stat *st);
/* The same for a directory. */
int agent_fs_open_dir(int root, const char *path);

/*
 * The present path of a descriptor's file below root, normalised.  0, or -1
 * with errno set; ENOENT if the file has no path.
 */
int agent_fs_where(int root, int fd, char path[SANDBOX_PATH_MAX]);

/* 1 if fd's file is the agent's private directory, or is in it. */
int agent_fs_is_private(int fd);
/* The same for a name in the directory dir, whether it exists or not. */
int agent_fs_is_private_at(int dir, const char *name);

/* Makes the strong entity tag of a file, in quotes. */
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
 * Appends the JSON object of a file: path is its "path" in the object; dir and
 * name are for reading the target of a link.
 */
void agent_fs_json(sandbox_text_t *t, const char *path, const struct stat *st,
                   int dir, const char *name, agent_fs_names_t *names);

/* "0644" */
void agent_fs_mode(char out[8], mode_t mode);

/* Writes all of data; 0, or -1 with errno set. */
int agent_fs_write(int fd, const void *data, size_t len);

#endif
