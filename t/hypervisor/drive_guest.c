/* Verbs that talk to guests, on their bootstrap channel. */

#include "drive.h"

#include "sandbox_guest.h"
#include "sandbox_net.h"
#include "sandbox_time.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DRIVE_SYNC_MS 60000


/* Asks until the agent answers, as a host that lost its way would. */
int
drive_sync(const drive_job_t *job)
{
    int64_t start, deadline_ms, until, n;
    size_t len;
    char text[4096];
    sandbox_channel_t *ch;
    sandbox_hv_error_t err;
    static const char ask[] = "{\"op\":\"sync\",\"nonce\":"
                              "\"00112233445566778899aabbccddeeff\"}\n";

    start = sandbox_time_monotonic_ms();
    deadline_ms = start + DRIVE_SYNC_MS;

    if (sandbox_channel_open(&ch, job->id, &err) != SANDBOX_HV_OK) {
        return drive_failed("sync", job->id, &err);
    }

    (void) printf("channel %s open_ms=%lld\n", job->id,
                  (long long) (sandbox_time_monotonic_ms() - start));

    len = 0;
    n = 0;

    while (sandbox_time_monotonic_ms() < deadline_ms && len < sizeof(text) - 1)
    {
        if (sandbox_channel_write(ch, ask, sizeof(ask) - 1, deadline_ms) != 0) {
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
int
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


sandbox_hv_status_t
drive_ready(void *data, sandbox_channel_t *channel, int64_t deadline_ms,
            sandbox_hv_error_t *err)
{
    sandbox_guest_channel_t ch = { channel, sandbox_channel_write,
                                   sandbox_channel_read };

    (void) data;

    err->status =
        sandbox_guest_sync(&ch, deadline_ms, err->message, sizeof(err->message))
                == SANDBOX_GUEST_OK
            ? SANDBOX_HV_OK
            : SANDBOX_HV_GUEST;
    return err->status;
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
    int64_t start, deadline_ms;
    sandbox_guest_status_t status;

    start = drive_us();
    deadline_ms = sandbox_time_monotonic_ms() + DRIVE_SYNC_MS;

    if (strcmp(what, "flush") == 0) {
        status = sandbox_guest_flush(ch, deadline_ms, message, sizeof(message));
    } else if (strcmp(what, "thaw") == 0) {
        status = sandbox_guest_thaw(ch, deadline_ms, message, sizeof(message));
    } else {
        status = sandbox_guest_freeze(ch, strcmp(what, "freeze") == 0,
                                      deadline_ms, message, sizeof(message));
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


int
drive_freeze(const drive_job_t *job)
{
    static const char *const list[] = { "freeze", NULL };

    return drive_talk(job, list);
}


int
drive_thaw(const drive_job_t *job)
{
    static const char *const list[] = { "thaw", NULL };

    return drive_talk(job, list);
}


/* The commands alone. */
int
drive_halt(const drive_job_t *job)
{
    static const char *const list[] = { "halt", NULL };

    return drive_talk(job, list);
}


/* What a live checkpoint asks of the guest, without the checkpoint. */
int
drive_pause(const drive_job_t *job)
{
    static const char *const list[] = { "flush", "halt", "thaw", NULL };

    return drive_talk(job, list);
}
