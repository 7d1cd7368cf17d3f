/*
 * The directory of disks by the worker's own rights, without libvirt: only
 * if libvirt is on the same host.
 */

#define _GNU_SOURCE

#include "sandbox_hv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>


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
