/*
 * The members of a body that describe a machine, in creates and warm pools: the
 * name of its template, and its size, checked against what the template needs.
 * Pure C: no nginx, no I/O, any thread.
 */

#ifndef SANDBOX_MACHINE_H
#define SANDBOX_MACHINE_H

#include "sandbox_create.h"
#include "sandbox_schema.h"
#include "sandbox_template.h"

/* The slots of the size in a schema, and the paths that a refusal names. */
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

/* clang-format off */

/*
 * The rows of a table for the size, in these slots, with the bounds of
 * sandbox_create_limits_t.
 */
#define SANDBOX_MACHINE_SIZE_MEMBERS(vcpus_, memory_, disk_)                   \
    { .name = "vcpus", .slot = (vcpus_), .type = SANDBOX_SCHEMA_INTEGER,       \
      .min = 1,                                                                \
      .limit = SANDBOX_SCHEMA_LIMIT(sandbox_create_limits_t, max_vcpus) },     \
    { .name = "memory_mb", .slot = (memory_), .type = SANDBOX_SCHEMA_INTEGER,  \
      .min = 1,                                                                \
      .limit = SANDBOX_SCHEMA_LIMIT(sandbox_create_limits_t, max_memory_mb) }, \
    { .name = "disk_mb", .slot = (disk_), .type = SANDBOX_SCHEMA_INTEGER,      \
      .min = 512, .max = 131072,                                               \
      .limit = SANDBOX_SCHEMA_LIMIT(sandbox_create_limits_t, max_disk_mb) }

/* clang-format on */

/* For the column check: a member that names a template. */
sandbox_schema_status_t
sandbox_machine_reference(sandbox_schema_t *s, const sandbox_json_node_t *node,
                          const char *text);

/*
 * Refuses the member at path, a reference to no template: a plain name is
 * UNKNOWN_TEMPLATE; name:tag and an image are NOT_IMPLEMENTED, because nothing
 * builds templates from them yet.
 */
sandbox_body_status_t
sandbox_machine_no_template(sandbox_schema_t *s, const char *path,
                            const char *reference);

/*
 * Sets *size, with defaults.  The default of the memory is raised to the
 * template's minimum and lowered to max_memory_mb, the configured maximum; a
 * client's value is refused if it is less than the template needs.
 */
sandbox_schema_status_t
sandbox_machine_size(sandbox_schema_t *s,
                     const sandbox_machine_members_t *members,
                     const sandbox_template_t *t, int64_t max_memory_mb,
                     sandbox_machine_size_t *size);

#endif
