/*
 * Keeping the directory of memories small.  A file here is also in the
 * directory of disks and can be copied again, or is the only memory of a
 * checkpoint that need not outlive the host.
 */

#include "sandbox_memory.h"
#include "sandbox_checkpoint_refs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TIDY_SANDBOX "sb_" /* what ids of sandboxes begin with */
#define TIDY_FILES 256     /* files locked at a time */
#define TIDY_PIPE_S 60
#define TIDY_UNUSED_S 1800 /* how long a file stays that nothing runs from */

typedef struct {
    int fd;
    char name[SANDBOX_CHECKPOINT_NAME_SIZE];
} tidy_file_t;


/*
 * Locks the next files that nobody holds: no process can begin to use a file
 * while it is locked.  Returns how many; 0: there are no more.
 */
static size_t
tidy_lock(DIR *directory, tidy_file_t *files)
{
    int fd;
    size_t n;
    struct dirent *entry;

    n = 0;

    while (n < TIDY_FILES && (entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.' || entry->d_type != DT_REG
            || strlen(entry->d_name) >= sizeof(files->name))
        {
            continue;
        }

        fd = openat(dirfd(directory), entry->d_name, O_RDWR | O_CLOEXEC);

        if (fd != -1 && flock(fd, LOCK_EX | LOCK_NB) == -1) {
            (void) close(fd);
            fd = -1;
        }

        if (fd != -1) {
            files[n].fd = fd;
            memcpy(files[n++].name, entry->d_name, strlen(entry->d_name) + 1);
        }
    }

    return n;
}


/* 1 if the file is in the directory of disks, or that cannot be told. */
static int
tidy_is_on_disk(const char *name)
{
    char path[SANDBOX_HV_PATH_SIZE];

    return sandbox_disk_path(path, name) == 0
           && (access(path, F_OK) == 0 || errno != ENOENT);
}


static int
tidy_is_spare(const tidy_file_t *file, int room)
{
    char id[SANDBOX_ID_SIZE];
    char state[SANDBOX_CHECKPOINT_NAME_SIZE];
    struct stat st;

    if (sandbox_checkpoint_id(id, file->name) != 0) {
        return 1;
    }

    (void) snprintf(state, sizeof(state), "%s" SANDBOX_CHECKPOINT_SUFFIX, id);

    if (fstat(file->fd, &st) == -1) {
        return 0;
    }

    /* it has no "<id>.state", or is the draft of a process that died */
    if (!tidy_is_on_disk(state) || !sandbox_checkpoint_ends(file->name, ".ram")
        || (st.st_mode & SANDBOX_MEMORY_DRAFT))
    {
        return 1;
    }

    return tidy_is_on_disk(file->name)
           && (room || time(NULL) - st.st_mtime > TIDY_UNUSED_S);
}


/* 1 if the file has no holes: they were filled for copying a machine. */
static int
tidy_is_full(const tidy_file_t *file)
{
    struct stat st;

    return fstat(file->fd, &st) == 0 && st.st_nlink
           && st.st_blocks * 512LL >= st.st_size;
}


static void
tidy_unlink(const tidy_file_t *file)
{
    char path[SANDBOX_HV_PATH_SIZE];
    size_t len;

    if (sandbox_memory_directory(path) == 0) {
        len = strlen(path);
        (void) snprintf(path + len, sizeof(path) - len, "/%s", file->name);
        (void) unlink(path);
    }
}


static void
tidy_files(tidy_file_t *files, size_t n, const sandbox_checkpoint_refs_t *refs,
           int room)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (!sandbox_checkpoint_refs_file(refs, files[i].name)
            && tidy_is_spare(&files[i], room))
        {
            tidy_unlink(&files[i]);
        }

        /* a process that waits for the file goes on */
        (void) flock(files[i].fd, LOCK_UN);
    }

    /* it takes long, so each is locked only for its own */
    for (i = 0; i < n; i++) {
        if (flock(files[i].fd, LOCK_EX | LOCK_NB) == 0
            && tidy_is_full(&files[i])) {
            (void) sandbox_memory_punch(files[i].fd);
        }

        (void) close(files[i].fd);
        files[i].fd = -1;
    }
}


/*
 * Removes pipes of sandboxes that have ended: a take may rename its pipe after
 * the sandbox when the ending of that has already looked for one.
 */
static void
tidy_pipes(const sandbox_checkpoint_refs_t *refs)
{
    DIR *directory;
    size_t len;
    char path[SANDBOX_HV_PATH_SIZE], id[SANDBOX_ID_SIZE];
    struct stat st;
    struct dirent *entry;

    directory = sandbox_memory_directory(path) == 0 ? opendir(path) : NULL;

    while (directory && (entry = readdir(directory)) != NULL) {
        len = strcspn(entry->d_name, ".");

        if (entry->d_type != DT_FIFO || len >= sizeof(id)
            || strncmp(entry->d_name, TIDY_SANDBOX, strlen(TIDY_SANDBOX)) != 0)
        {
            continue;
        }

        memcpy(id, entry->d_name, len);
        id[len] = '\0';

        /* a young pipe may be of a sandbox started after the look at domains */
        if (!sandbox_checkpoint_refs_domain(refs, id)
            && fstatat(dirfd(directory), entry->d_name, &st, 0) == 0
            && time(NULL) - st.st_ctime > TIDY_PIPE_S)
        {
            (void) unlinkat(dirfd(directory), entry->d_name, 0);
        }
    }

    if (directory) {
        (void) closedir(directory);
    }
}


/* refs: the memories of domains; grows with each look. */
static sandbox_hv_status_t
tidy_all(sandbox_hv_conn_t *conn, sandbox_checkpoint_refs_t *refs,
         DIR *directory, int room, sandbox_hv_error_t *err)
{
    size_t i, n;
    tidy_file_t *files;

    files = calloc(TIDY_FILES, sizeof(*files));
    if (files == NULL) {
        return sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
    }

    /* looks at most domains while nothing is locked */
    (void) sandbox_checkpoint_refs_domains(conn, refs, err);

    while (err->status == SANDBOX_HV_OK
           && (n = tidy_lock(directory, files)) > 0) {
        /* a start that held a file before it was locked has a domain now */
        if (sandbox_checkpoint_refs_domains(conn, refs, err) == SANDBOX_HV_OK) {
            tidy_files(files, n, refs, room);
        }

        for (i = 0; i < n; i++) {
            if (files[i].fd != -1) {
                (void) close(files[i].fd);
            }
        }
    }

    free(files);
    return err->status;
}


sandbox_hv_status_t
sandbox_memory_tidy(sandbox_hv_conn_t *conn, int room, sandbox_hv_error_t *err)
{
    DIR *directory;
    char path[SANDBOX_HV_PATH_SIZE];
    sandbox_checkpoint_refs_t refs;

    (void) sandbox_hv_ok(err);

    directory = sandbox_memory_directory(path) == 0 ? opendir(path) : NULL;
    if (directory == NULL) {
        return err->status;
    }

    memset(&refs, 0, sizeof(refs));
    refs.memories = 1;

    if (tidy_all(conn, &refs, directory, room, err) == SANDBOX_HV_OK
        && sandbox_checkpoint_refs_domains(conn, &refs, err) == SANDBOX_HV_OK)
    {
        tidy_pipes(&refs);
    }

    sandbox_checkpoint_refs_free(&refs);
    (void) closedir(directory);
    return err->status;
}
