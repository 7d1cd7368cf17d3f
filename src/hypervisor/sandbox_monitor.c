/*
 * QEMU's own monitor, through libvirt: what a checkpoint needs and libvirt
 * has no call for.  Knows QMP's envelope and the migration commands; nothing
 * of files, ids and checkpoints.
 *
 * Descriptors travel only over a local socket.  Over another one libvirt closes
 * the connection when one is passed, so callers check sandbox_hv_is_local().
 */

#include "sandbox_hv.h"
#include "sandbox_json.h"
#include "sandbox_qmp.h"
#include "sandbox_text.h"
#include "sandbox_time.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SANDBOX_MONITOR_POLL_MS 2

/*
 * A migration is polled after an eighth of the time it has taken so far: each
 * query takes some half a millisecond of two processors, which it needs too.
 */
#define SANDBOX_MONITOR_SHARE 8
#define SANDBOX_MONITOR_POLL_MAX_MS 20
#define SANDBOX_MONITOR_COMMAND 64

/* Read by one pmemsave: QEMU does nothing else for some milliseconds. */
#define SANDBOX_MONITOR_TOUCH_MB 8

/* q35: from this size on, memory beyond the first 2 GiB is above 4 GiB. */
#define SANDBOX_MONITOR_SPLIT_MB 2816
#define SANDBOX_MONITOR_LOW_MB 2048
#define SANDBOX_MONITOR_BANDWIDTH 1099511627776 /* bytes a second: no limit */


/* A string member of an object in memory the caller frees, or NULL. */
static char *
sandbox_monitor_string(const sandbox_json_t *doc,
                       const sandbox_json_node_t *object, const char *name)
{
    const sandbox_json_node_t *node;

    node = object && object->type == SANDBOX_JSON_OBJECT
               ? sandbox_json_member(doc, object, name)
               : NULL;

    return node ? sandbox_json_string(doc, node, NULL) : NULL;
}


/*
 * Checks QEMU's answer, since libvirt's call succeeds also when QEMU has
 * refused the command.  *value, if asked for, is the string member `name` of
 * what QEMU returned, or NULL.
 */
static sandbox_hv_status_t
sandbox_monitor_answer(const char *what, const char *text, const char *name,
                       char **value, sandbox_hv_error_t *err)
{
    char *reason;
    sandbox_json_t doc;
    sandbox_json_error_t bad;
    const sandbox_json_node_t *node;

    if (sandbox_json_parse(&doc, text, strlen(text), &bad) != 0) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "QEMU's answer to \"%s\" is not JSON", what);
    }

    node = sandbox_json_member(&doc, &doc.nodes[0], "return");

    if (node == NULL) {
        node = sandbox_json_member(&doc, &doc.nodes[0], "error");
        reason = sandbox_monitor_string(&doc, node, "desc");
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED, "QEMU refused \"%s\": %s",
                              what, reason ? reason : "it gave no reason");
        free(reason);

    } else {
        if (value) {
            *value = sandbox_monitor_string(&doc, node, name);
        }
        (void) sandbox_hv_ok(err);
    }

    sandbox_json_free(&doc);
    return err->status;
}


static sandbox_hv_status_t
sandbox_monitor_ask(sandbox_hv_conn_t *conn, virDomainPtr domain,
                    const char *what, const char *command, int *fd,
                    const char *name, char **value, sandbox_hv_error_t *err)
{
    int rc;
    char *answer;

    answer = NULL;

    if (fd) {
        rc = virDomainQemuMonitorCommandWithFiles(
            domain, command, 1, fd, NULL, NULL, &answer,
            VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT);
    } else {
        rc = virDomainQemuMonitorCommand(
            domain, command, &answer, VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT);
    }

    if (rc < 0) {
        (void) sandbox_hv_fail(err, conn, "cannot ask QEMU for \"%s\"", what);
    } else {
        (void) sandbox_monitor_answer(what, answer, name, value, err);
    }

    free(answer);
    return err->status;
}


/* Sends and frees a command that was put together. */
static sandbox_hv_status_t
sandbox_monitor_send(sandbox_hv_conn_t *conn, virDomainPtr domain,
                     const char *what, sandbox_text_t *command, int *fd,
                     sandbox_hv_error_t *err)
{
    if (sandbox_text_failed(command)) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
    } else {
        (void) sandbox_monitor_ask(conn, domain, what, command->data, fd, NULL,
                                   NULL, err);
    }

    sandbox_text_free(command);
    return err->status;
}


/* A command about a descriptor that has a name. */
static sandbox_hv_status_t
monitor_named(sandbox_hv_conn_t *conn, virDomainPtr domain, const char *what,
              const char *name, int *fd, sandbox_hv_error_t *err)
{
    sandbox_text_t command = SANDBOX_TEXT_INIT;

    sandbox_text_fmt(&command,
                     "{\"execute\":\"%s\",\"arguments\":"
                     "{\"fdname\":\"%s\"}}",
                     what, name);

    return sandbox_monitor_send(conn, domain, what, &command, fd, err);
}


sandbox_hv_status_t
sandbox_monitor_fd(sandbox_hv_conn_t *conn, virDomainPtr domain,
                   const char *name, int fd, sandbox_hv_error_t *err)
{
    return monitor_named(conn, domain, "getfd", name, &fd, err);
}


sandbox_hv_status_t
sandbox_monitor_fd_close(sandbox_hv_conn_t *conn, virDomainPtr domain,
                         const char *name, sandbox_hv_error_t *err)
{
    return monitor_named(conn, domain, "closefd", name, NULL, err);
}


/* A command about a set of descriptors. */
static sandbox_hv_status_t
monitor_numbered(sandbox_hv_conn_t *conn, virDomainPtr domain, const char *what,
                 int set, int *fd, sandbox_hv_error_t *err)
{
    sandbox_text_t command = SANDBOX_TEXT_INIT;

    sandbox_text_fmt(&command,
                     "{\"execute\":\"%s\",\"arguments\":"
                     "{\"fdset-id\":%d}}",
                     what, set);

    return sandbox_monitor_send(conn, domain, what, &command, fd, err);
}


sandbox_hv_status_t
sandbox_monitor_fdset(sandbox_hv_conn_t *conn, virDomainPtr domain, int set,
                      int fd, sandbox_hv_error_t *err)
{
    return monitor_numbered(conn, domain, "add-fd", set, &fd, err);
}


sandbox_hv_status_t
sandbox_monitor_fdset_close(sandbox_hv_conn_t *conn, virDomainPtr domain,
                            int set, sandbox_hv_error_t *err)
{
    return monitor_numbered(conn, domain, "remove-fd", set, NULL, err);
}


sandbox_hv_status_t
sandbox_monitor_devices(sandbox_hv_conn_t *conn, virDomainPtr domain, int set,
                        sandbox_hv_error_t *err)
{
    sandbox_text_t command = SANDBOX_TEXT_INIT;

    /* live false: the machine keeps its disks */
    sandbox_text_fmt(&command,
                     "{\"execute\":\"xen-save-devices-state\",\"arguments\":"
                     "{\"filename\":\"/dev/fdset/%d\",\"live\":false}}",
                     set);

    return sandbox_monitor_send(conn, domain, "xen-save-devices-state",
                                &command, NULL, err);
}


sandbox_hv_status_t
sandbox_monitor_capability(sandbox_hv_conn_t *conn, virDomainPtr domain,
                           const char *name, int on, sandbox_hv_error_t *err)
{
    sandbox_text_t command = SANDBOX_TEXT_INIT;

    sandbox_text_fmt(&command,
                     "{\"execute\":\"migrate-set-capabilities\","
                     "\"arguments\":{\"capabilities\":["
                     "{\"capability\":\"%s\",\"state\":%s}]}}",
                     name, on ? "true" : "false");

    return sandbox_monitor_send(conn, domain, name, &command, NULL, err);
}


sandbox_hv_status_t
sandbox_monitor_activate(sandbox_hv_conn_t *conn, virDomainPtr domain,
                         sandbox_hv_error_t *err)
{
    return sandbox_monitor_ask(conn, domain, "blockdev-set-active",
                               "{\"execute\":\"blockdev-set-active\","
                               "\"arguments\":{\"active\":true}}",
                               NULL, NULL, NULL, err);
}


static sandbox_hv_status_t
monitor_parameter(sandbox_hv_conn_t *conn, virDomainPtr domain,
                  const char *name, long long value, sandbox_hv_error_t *err)
{
    sandbox_text_t command = SANDBOX_TEXT_INIT;

    sandbox_text_fmt(&command,
                     "{\"execute\":\"migrate-set-parameters\","
                     "\"arguments\":{\"%s\":%lld}}",
                     name, value);

    return sandbox_monitor_send(conn, domain, name, &command, NULL, err);
}


sandbox_hv_status_t
sandbox_monitor_unlimited(sandbox_hv_conn_t *conn, virDomainPtr domain,
                          sandbox_hv_error_t *err)
{
    return monitor_parameter(conn, domain, "max-bandwidth",
                             SANDBOX_MONITOR_BANDWIDTH, err);
}


sandbox_hv_status_t
sandbox_monitor_unannounced(sandbox_hv_conn_t *conn, virDomainPtr domain,
                            sandbox_hv_error_t *err)
{
    return monitor_parameter(conn, domain, "announce-rounds", 0, err);
}


sandbox_hv_status_t
sandbox_monitor_migrate(sandbox_hv_conn_t *conn, virDomainPtr domain,
                        int incoming, const char *uri, sandbox_hv_error_t *err)
{
    const char *what;
    sandbox_text_t command = SANDBOX_TEXT_INIT;

    what = incoming ? "migrate-incoming" : "migrate";

    sandbox_text_fmt(&command,
                     "{\"execute\":\"%s\",\"arguments\":{\"uri\":", what);
    sandbox_text_json_string(&command, uri, strlen(uri));
    sandbox_text_str(&command, "}}");

    return sandbox_monitor_send(conn, domain, what, &command, NULL, err);
}


sandbox_hv_status_t
sandbox_monitor_backing(sandbox_hv_conn_t *conn, virDomainPtr domain,
                        const char *node, const char *path,
                        sandbox_hv_error_t *err)
{
    sandbox_text_t command = SANDBOX_TEXT_INIT;

    sandbox_text_str(&command, "{\"execute\":\"change-backing-file\","
                               "\"arguments\":{\"device\":");
    sandbox_text_json_string(&command, node, strlen(node));
    sandbox_text_str(&command, ",\"image-node-name\":");
    sandbox_text_json_string(&command, node, strlen(node));
    sandbox_text_str(&command, ",\"backing-file\":");
    sandbox_text_json_string(&command, path, strlen(path));
    sandbox_text_str(&command, "}}");

    return sandbox_monitor_send(conn, domain, "change-backing-file", &command,
                                NULL, err);
}


/* 1 if the error says that QEMU ended before libvirt could read its answer. */
static int
monitor_has_ended(const virError *e)
{
    return e && e->domain == VIR_FROM_QEMU
           && (e->code == VIR_ERR_SYSTEM_ERROR
               || e->code == VIR_ERR_INTERNAL_ERROR
               || e->code == VIR_ERR_OPERATION_INVALID);
}


sandbox_hv_status_t
sandbox_monitor_quit(sandbox_hv_conn_t *conn, virDomainPtr domain,
                     sandbox_hv_error_t *err)
{
    int ended;
    char *answer;

    answer = NULL;

    if (virDomainQemuMonitorCommand(domain, "{\"execute\":\"quit\"}", &answer,
                                    VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT)
        == 0)
    {
        free(answer);
        return sandbox_hv_ok(err);
    }

    /* QEMU ends at once, maybe before libvirt has read its answer */
    ended = monitor_has_ended(virGetLastError());

    return sandbox_hv_fail(err, conn, "cannot ask QEMU for \"quit\"")
                       == SANDBOX_HV_FAILED
                   && ended
               ? sandbox_hv_ok(err)
               : err->status;
}


sandbox_hv_status_t
sandbox_monitor_query(sandbox_hv_conn_t *conn, virDomainPtr domain,
                      const char *what, char **answer, sandbox_hv_error_t *err)
{
    char command[SANDBOX_MONITOR_COMMAND];

    *answer = NULL;
    (void) snprintf(command, sizeof(command), "{\"execute\":\"%s\"}", what);
    (void) sandbox_hv_ok(err);

    if (virDomainQemuMonitorCommand(domain, command, answer,
                                    VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT)
        < 0)
    {
        (void) sandbox_hv_fail(err, conn, "cannot ask QEMU for \"%s\"", what);
    }

    return err->status;
}


/* The status of a migration; one that never was, or just began, is idle. */
static sandbox_hv_status_t
sandbox_monitor_stage(sandbox_hv_conn_t *conn, virDomainPtr domain, int *done,
                      int *over, int *idle, sandbox_hv_error_t *err)
{
    char *status;

    status = NULL;

    if (sandbox_monitor_ask(conn, domain, "query-migrate",
                            "{\"execute\":\"query-migrate\"}", NULL, "status",
                            &status, err)
        != SANDBOX_HV_OK)
    {
        return err->status;
    }

    *done = status && strcmp(status, "completed") == 0;
    *idle = status == NULL || strcmp(status, "none") == 0;
    *over = *idle || *done || strcmp(status, "failed") == 0
            || strcmp(status, "cancelled") == 0;
    free(status);

    return err->status;
}


/*
 * 1 if the migration must not be cancelled, because the machine runs: QEMU 7.2
 * would leave its memory write-protected for ever.
 */
static int
monitor_is_live(sandbox_hv_conn_t *conn, virDomainPtr domain)
{
    int live;
    char *answer;
    sandbox_hv_error_t ignored;

    if (sandbox_monitor_query(conn, domain, "query-migrate-capabilities",
                              &answer, &ignored)
        != SANDBOX_HV_OK)
    {
        return 0;
    }

    live = sandbox_qmp_is_on(answer, SANDBOX_MONITOR_LIVE);
    free(answer);

    return live;
}


sandbox_hv_status_t
sandbox_monitor_cancel(sandbox_hv_conn_t *conn, virDomainPtr domain, int wait,
                       int64_t deadline_ms, sandbox_hv_error_t *err)
{
    int done, over, idle;

    for (;; sandbox_hv_sleep_ms(SANDBOX_MONITOR_POLL_MS)) {
        if (sandbox_monitor_stage(conn, domain, &done, &over, &idle, err)
                != SANDBOX_HV_OK
            || over)
        {
            return err->status;
        }

        wait = wait || monitor_is_live(conn, domain);

        if (!wait
            && sandbox_monitor_ask(conn, domain, "migrate_cancel",
                                   "{\"execute\":\"migrate_cancel\"}", NULL,
                                   NULL, NULL, err)
                   != SANDBOX_HV_OK)
        {
            return err->status;
        }

        if (sandbox_time_monotonic_ms() >= deadline_ms) {
            return sandbox_hv_set(err, SANDBOX_HV_TIMEOUT,
                                  "QEMU did not give up moving the machine's "
                                  "state in time");
        }
    }
}


sandbox_hv_status_t
sandbox_monitor_begins(sandbox_hv_conn_t *conn, virDomainPtr domain,
                       int *begins, sandbox_hv_error_t *err)
{
    char *status;

    status = NULL;

    (void) sandbox_monitor_ask(conn, domain, "query-migrate",
                               "{\"execute\":\"query-migrate\"}", NULL,
                               "status", &status, err);

    *begins = status && strcmp(status, "setup") == 0;
    free(status);

    return err->status;
}


static void
monitor_pause(int64_t start)
{
    int64_t ms;

    ms = (sandbox_time_monotonic_ms() - start) / SANDBOX_MONITOR_SHARE;

    if (ms < SANDBOX_MONITOR_POLL_MS) {
        ms = SANDBOX_MONITOR_POLL_MS;
    }

    sandbox_hv_sleep_ms(ms < SANDBOX_MONITOR_POLL_MAX_MS
                            ? (int) ms
                            : SANDBOX_MONITOR_POLL_MAX_MS);
}


sandbox_hv_status_t
sandbox_monitor_migrated(sandbox_hv_conn_t *conn, virDomainPtr domain,
                         int64_t deadline_ms, sandbox_hv_error_t *err)
{
    int done, over, idle;
    int64_t start;

    start = sandbox_time_monotonic_ms();

    for (;; monitor_pause(start)) {
        done = 0;

        if (sandbox_monitor_stage(conn, domain, &done, &over, &idle, err)
                != SANDBOX_HV_OK
            || done)
        {
            return err->status;
        }

        if (over && !idle) {
            return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                                  "QEMU could not move the machine's state");
        }

        if (sandbox_time_monotonic_ms() >= deadline_ms) {
            return sandbox_hv_set(err, SANDBOX_HV_TIMEOUT,
                                  "QEMU did not move the machine's state "
                                  "in time");
        }
    }
}


int
sandbox_monitor_touch(sandbox_hv_conn_t *conn, virDomainPtr domain,
                      int64_t memory_mb, int64_t deadline_ms, const int *stop)
{
    int64_t mb, high;
    sandbox_hv_error_t ignored;
    sandbox_text_t command;

    /* where the memory of q35 goes on above 4 GiB */
    high = memory_mb >= SANDBOX_MONITOR_SPLIT_MB ? SANDBOX_MONITOR_LOW_MB
                                                 : memory_mb;

    for (mb = 0; mb < memory_mb; mb += SANDBOX_MONITOR_TOUCH_MB) {
        if (__atomic_load_n(stop, __ATOMIC_RELAXED)
            || sandbox_time_monotonic_ms() >= deadline_ms)
        {
            return 0;
        }

        command = (sandbox_text_t) SANDBOX_TEXT_INIT;
        sandbox_text_fmt(
            &command,
            "{\"execute\":\"pmemsave\",\"arguments\":{\"val\":%lld,"
            "\"size\":%lld,\"filename\":\"/dev/null\"}}",
            (long long) (mb < high ? mb : mb - high + 4096) * 1048576,
            (long long) SANDBOX_MONITOR_TOUCH_MB * 1048576);

        /* on an error just stop: touching is only for speed */
        if (sandbox_monitor_send(conn, domain, "pmemsave", &command, NULL,
                                 &ignored)
            != SANDBOX_HV_OK)
        {
            return 1;
        }
    }

    return 1;
}
