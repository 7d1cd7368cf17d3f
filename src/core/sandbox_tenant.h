/*
 * The name of a tenant.  Any thread.
 *
 * A key of a tenant with a longer name is refused, so a buffer of
 * SANDBOX_TENANT_SIZE takes the name in any request or record.
 */

#ifndef SANDBOX_TENANT_H
#define SANDBOX_TENANT_H

#include <stdint.h>

#define SANDBOX_TENANT_MAX 64 /* also in scripts/sandbox-key */
#define SANDBOX_TENANT_SIZE (SANDBOX_TENANT_MAX + 1)

/* Tells tenants apart where their names would take too much room. */
uint64_t sandbox_tenant_hash(const char *name);

#endif
