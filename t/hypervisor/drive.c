/*
 * Drives the VM engine from the command line, for t/hypervisor/run: boots,
 * talks, destroys and lists sandboxes through sandbox_hypervisor.h alone.
 * Each verb prints one line per sandbox and exits 0, 1 (it failed) or 2
 * (usage).
 */

#include "sandbox_hypervisor.h"
#include "sandbox_net.h"
#include "sandbox_time.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRIVE_THREADS_MAX 64
#define DRIVE_SYNC_MS 60000

typedef struct {
    char id[SANDBOX_ID_SIZE];
    const char *verb;
    uint32_t address;
    int failed;
} drive_job_t;

static sandbox_hypervisor_conf_t conf;
static sandbox_template_t *template;


static void
drive_log(int level, const char *message)
{
    (void) fprintf(stderr, "log %d: %s\n", level, message);
}


static const char *
drive_env(const char *name, const char *otherwise)
{
    const char *value;

    value = getenv(name);
    return value && value[0] ? value : otherwise;
}


static int
drive_failed(const char *what, const char *id, const sandbox_hv_error_t *err)
{
    (void) printf("%s %s failed status=%d %s\n", what, id, (int) err->status,
                  err->message);
    return 1;
}


static int
drive_boot(const drive_job_t *job)
{
    char mac[18], tap[16];
    int64_t start;
    sandbox_hv_error_t err;
    sandbox_hv_times_t times;
    sandbox_domain_spec_t spec;

    sandbox_net_mac(mac, job->address);
    (void) snprintf(tap, sizeof(tap), "sbx%08x", (unsigned) job->address);

    memset(&spec, 0, sizeof(spec));
    spec.id = job->id;
    spec.tenant = "drive";
    spec.operation = "op_drive";
    spec.mac = mac;
    spec.tap = tap;
    spec.vcpus = 1;
    spec.memory_mb = 256;
    spec.disk_mb = template->disk_mb + 512;
    spec.template = template;

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


/* Asks until the agent answers, as a host that lost its way would. */
static int
drive_sync(const drive_job_t *job)
{
    int64_t start, deadline, until, n;
    size_t len;
    char text[4096];
    sandbox_channel_t *ch;
    sandbox_hv_error_t err;
    static const char ask[] = "{\"op\":\"sync\",\"nonce\":"
                              "\"00112233445566778899aabbccddeeff\"}\n";

    start = sandbox_time_monotonic_ms();
    deadline = start + DRIVE_SYNC_MS;

    if (sandbox_channel_open(&ch, job->id, &err) != SANDBOX_HV_OK) {
        return drive_failed("sync", job->id, &err);
    }

    (void) printf("channel %s open_ms=%lld\n", job->id,
                  (long long) (sandbox_time_monotonic_ms() - start));

    len = 0;
    n = 0;

    while (sandbox_time_monotonic_ms() < deadline && len < sizeof(text) - 1) {
        if (sandbox_channel_write(ch, ask, sizeof(ask) - 1, deadline) != 0) {
            break;
        }

        until = sandbox_time_monotonic_ms() + 2000;
        n = sandbox_channel_read(ch, text + len, sizeof(text) - 1 - len, until);
        if (n < 0) {
            break;
        }

        len += (size_t) n;
        text[len] = '\0';

        if (strchr(text, '\n')) {
            (void) printf("sync %s ok ms=%lld %s", job->id,
                          (long long) (sandbox_time_monotonic_ms() - start),
                          text);
            sandbox_channel_close(ch);
            return 0;
        }
    }

    sandbox_channel_close(ch);
    (void) printf("sync %s failed read=%lld ms=%lld\n", job->id, (long long) n,
                  (long long) (sandbox_time_monotonic_ms() - start));
    return 1;
}


static int
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


static int
drive_one(const drive_job_t *job)
{
    if (strcmp(job->verb, "boot") == 0) {
        return drive_boot(job);
    }

    if (strcmp(job->verb, "sync") == 0) {
        return drive_sync(job);
    }

    if (strcmp(job->verb, "destroy") == 0) {
        return drive_destroy(job);
    }

    /* "cycle": all of it; destroys also what failed to come up */
    return (drive_boot(job) || drive_sync(job)) + drive_destroy(job);
}


static void *
drive_thread(void *data)
{
    drive_job_t *job = data;

    job->failed = drive_one(job);
    return NULL;
}


static int
drive_list(void)
{
    size_t i, n;
    char(*ids)[SANDBOX_ID_SIZE];
    sandbox_hv_error_t err;
    sandbox_domain_info_t *list;

    if (sandbox_hypervisor_list(&list, &n, &err) != SANDBOX_HV_OK) {
        return drive_failed("list", "-", &err);
    }

    for (i = 0; i < n; i++) {
        (void) printf("domain %s tenant=%s running=%d\n", list[i].id,
                      list[i].tenant, list[i].running);
    }
    free(list);

    if (sandbox_hypervisor_list_disks(&ids, &n, &err) != SANDBOX_HV_OK) {
        return drive_failed("list_disks", "-", &err);
    }

    for (i = 0; i < n; i++) {
        (void) printf("disk %s\n", ids[i]);
    }
    free(ids);

    return 0;
}


static int
drive_accel(void)
{
    int64_t start;
    sandbox_accel_t accel;
    sandbox_hv_error_t err;

    start = sandbox_time_monotonic_ms();

    if (sandbox_hypervisor_accel(&accel, &err) != SANDBOX_HV_OK) {
        return drive_failed("accel", "-", &err);
    }

    (void) printf("accel %s ms=%lld\n",
                  accel == SANDBOX_ACCEL_KVM ? "kvm" : "tcg",
                  (long long) (sandbox_time_monotonic_ms() - start));
    return 0;
}


/* argv: the ids; one thread for each, "same" threads for the first. */
static int
drive_jobs(const char *verb, int n, char **ids, int same)
{
    int i, failed, threads;
    pthread_t thread[DRIVE_THREADS_MAX];
    static drive_job_t jobs[DRIVE_THREADS_MAX];

    failed = 0;
    threads = same ? same : n;

    if (threads > DRIVE_THREADS_MAX) {
        threads = DRIVE_THREADS_MAX;
    }

    for (i = 0; i < threads; i++) {
        jobs[i].verb = verb;
        jobs[i].address = 0x0a580100 + (uint32_t) (same ? 0 : i);
        (void) snprintf(jobs[i].id, sizeof(jobs[i].id), "%s",
                        ids[same ? 0 : i]);

        if (pthread_create(&thread[i], NULL, drive_thread, &jobs[i]) != 0) {
            (void) fprintf(stderr, "no thread\n");
            exit(1);
        }
    }

    for (i = 0; i < threads; i++) {
        (void) pthread_join(thread[i], NULL);
        failed += jobs[i].failed;
    }

    return failed != 0;
}


static int
drive(int argc, char **argv)
{
    int same;

    if (strcmp(argv[1], "list") == 0) {
        return drive_list();
    }

    if (strcmp(argv[1], "accel") == 0) {
        return drive_accel();
    }

    same = atoi(drive_env("DRIVE_SAME", "0"));

    if (argc < 3 || argc - 2 > DRIVE_THREADS_MAX) {
        return 2;
    }

    return drive_jobs(argv[1], argc - 2, argv + 2, same);
}


int
main(int argc, char **argv)
{
    int rc;
    char err[512];
    const char *accel;

    if (argc < 2) {
        (void) fprintf(stderr, "usage: drive accel|list\n"
                               "       drive boot|sync|destroy|cycle ID...\n"
                               "environment: DRIVE_URI DRIVE_DATA DRIVE_BRIDGE "
                               "DRIVE_TEMPLATE DRIVE_ACCEL=auto|kvm|tcg "
                               "DRIVE_SAME=threads on the first ID\n");
        return 2;
    }

    (void) signal(SIGPIPE, SIG_IGN);
    (void) setvbuf(stdout, NULL, _IOLBF, 0);

    conf.uri = drive_env("DRIVE_URI", "qemu:///system");
    conf.data_dir = drive_env("DRIVE_DATA", "/var/lib/sandbox");
    conf.bridge = drive_env("DRIVE_BRIDGE", "sandbox0");

    accel = drive_env("DRIVE_ACCEL", "tcg");
    conf.accel = strcmp(accel, "kvm") == 0   ? SANDBOX_ACCEL_KVM
                 : strcmp(accel, "tcg") == 0 ? SANDBOX_ACCEL_TCG
                                             : SANDBOX_ACCEL_AUTO;

    if (getenv("DRIVE_TEMPLATE")) {
        template =
            sandbox_template_load(getenv("DRIVE_TEMPLATE"), err, sizeof(err));
        if (template == NULL) {
            (void) fprintf(stderr, "%s\n", err);
            return 1;
        }
    }

    if (sandbox_hypervisor_start(&conf, drive_log) != 0) {
        (void) fprintf(stderr, "the hypervisor does not start\n");
        return 1;
    }

    rc = drive(argc, argv);

    sandbox_hypervisor_stop();
    sandbox_template_free(template);
    return rc;
}
