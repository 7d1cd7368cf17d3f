/* Verbs of sandboxes: machines that are booted, and end. */

#include "drive.h"

#include "sandbox_time.h"

#include <stdio.h>
#include <string.h>


void
drive_spec(sandbox_domain_spec_t *spec, const drive_job_t *job,
           sandbox_network_t *network)
{
    memset(network, 0, sizeof(*network));
    sandbox_network_name(network, drive_env("DRIVE_BRIDGE", "sandbox0"),
                         job->address);
    network->policy.internet = 1;

    memset(spec, 0, sizeof(*spec));
    spec->id = job->id;
    spec->tenant = "drive";
    spec->operation = "op_drive";
    spec->mac = network->mac;
    spec->tap = network->tap;
    spec->network = network;
    spec->vcpus = drive_number("DRIVE_VCPUS", "1");
    spec->memory_mb = drive_number("DRIVE_MEMORY_MB", "256");
    spec->disk_mb =
        drive_template->disk_mb + drive_number("DRIVE_MORE_MB", "512");
    spec->template = drive_template;
}


int
drive_boot(const drive_job_t *job)
{
    int64_t start;
    sandbox_hv_error_t err;
    sandbox_hv_times_t times;
    sandbox_network_t network;
    sandbox_domain_spec_t spec;

    drive_spec(&spec, job, &network);
    start = sandbox_time_monotonic_ms();

    if (sandbox_hypervisor_boot(&spec, &times, &err) != SANDBOX_HV_OK) {
        return drive_failed("boot", job->id, &err);
    }

    (void) printf("boot %s ok disk_ms=%lld domain_ms=%lld all_ms=%lld\n",
                  job->id, (long long) times.disk_ms,
                  (long long) times.domain_ms,
                  (long long) (sandbox_time_monotonic_ms() - start));
    return 0;
}


int
drive_cold(const drive_job_t *job)
{
    int rc;
    int64_t start;

    start = sandbox_time_monotonic_ms();
    rc = drive_boot(job) || drive_configure(job);

    (void) printf("cold %s rc=%d ms=%lld\n", job->id, rc,
                  (long long) (sandbox_time_monotonic_ms() - start));
    return rc;
}


int
drive_destroy(const drive_job_t *job)
{
    int64_t start;
    sandbox_hv_error_t err;

    start = sandbox_time_monotonic_ms();

    if (sandbox_hypervisor_destroy(job->id, &err) != SANDBOX_HV_OK) {
        return drive_failed("destroy", job->id, &err);
    }

    (void) printf("destroy %s ok ms=%lld\n", job->id,
                  (long long) (sandbox_time_monotonic_ms() - start));
    return 0;
}


/* All of it; destroys also what failed to come up. */
int
drive_cycle(const drive_job_t *job)
{
    return (drive_boot(job) || drive_sync(job)) + drive_destroy(job);
}
