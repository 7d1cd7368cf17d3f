/* Verbs of checkpoints. */

#define _GNU_SOURCE

#include "drive.h"

#include "sandbox_time.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>


/*
 * In the place of libc's: the call DRIVE_SYNC_FAILS, from 1, fails; the process
 * dies in the call DRIVE_SYNC_DIES.
 */
int
syncfs(int fd)
{
    int call;
    static int calls;

    call = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);

    if (call == drive_number("DRIVE_SYNC_DIES", "0")) {
        _exit(1);
    }

    if (call == drive_number("DRIVE_SYNC_FAILS", "0")) {
        errno = EIO;
        return -1;
    }

    return (int) syscall(SYS_syncfs, fd);
}


/* Keeps the template in the shape of the environment. */
int
drive_keep(const drive_job_t *job)
{
    char id[SANDBOX_ID_SIZE];
    int64_t start;
    sandbox_hv_error_t err;
    sandbox_checkpoint_boot_t boot;

    memset(&boot, 0, sizeof(boot));
    boot.id = id;
    boot.template = drive_template;
    boot.vcpus = drive_number("DRIVE_VCPUS", "1");
    boot.memory_mb = drive_number("DRIVE_MEMORY_MB", "256");
    boot.max = (size_t) drive_number("DRIVE_MAX", "0");
    boot.ready = drive_ready;

    start = sandbox_time_monotonic_ms();
    boot.deadline_ms = start + drive_number("DRIVE_WAIT_MS", "60000");

    if (sandbox_checkpoint_shape(id, drive_template, boot.vcpus, boot.memory_mb,
                                 &err)
            != SANDBOX_HV_OK
        || sandbox_checkpoint_boot(&boot, &err) != SANDBOX_HV_OK)
    {
        return drive_failed("keep", job->id, &err);
    }

    (void) printf("keep %s made=%d ms=%lld\n", id, boot.made,
                  (long long) (sandbox_time_monotonic_ms() - start));
    return 0;
}


/* Starts from the checkpoint of the environment, and configures. */
int
drive_start(const drive_job_t *job)
{
    int64_t start, run;
    sandbox_hv_error_t err;
    sandbox_hv_times_t times;
    sandbox_network_t network;
    sandbox_domain_spec_t spec;

    drive_spec(&spec, job, &network);
    start = sandbox_time_monotonic_ms();

    if (sandbox_checkpoint_start(drive_env("DRIVE_CHECKPOINT", ""), &spec,
                                 start + drive_number("DRIVE_WAIT_MS", "60000"),
                                 &times, &err)
        != SANDBOX_HV_OK)
    {
        return drive_failed("start", job->id, &err);
    }

    run = sandbox_time_monotonic_ms();

    if (drive_configure(job)) {
        return 1;
    }

    if (sandbox_hypervisor_connect(job->id, &network, &err) != SANDBOX_HV_OK) {
        return drive_failed("connect", job->id, &err);
    }

    (void) printf("start %s ok disk_ms=%lld domain_ms=%lld run_ms=%lld "
                  "ms=%lld\n",
                  job->id, (long long) times.disk_ms,
                  (long long) times.domain_ms, (long long) (run - start),
                  (long long) (sandbox_time_monotonic_ms() - start));
    return 0;
}


static const char *const drive_ways[] = { "still", "live", "moved" };


/* Takes the checkpoint of the environment, and ends the sandbox. */
int
drive_take(const drive_job_t *job)
{
    int64_t start;
    sandbox_hv_error_t err;
    sandbox_checkpoint_take_t take;

    start = sandbox_time_monotonic_ms();

    memset(&take, 0, sizeof(take));
    take.id = drive_env("DRIVE_CHECKPOINT", "");
    take.sandbox = job->id;
    take.keep = drive_number("DRIVE_KEEP", "0");
    take.durable = drive_number("DRIVE_DURABLE", "1");
    take.deadline_ms = start + drive_number("DRIVE_WAIT_MS", "60000");

    if (sandbox_checkpoint_take(&take, &err) != SANDBOX_HV_OK) {
        return drive_failed("take", job->id, &err);
    }

    (void) printf("take %s ok way=%s pause_ms=%lld bytes=%lld "
                  "prepare_ms=%lld move_ms=%lld keep_ms=%lld ms=%lld\n",
                  job->id, drive_ways[take.way], (long long) take.pause_ms,
                  (long long) take.bytes, (long long) take.prepare_ms,
                  (long long) take.move_ms, (long long) take.keep_ms,
                  (long long) (sandbox_time_monotonic_ms() - start));
    return 0;
}


/*
 * Settles what a taker of the checkpoint of the environment has left; with
 * DRIVE_WHOLE=0 as for a hibernation.
 */
int
drive_cancel(const drive_job_t *job)
{
    sandbox_hv_error_t err;

    if (sandbox_checkpoint_cancel(drive_env("DRIVE_CHECKPOINT", ""), job->id,
                                  drive_number("DRIVE_WHOLE", "1"), NULL, NULL,
                                  &err)
        != SANDBOX_HV_OK)
    {
        return drive_failed("cancel", job->id, &err);
    }

    (void) printf("cancel %s ok\n", job->id);
    return 0;
}


int
drive_discard(const drive_job_t *job)
{
    sandbox_hv_error_t err;

    if (sandbox_checkpoint_discard(job->id, &err) != SANDBOX_HV_OK) {
        return drive_failed("discard", job->id, &err);
    }

    (void) printf("discard %s ok\n", job->id);
    return 0;
}


/* To DRIVE_MAX layers; DRIVE_URGENT=1 as a take does. */
int
drive_flatten(const drive_job_t *job)
{
    int64_t start;
    sandbox_hv_error_t err;

    start = sandbox_time_monotonic_ms();

    if (sandbox_checkpoint_flatten(
            job->id, (size_t) drive_number("DRIVE_MAX", "1"),
            (int) drive_number("DRIVE_URGENT", "0"),
            start + drive_number("DRIVE_WAIT_MS", "60000"), &err)
        != SANDBOX_HV_OK)
    {
        return drive_failed("flatten", job->id, &err);
    }

    (void) printf("flatten %s ok ms=%lld\n", job->id,
                  (long long) (sandbox_time_monotonic_ms() - start));
    return 0;
}
