/*
 * The directory of disks by the worker's own rights, without libvirt: only
 * if libvirt is on the same host.
 */

#define _GNU_SOURCE

#include "sandbox_hv.h"
#include "sandbox_write.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK_MODE 0640 /* as libvirt makes it: the worker's group reads */


void
sandbox_disk_names_free(char **names, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        free(names[i]);
    }

    free(names);
}


sandbox_hv_status_t
sandbox_disk_local(const char *prefix, char ***names, size_t *n,
                   sandbox_hv_error_t *err)
{
    DIR *dir;
    char **list;
    char path[SANDBOX_HV_PATH_SIZE];
    struct dirent *entry;

    *n = 0;
    *names = NULL;
    (void) sandbox_hv_ok(err);

    dir = sandbox_disk_path(path, ".") == 0 ? opendir(path) : NULL;
    if (dir == NULL) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the directory of disks cannot be read: %s",
                              strerror(errno));
    }

    while (errno = 0, (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0) {
            continue;
        }

        list = realloc(*names, (*n + 1) * sizeof(**names));
        if (list) {
            *names = list;
            list[*n] = strdup(entry->d_name);
        }

        if (list == NULL || list[*n] == NULL) {
            sandbox_disk_names_free(*names, *n);
            *names = NULL;
            *n = 0;
            (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
            break;
        }

        (*n)++;
    }

    /* an incomplete list is an error: files not listed would seem not needed */
    if (entry == NULL && errno != 0) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the directory of disks cannot be read: %s",
                              strerror(errno));
        sandbox_disk_names_free(*names, *n);
        *names = NULL;
        *n = 0;
    }

    (void) closedir(dir);
    return err->status;
}


sandbox_hv_status_t
sandbox_disk_unlink(const char *name, sandbox_hv_error_t *err)
{
    char path[SANDBOX_HV_PATH_SIZE];

    if (sandbox_disk_path(path, name) != 0
        || (unlink(path) == -1 && errno != ENOENT))
    {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "\"%s\" cannot be removed: the directory of "
                              "disks must be the worker's",
                              name);
    }

    return sandbox_hv_ok(err);
}


/*
 * Written without a name, which the file gets at last: so there is never a part
 * of it, nor one to be removed if the process dies.
 */
int
sandbox_disk_write(const char *name, const unsigned char *data, size_t size,
                   sandbox_hv_error_t *err)
{
    int fd, rc;
    char path[SANDBOX_HV_PATH_SIZE], nameless[32];

    sandbox_hv_ok(err);

    fd = sandbox_disk_path(path, ".") == 0
             ? open(path, O_TMPFILE | O_WRONLY | O_CLOEXEC, DISK_MODE)
             : -1;
    if (fd == -1) {
        return 0;
    }

    rc = 1;

    /* fchmod(): whatever the umask is */
    if (fchmod(fd, DISK_MODE) == -1 || sandbox_write(fd, data, size, 0) == -1) {
        (void) sandbox_hv_set(
            err,
            errno == ENOSPC || errno == EDQUOT ? SANDBOX_HV_NO_CAPACITY
                                               : SANDBOX_HV_FAILED,
            "\"%s\" cannot be written: %s", name, strerror(errno));

    } else {
        (void) snprintf(nameless, sizeof(nameless), "/proc/self/fd/%d", fd);
        rc = sandbox_disk_path(path, name) == 0
             && linkat(AT_FDCWD, nameless, AT_FDCWD, path, AT_SYMLINK_FOLLOW)
                    == 0;
    }

    (void) close(fd);
    return rc;
}


int64_t
sandbox_disk_blocks(const char *name)
{
    char path[SANDBOX_HV_PATH_SIZE];
    struct stat st;

    return sandbox_disk_path(path, name) == 0 && stat(path, &st) == 0
               ? (int64_t) st.st_blocks * 512
               : 0;
}


int
sandbox_disk_sync_open(void)
{
    char path[SANDBOX_HV_PATH_SIZE];

    return sandbox_disk_path(path, ".") == 0
               ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
               : -1;
}


sandbox_hv_status_t
sandbox_disk_sync(int fd, sandbox_hv_error_t *err)
{
    if (fd == -1) {
        sync();

    } else if (syncfs(fd) == -1) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the file system of the disks cannot be synced: "
                              "%s",
                              strerror(errno));
    }

    return sandbox_hv_ok(err);
}
