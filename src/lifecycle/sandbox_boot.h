/*
 * Starts one sandbox, up to a guest that has confirmed: what a pool thread does
 * for a create.  The sandbox starts from the boot checkpoint of its shape,
 * which is made first if there is none; by a cold boot if that fails.
 *
 * Knows the hypervisor and the guest, nothing of nginx.  Blocking; pool
 * threads only.
 */

#ifndef SANDBOX_BOOT_H
#define SANDBOX_BOOT_H

#include "sandbox_guest.h"
#include "sandbox_hypervisor.h"

typedef enum {
    SANDBOX_BOOT_COLD = 0, /* checkpoints are switched off */
    SANDBOX_BOOT_CHECKPOINT,
    SANDBOX_BOOT_FALLBACK /* cold, because checkpoints fail */
} sandbox_boot_way_t;

typedef struct {
    /* in; strings must live as long as the call */
    const char *id;
    const char *tenant;
    const char *operation;
    const sandbox_template_t *template; /* may be NULL with a checkpoint */
    const char *checkpoint; /* to start from, in place of a boot checkpoint:
                               "checkpoints" is not read then; or NULL */
    int checkpoints;        /* 0: boot cold */
    int vcpus;
    int64_t memory_mb;
    int64_t disk_mb;
    const char *bridge;
    uint32_t address; /* IPv4, host order */
    uint32_t gateway;
    unsigned prefix;        /* bits of the subnet */
    const char *const *dns; /* NULL-terminated, or NULL */
    int internet;           /* the egress policy: sandbox_policy.h */
    const char *allow_out;  /* or NULL */
    const char *deny_out;   /* or NULL */
    const char *agent_token;
    const char *envs;    /* JSON object text, or NULL */
    const char *cwd;     /* NULL: the template's */
    int64_t asked_ms;    /* monotonic: when the call was asked for */
    int64_t deadline_ms; /* monotonic */
    const _Atomic int64_t *holds_until_ms; /* monotonic: when the lease ends */

    /* out */
    sandbox_hv_error_t result;
    sandbox_hv_times_t times;
    sandbox_boot_way_t way;
    char shape[SANDBOX_ID_SIZE]; /* the id of the boot checkpoint */
    int discarded;    /* 1: the old checkpoint failed too often, is removed */
    int made;         /* 1: the checkpoint was made for this sandbox */
    char reason[256]; /* why the checkpoint failed; empty if it did not, or if
                         it is avoided after an earlier failure */
    int64_t queue_ms; /* waiting for a thread */
    /* finding, making or waiting for the checkpoint, and its memory; starts
       from it that failed */
    int64_t checkpoint_ms;
    int64_t guest_ms; /* from the running domain to the confirmed guest */
} sandbox_boot_t;

/*
 * Boots the sandbox; the outcome is in result.  After a failure parts may be
 * left: the caller destroys them by id.  Nothing is started if the deadline or
 * the lease has passed while the call waited for a thread.
 */
void sandbox_boot(sandbox_boot_t *boot);

#endif
