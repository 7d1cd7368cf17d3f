/*
 * Drives the VM engine from the command line, for t/hypervisor.t and
 * t/checkpoint.t: boots, talks, destroys and lists sandboxes and checkpoints
 * through the public headers of the room alone.  Each verb prints one line
 * per sandbox and exits 0, 1 (it failed) or 2 (usage).
 */

#include "sandbox_checkpoint.h"
#include "sandbox_guest.h"
#include "sandbox_hypervisor.h"
#include "sandbox_net.h"
#include "sandbox_time.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
drive_number(const char *name, const char *otherwise)
{
    return atoi(drive_env(name, otherwise));
}


/* network is the caller's memory, for as long as spec is used. */
static void
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
    spec->disk_mb = template->disk_mb + drive_number("DRIVE_MORE_MB", "512");
    spec->template = template;
}


static int
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


/* Gives the guest its identity; the token of its agent is its id. */
static int
drive_configure(const drive_job_t *job)
{
    char ip[16], address[24], mac[18], message[256], hostname[SANDBOX_ID_SIZE];
    int64_t start;
    sandbox_channel_t *channel;
    sandbox_hv_error_t err;
    sandbox_guest_config_t guest;
    sandbox_guest_status_t status;
    sandbox_guest_channel_t ch = { NULL, sandbox_channel_write,
                                   sandbox_channel_read };

    sandbox_net_mac(mac, job->address);
    sandbox_net_ipv4(ip, job->address);
    (void) snprintf(address, sizeof(address), "%s/16", ip);
    (void) snprintf(hostname, sizeof(hostname), "sb-%s", job->id + 3);

    memset(&guest, 0, sizeof(guest));
    guest.hostname = hostname;
    guest.mac = mac;
    guest.address = address;
    guest.gateway = "10.88.0.1";
    guest.token = job->id;
    guest.grow_disk = drive_number("DRIVE_MORE_MB", "512") > 0;

    start = sandbox_time_monotonic_ms();

    if (sandbox_channel_open(&channel, job->id, &err) != SANDBOX_HV_OK) {
        return drive_failed("configure", job->id, &err);
    }

    ch.channel = channel;
    status = sandbox_guest_bootstrap(&ch, &guest, start + DRIVE_SYNC_MS,
                                     message, sizeof(message));
    sandbox_channel_close(channel);

    (void) printf("configure %s %s ms=%lld address=%s %s\n", job->id,
                  status == SANDBOX_GUEST_OK ? "ok" : "failed",
                  (long long) (sandbox_time_monotonic_ms() - start), ip,
                  message);
    return status != SANDBOX_GUEST_OK;
}


static int
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


static sandbox_hv_status_t
drive_ready(void *data, sandbox_channel_t *channel, int64_t deadline,
            sandbox_hv_error_t *err)
{
    sandbox_guest_channel_t ch = { channel, sandbox_channel_write,
                                   sandbox_channel_read };

    (void) data;

    err->status =
        sandbox_guest_sync(&ch, deadline, err->message, sizeof(err->message))
                == SANDBOX_GUEST_OK
            ? SANDBOX_HV_OK
            : SANDBOX_HV_GUEST;
    return err->status;
}


/* Keeps the template in the shape of the environment. */
static int
drive_keep(const drive_job_t *job)
{
    char id[SANDBOX_ID_SIZE];
    int64_t start;
    sandbox_hv_error_t err;
    sandbox_checkpoint_boot_t boot;

    memset(&boot, 0, sizeof(boot));
    boot.id = id;
    boot.template = template;
    boot.vcpus = drive_number("DRIVE_VCPUS", "1");
    boot.memory_mb = drive_number("DRIVE_MEMORY_MB", "256");
    boot.max = (size_t) drive_number("DRIVE_MAX", "0");
    boot.ready = drive_ready;

    start = sandbox_time_monotonic_ms();
    boot.deadline = start + drive_number("DRIVE_WAIT_MS", "60000");

    if (sandbox_checkpoint_shape(id, template, boot.vcpus, boot.memory_mb, &err)
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
static int
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
                                 &times, &err)
        != SANDBOX_HV_OK)
    {
        return drive_failed("start", job->id, &err);
    }

    run = sandbox_time_monotonic_ms();

    if (drive_configure(job)) {
        return 1;
    }

    if (sandbox_checkpoint_connect(job->id, &err) != SANDBOX_HV_OK) {
        return drive_failed("connect", job->id, &err);
    }

    (void) printf("start %s ok disk_ms=%lld domain_ms=%lld run_ms=%lld "
                  "ms=%lld\n",
                  job->id, (long long) times.disk_ms,
                  (long long) times.domain_ms, (long long) (run - start),
                  (long long) (sandbox_time_monotonic_ms() - start));
    return 0;
}


/* Microseconds of no particular clock. */
static int64_t
drive_us(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


/* One question: "flush", "freeze", "thaw", or "halt", a freeze alone. */
static int
drive_ask(const sandbox_guest_channel_t *ch, const drive_job_t *job,
          const char *what)
{
    char message[256];
    int64_t start, deadline;
    sandbox_guest_status_t status;

    start = drive_us();
    deadline = sandbox_time_monotonic_ms() + DRIVE_SYNC_MS;

    if (strcmp(what, "flush") == 0) {
        status = sandbox_guest_flush(ch, deadline, message, sizeof(message));
    } else if (strcmp(what, "thaw") == 0) {
        status = sandbox_guest_thaw(ch, deadline, message, sizeof(message));
    } else {
        status = sandbox_guest_freeze(ch, strcmp(what, "freeze") == 0, deadline,
                                      message, sizeof(message));
    }

    (void) printf("%s %s %s us=%lld %s\n", what, job->id,
                  status == SANDBOX_GUEST_OK ? "ok" : "failed",
                  (long long) (drive_us() - start), message);
    return status != SANDBOX_GUEST_OK;
}


/* The questions of the list, in this order, on one channel. */
static int
drive_talk(const drive_job_t *job, const char *const *list)
{
    int rc;
    sandbox_channel_t *channel;
    sandbox_hv_error_t err;
    sandbox_guest_channel_t ch = { NULL, sandbox_channel_write,
                                   sandbox_channel_read };

    if (sandbox_channel_open(&channel, job->id, &err) != SANDBOX_HV_OK) {
        return drive_failed(list[0], job->id, &err);
    }

    ch.channel = channel;
    for (rc = 0; rc == 0 && *list != NULL; list++) {
        rc = drive_ask(&ch, job, *list);
    }

    sandbox_channel_close(channel);
    return rc;
}


static int
drive_freeze(const drive_job_t *job)
{
    static const char *const list[] = { "freeze", NULL };

    return drive_talk(job, list);
}


static int
drive_thaw(const drive_job_t *job)
{
    static const char *const list[] = { "thaw", NULL };

    return drive_talk(job, list);
}


/* The commands alone. */
static int
drive_halt(const drive_job_t *job)
{
    static const char *const list[] = { "halt", NULL };

    return drive_talk(job, list);
}


/* What a live checkpoint asks of the guest, without the checkpoint. */
static int
drive_pause(const drive_job_t *job)
{
    static const char *const list[] = { "flush", "halt", "thaw", NULL };

    return drive_talk(job, list);
}


/* Takes the checkpoint of the environment, and ends the sandbox. */
static int
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
    take.deadline = start + drive_number("DRIVE_WAIT_MS", "60000");

    if (sandbox_checkpoint_take(&take, &err) != SANDBOX_HV_OK) {
        return drive_failed("take", job->id, &err);
    }

    (void) printf("take %s ok live=%d pause_ms=%lld bytes=%lld "
                  "receiver_ms=%lld move_ms=%lld keep_ms=%lld ms=%lld\n",
                  job->id, take.live, (long long) take.pause_ms,
                  (long long) take.bytes, (long long) take.receiver_ms,
                  (long long) take.move_ms, (long long) take.keep_ms,
                  (long long) (sandbox_time_monotonic_ms() - start));
    return 0;
}


/* Settles what a taker of the checkpoint of the environment has left. */
static int
drive_cancel(const drive_job_t *job)
{
    sandbox_hv_error_t err;

    if (sandbox_checkpoint_cancel(drive_env("DRIVE_CHECKPOINT", ""), job->id,
                                  &err)
        != SANDBOX_HV_OK)
    {
        return drive_failed("cancel", job->id, &err);
    }

    (void) printf("cancel %s ok\n", job->id);
    return 0;
}


static int
drive_discard(const drive_job_t *job)
{
    sandbox_hv_error_t err;

    if (sandbox_checkpoint_discard(job->id, &err) != SANDBOX_HV_OK) {
        return drive_failed("discard", job->id, &err);
    }

    (void) printf("discard %s ok\n", job->id);
    return 0;
}


/* To DRIVE_MAX layers. */
static int
drive_flatten(const drive_job_t *job)
{
    int64_t start;
    sandbox_hv_error_t err;

    start = sandbox_time_monotonic_ms();

    if (sandbox_checkpoint_flatten(
            job->id, (size_t) drive_number("DRIVE_MAX", "1"),
            start + drive_number("DRIVE_WAIT_MS", "60000"), &err)
        != SANDBOX_HV_OK)
    {
        return drive_failed("flatten", job->id, &err);
    }

    (void) printf("flatten %s ok ms=%lld\n", job->id,
                  (long long) (sandbox_time_monotonic_ms() - start));
    return 0;
}


static int
drive_used(const drive_job_t *job)
{
    int used;
    sandbox_hv_error_t err;

    if (sandbox_checkpoint_used(job->id, &used, &err) != SANDBOX_HV_OK) {
        return drive_failed("used", job->id, &err);
    }

    (void) printf("used %s %d\n", job->id, used);
    return 0;
}


/* What the checkpoint takes, or the disk of the sandbox. */
static int
drive_size(const drive_job_t *job)
{
    int64_t bytes;
    sandbox_hv_error_t err;

    if ((strncmp(job->id, "sb_", 3) == 0
             ? sandbox_disk_usage(job->id, &bytes, &err)
             : sandbox_checkpoint_size(job->id, &bytes, &err))
        != SANDBOX_HV_OK)
    {
        return drive_failed("size", job->id, &err);
    }

    (void) printf("size %s %lld\n", job->id, (long long) bytes);
    return 0;
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


/* All of it; destroys also what failed to come up. */
static int
drive_cycle(const drive_job_t *job)
{
    return (drive_boot(job) || drive_sync(job)) + drive_destroy(job);
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


static int
drive_checkpoints(void)
{
    size_t i, n;
    sandbox_hv_error_t err;
    sandbox_checkpoint_info_t *list;

    if (sandbox_checkpoint_list(&list, &n, &err) != SANDBOX_HV_OK) {
        return drive_failed("checkpoints", "-", &err);
    }

    for (i = 0; i < n; i++) {
        (void) printf("checkpoint %s whole=%d bytes=%lld left=%lld\n",
                      list[i].id, list[i].whole, (long long) list[i].bytes,
                      (long long) list[i].left);
    }

    free(list);
    return 0;
}


/* Of the template of the environment, or of none. */
static int
drive_sweep(void)
{
    sandbox_hv_error_t err;
    sandbox_template_t *templates[2] = { template, NULL };

    if (sandbox_checkpoint_sweep(templates, &err) != SANDBOX_HV_OK) {
        return drive_failed("sweep", "-", &err);
    }

    return 0;
}


/* So many times. */
static int
drive_collect(int times)
{
    sandbox_hv_error_t err;

    while (times-- > 0) {
        if (sandbox_checkpoint_collect(&err) != SANDBOX_HV_OK) {
            return drive_failed("collect", "-", &err);
        }
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
                       "layers\n");
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
        template = sandbox_template_load(drive_env("DRIVE_TEMPLATE", ""), err,
                                         sizeof(err));
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
