/* The name of a tenant; see the header. */

#include "sandbox_tenant.h"


uint64_t
sandbox_tenant_hash(const char *name)
{
    uint64_t hash;

    hash = 0xcbf29ce484222325; /* FNV-1a */

    for (/* void */; *name; name++) {
        hash = (hash ^ (uint8_t) *name) * 0x100000001b3;
    }

    return hash ^ hash >> 32;
}
