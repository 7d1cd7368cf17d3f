/* What the files of the driver of the VM engine share; see drive.c. */

#ifndef DRIVE_H
#define DRIVE_H

#include "sandbox_checkpoint.h"
#include "sandbox_hypervisor.h"

/* One verb for one id, in a thread of its own. */
typedef struct {
    char id[SANDBOX_ID_SIZE];
    const char *verb;
    uint32_t address;
    int failed;
} drive_job_t;

extern sandbox_template_t *drive_template; /* of DRIVE_TEMPLATE, or NULL */

/* A variable of the environment, if it is not empty. */
const char *drive_env(const char *name, const char *otherwise);
int drive_number(const char *name, const char *otherwise);

/* Says that what failed for id; 1. */
int
drive_failed(const char *what, const char *id, const sandbox_hv_error_t *err);

/* network is the caller's memory, for as long as spec is used. */
void drive_spec(sandbox_domain_spec_t *spec, const drive_job_t *job,
                sandbox_network_t *network);

/* The ready of sandbox_checkpoint_boot_t. */
sandbox_hv_status_t drive_ready(void *data, sandbox_channel_t *channel,
                                int64_t deadline_ms, sandbox_hv_error_t *err);

/* The verbs: 0, or 1 if one failed. */
int drive_checkpoints(void);
int drive_collect(int times);
int drive_boot(const drive_job_t *job);
int drive_cold(const drive_job_t *job);
int drive_destroy(const drive_job_t *job);
int drive_cycle(const drive_job_t *job);
int drive_sync(const drive_job_t *job);
int drive_configure(const drive_job_t *job);
int drive_freeze(const drive_job_t *job);
int drive_thaw(const drive_job_t *job);
int drive_halt(const drive_job_t *job);
int drive_pause(const drive_job_t *job);
int drive_keep(const drive_job_t *job);
int drive_start(const drive_job_t *job);
int drive_take(const drive_job_t *job);
int drive_cancel(const drive_job_t *job);
int drive_discard(const drive_job_t *job);
int drive_flatten(const drive_job_t *job);
int drive_used(const drive_job_t *job);
int drive_size(const drive_job_t *job);

#endif
