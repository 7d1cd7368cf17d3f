/*
 * Templates, which sandboxes are booted from: directories with a manifest.json,
 * loaded when nginx reads its configuration.  Blocking file I/O, not for the
 * event loop; any thread.
 *
 * <templates>/<name>/manifest.json
 *   {"name": "base", "version": "…", "arch": "x86_64",
 *    "kernel": "vmlinux", "initrd": "initrd.img", "disk": "disk.qcow2",
 *    "cmdline": "…", "disk_mb": 2048, "min_memory_mb": 128,
 *    "workdir": "/workspace", "desktop": false}
 * All members are required, and no others are allowed.  File names are relative
 * to the directory and may not lead out of it.
 */

#ifndef SANDBOX_TEMPLATE_H
#define SANDBOX_TEMPLATE_H

#include <stddef.h>
#include <stdint.h>

/* Strings are malloc'd and freed with the template; none is NULL. */
typedef struct {
    char *name; /* of [a-z0-9._-]; also the directory's */
    char *version;
    char *kernel; /* this and down to disk: absolute paths without links */
    char *initrd;
    char *disk;            /* qcow2 without a backing file, never written */
    char *cmdline;         /* the kernel's command line */
    char *workdir;         /* a normalised absolute path in the guest */
    int64_t disk_mb;       /* the disk's virtual size, 1 or more */
    int64_t min_memory_mb; /* 1 or more */
    int desktop;           /* 0 or 1 */
} sandbox_template_t;

/*
 * Loads the template in directory dir, for sandbox_template_free().  NULL with
 * a message in err, cut to errsize bytes with its NUL, that names the file at
 * fault, and the member.
 */
sandbox_template_t *
sandbox_template_load(const char *dir, char *err, size_t errsize);
void sandbox_template_free(sandbox_template_t *t);

/*
 * Loads every directory in dir that has a manifest and whose name does not
 * begin with a dot: a NULL-terminated array, sorted by name and perhaps empty,
 * which the caller frees with sandbox_templates_free().  NULL with a message in
 * err, as above, if one cannot be loaded, or there are over 4096.
 */
sandbox_template_t **
sandbox_templates_load(const char *dir, char *err, size_t errsize);
void sandbox_templates_free(sandbox_template_t **list);

#endif
