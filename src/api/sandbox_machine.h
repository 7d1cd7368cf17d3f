/*
 * What bodies say of a machine, whoever asks for it: the name of its template,
 * and its size against what the template needs.  Pure C: no nginx, no I/O, any
 * thread.
 */

#ifndef SANDBOX_MACHINE_H
#define SANDBOX_MACHINE_H

#include "sandbox_schema.h"
#include "sandbox_template.h"

/* Where a body has the size: slots, and names for a refusal. */
typedef struct {
    int vcpus;
    int memory;
    int disk;
    const char *memory_path;
    const char *disk_path;
} sandbox_machine_members_t;

typedef struct {
    int64_t vcpus;
    int64_t memory_mb;
    int64_t disk_mb;
} sandbox_machine_size_t;

/* The check of a member that names a template. */
sandbox_schema_status_t
sandbox_machine_reference(sandbox_schema_t *s, const sandbox_json_node_t *node,
                          const char *text);

/*
 * The size with its defaults.  A default bends to the template's minimum and
 * to max_memory_mb, the configured maximum; what a client wrote never does.
 */
sandbox_schema_status_t
sandbox_machine_size(sandbox_schema_t *s,
                     const sandbox_machine_members_t *members,
                     const sandbox_template_t *t, int64_t max_memory_mb,
                     sandbox_machine_size_t *size);

#endif
