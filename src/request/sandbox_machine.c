/* The machine that a body asks for; see the header. */

#include "sandbox_machine.h"

#include <string.h>

#include "sandbox_syntax.h"

#define MACHINE_VCPUS 1
#define MACHINE_MEMORY_MB 256


sandbox_schema_status_t
sandbox_machine_reference(sandbox_schema_t *s, const sandbox_json_node_t *node,
                          const char *text)
{
    (void) node;

    if (!sandbox_syntax_reference(text)) {
        return sandbox_schema_refuse(s, NULL,
                                     "must be a template name, name:tag, or a "
                                     "Docker image reference");
    }

    return SANDBOX_SCHEMA_OK;
}


sandbox_body_status_t
sandbox_machine_no_template(sandbox_schema_t *s, const char *path,
                            const char *reference)
{
    if (strpbrk(reference, ":/@") != NULL) {
        (void) sandbox_schema_refuse(s, path,
                                     "is not implemented yet with a tag or an "
                                     "image");
        return SANDBOX_BODY_NOT_IMPLEMENTED;
    }

    /* the syntax leaves nothing but ASCII to be cut */
    (void) sandbox_schema_refuse(s, path, "\"%.160s\" is not known", reference);

    return SANDBOX_BODY_UNKNOWN_TEMPLATE;
}


sandbox_schema_status_t
sandbox_machine_size(sandbox_schema_t *s,
                     const sandbox_machine_members_t *members,
                     const sandbox_template_t *t, int64_t max_memory_mb,
                     sandbox_machine_size_t *size)
{
    int64_t memory;

    memory = MACHINE_MEMORY_MB;
    if (memory < t->min_memory_mb) {
        memory = t->min_memory_mb;
    }
    if (memory > max_memory_mb) {
        memory = max_memory_mb;
    }

    size->vcpus = sandbox_schema_value(s, members->vcpus, MACHINE_VCPUS);
    size->memory_mb = sandbox_schema_value(s, members->memory, memory);
    size->disk_mb = sandbox_schema_value(s, members->disk, t->disk_mb);

    if (size->memory_mb < t->min_memory_mb) {
        return sandbox_schema_refuse(
            s, members->memory_path,
            "must be at least %lld, the minimum of template %.64s",
            (long long) t->min_memory_mb, t->name);
    }

    if (size->disk_mb < t->disk_mb) {
        return sandbox_schema_refuse(
            s, members->disk_path,
            "must be at least %lld, the size of template %.64s",
            (long long) t->disk_mb, t->name);
    }

    return SANDBOX_SCHEMA_OK;
}
