/*
 * Templates: directories with a manifest.json, loaded when nginx reads its
 * configuration.  Blocking file I/O; not for the event loop.
 *
 * <templates>/<name>/manifest.json
 *   {"name": "base", "version": "…", "arch": "x86_64",
 *    "kernel": "vmlinux", "initrd": "initrd.img", "disk": "disk.qcow2",
 *    "cmdline": "…", "disk_mb": 2048, "min_memory_mb": 128,
 *    "workdir": "/workspace", "desktop": false}
 * File names are relative to the directory and may not leave it.
 */

#ifndef SANDBOX_TEMPLATE_H
#define SANDBOX_TEMPLATE_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *name;
    char *version;
    char *kernel; /* absolute paths */
    char *initrd;
    char *disk; /* qcow2, never written */
    char *cmdline;
    char *workdir;
    int64_t disk_mb;
    int64_t min_memory_mb;
    int desktop;
} sandbox_template_t;

/*
 * Loads the template in directory dir.  NULL with a sentence in err (errsize
 * bytes) naming the file and member at fault.
 */
sandbox_template_t *
sandbox_template_load(const char *dir, char *err, size_t errsize);
void sandbox_template_free(sandbox_template_t *t);

/*
 * Loads every directory below dir that has a manifest, sorted by name, into
 * a NULL-terminated array the caller frees with sandbox_templates_free().
 */
sandbox_template_t **
sandbox_templates_load(const char *dir, char *err, size_t errsize);
void sandbox_templates_free(sandbox_template_t **list);

#endif
