/*
 * Drives the VM engine from the command line, for t/hypervisor.t and
 * t/checkpoint.t: boots, talks, destroys and lists sandboxes and checkpoints
 * through the public headers of the room alone (but drive_storage.c).  Each
 * verb prints one line per sandbox and exits 0, 1 (it failed) or 2 (usage).
 */

#include "drive.h"

#include "sandbox_time.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRIVE_THREADS_MAX 64

static sandbox_hypervisor_conf_t conf;

sandbox_template_t *drive_template;


static void
drive_log(int level, const char *message)
{
    (void) fprintf(stderr, "log %d: %s\n", level, message);
}


const char *
drive_env(const char *name, const char *otherwise)
{
    const char *value;

    value = getenv(name);
    return value && value[0] ? value : otherwise;
}


int
drive_failed(const char *what, const char *id, const sandbox_hv_error_t *err)
{
    (void) printf("%s %s failed status=%d %s\n", what, id, (int) err->status,
                  err->message);
    return 1;
}


int
drive_number(const char *name, const char *otherwise)
{
    return atoi(drive_env(name, otherwise));
}


static const struct {
    const char *name;
    int (*run)(const drive_job_t *job);
} drive_verbs[] = {
    { "boot", drive_boot },       { "sync", drive_sync },
    { "destroy", drive_destroy }, { "cycle", drive_cycle },
    { "cold", drive_cold },       { "keep", drive_keep },
    { "start", drive_start },     { "configure", drive_configure },
    { "discard", drive_discard }, { "take", drive_take },
    { "freeze", drive_freeze },   { "thaw", drive_thaw },
    { "halt", drive_halt },       { "used", drive_used },
    { "size", drive_size },       { "flatten", drive_flatten },
    { "cancel", drive_cancel },   { "pause", drive_pause },
};

#define DRIVE_VERBS (sizeof(drive_verbs) / sizeof(drive_verbs[0]))


static int
drive_one(const drive_job_t *job)
{
    size_t i;

    for (i = 0; i < DRIVE_VERBS; i++) {
        if (strcmp(job->verb, drive_verbs[i].name) == 0) {
            return drive_verbs[i].run(job);
        }
    }

    (void) fprintf(stderr, "no verb \"%s\"\n", job->verb);
    return 1;
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
        (void) printf("domain %s tenant=%s\n", list[i].id, list[i].tenant);
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


/* Of the template of the environment, or of none. */
static int
drive_sweep(void)
{
    sandbox_hv_error_t err;
    sandbox_template_t *templates[2] = { drive_template, NULL };

    if (sandbox_checkpoint_sweep(templates, &err) != SANDBOX_HV_OK) {
        return drive_failed("sweep", "-", &err);
    }

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
        jobs[i].address = 0x0a580100 + (uint32_t) (same ? 0 : i)
                          + (uint32_t) drive_number("DRIVE_ADDRESS", "0");
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

    if (strcmp(argv[1], "checkpoints") == 0) {
        return drive_checkpoints();
    }

    if (strcmp(argv[1], "sweep") == 0) {
        return drive_sweep();
    }

    if (strcmp(argv[1], "collect") == 0) {
        return drive_collect(argc > 2 ? atoi(argv[2]) : 1);
    }

    if (strcmp(argv[1], "accel") == 0) {
        return drive_accel();
    }

    same = drive_number("DRIVE_SAME", "0");

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
        (void) fprintf(stderr,
                       "usage: drive accel|list|checkpoints|sweep\n"
                       "       drive collect [TIMES]\n"
                       "       drive boot|sync|configure|cold|destroy|cycle "
                       "ID...\n"
                       "       drive keep NAME...\n"
                       "       drive start|freeze|thaw|take ID...\n"
                       "       drive discard|used|size CHECKPOINT...\n"
                       "       drive flatten|size ID...\n"
                       "environment: DRIVE_URI DRIVE_DATA DRIVE_BRIDGE "
                       "DRIVE_TEMPLATE DRIVE_ACCEL=auto|kvm|tcg "
                       "DRIVE_SAME=threads on the first ID DRIVE_CHECKPOINT "
                       "DRIVE_ADDRESS=number of the first DRIVE_MEMORY_MB "
                       "DRIVE_VCPUS DRIVE_MORE_MB of disk DRIVE_WAIT_MS for "
                       "keep, take and flatten DRIVE_MAX of shapes, of "
                       "layers DRIVE_URGENT=1 of flatten\n");
        return 2;
    }

    (void) signal(SIGPIPE, SIG_IGN);
    (void) setvbuf(stdout, NULL, _IOLBF, 0);

    conf.node = "drive";
    conf.uri = drive_env("DRIVE_URI", "qemu:///system");
    conf.data_dir = drive_env("DRIVE_DATA", "/var/lib/sandbox");
    conf.bridge = drive_env("DRIVE_BRIDGE", "sandbox0");

    accel = drive_env("DRIVE_ACCEL", "tcg");
    conf.accel = strcmp(accel, "kvm") == 0   ? SANDBOX_ACCEL_KVM
                 : strcmp(accel, "tcg") == 0 ? SANDBOX_ACCEL_TCG
                                             : SANDBOX_ACCEL_AUTO;

    if (drive_env("DRIVE_TEMPLATE", "")[0]) {
        drive_template = sandbox_template_load(drive_env("DRIVE_TEMPLATE", ""),
                                               err, sizeof(err));
        if (drive_template == NULL) {
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
    sandbox_template_free(drive_template);
    return rc;
}
