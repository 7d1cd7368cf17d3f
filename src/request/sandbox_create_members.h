/*
 * The members of a create, for the files of its schema (sandbox_create.c).
 * Pure C, any thread.
 */

#ifndef SANDBOX_CREATE_MEMBERS_H
#define SANDBOX_CREATE_MEMBERS_H

#include "sandbox_create.h"
#include "sandbox_schema.h"

#define SANDBOX_CREATE_VOLUMES_MAX 8

/* Slots of sandbox_schema_t. */
enum {
    M_SNAPSHOT_ID,
    M_WARM_POOL,
    M_WARM_POOL_ID,
    M_WARM_POOL_MODE,
    M_WARM_POOL_WAIT,
    M_TEMPLATE,
    M_VCPUS,
    M_MEMORY,
    M_DISK,
    M_TIMEOUT,
    M_TIMEOUT_ACTION,
    M_AUTO_RESUME,
    M_ENVS,
    M_METADATA,
    M_INTERNET,
    M_CWD,
    M_DESKTOP,
    M_WIDTH,
    M_HEIGHT,
    M_DPI,
    M_NETWORK,
    M_PUBLIC_TRAFFIC,
    M_ALLOW_OUT,
    M_DENY_OUT,
    M_MASK_HOST,
    M_VOLUMES,
    M_VOLUME_REF,
    M_VOLUME_MOUNT,
    M_VOLUME_SUBPATH,
    M_VOLUME_READ_ONLY,
    M_LIFECYCLE,
    M_ON_TIMEOUT,
    M_COUNT
};

_Static_assert(M_COUNT <= SANDBOX_SCHEMA_SLOTS, "too few slots");

/* What data of sandbox_schema_t points to. */
typedef struct {
    const sandbox_create_limits_t *lim;
    sandbox_create_t *create;
    char *mounts[SANDBOX_CREATE_VOLUMES_MAX]; /* mount_path of each so far */
    size_t nmounts;
} sandbox_create_data_t;

/* The table of all members; their checks fill data->create. */
extern const sandbox_schema_member_t sandbox_create_members[];

#endif
