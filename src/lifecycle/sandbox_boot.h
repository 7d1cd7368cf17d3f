/*
 * Booting one sandbox, from nothing to a guest that has confirmed: what a
 * pool thread does for a create.  Knows the hypervisor and the guest, nothing
 * of nginx.  Blocking; pool threads only; touches its argument and no other.
 */

#ifndef SANDBOX_BOOT_H
#define SANDBOX_BOOT_H

#include "sandbox_guest.h"
#include "sandbox_hypervisor.h"

typedef struct {
    /* in; strings must live as long as the call */
    const char *id;
    const char *tenant;
    const char *operation;
    const sandbox_template_t *template;
    int vcpus;
    int64_t memory_mb;
    int64_t disk_mb;
    uint32_t address; /* IPv4, host order */
    uint32_t gateway;
    unsigned prefix;        /* bits of the subnet */
    const char *const *dns; /* NULL-terminated, or NULL */
    const char *agent_token;
    const char *envs; /* JSON object text, or NULL */
    const char *cwd;  /* NULL: the template's */
    int64_t queued;   /* monotonic ms at which the call was asked for */
    int64_t deadline; /* monotonic ms */

    /* out */
    sandbox_hv_error_t result;
    sandbox_hv_times_t times;
    int64_t queue_ms; /* waiting for a thread */
    int64_t guest_ms; /* from the running domain to the confirmed guest */
} sandbox_boot_t;

/*
 * Outcome in result.  On failure parts may be left: the caller destroys by
 * id.  Nothing is started when the deadline has passed in the queue.
 */
void sandbox_boot(sandbox_boot_t *boot);

#endif
