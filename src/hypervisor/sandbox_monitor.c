/*
 * QEMU's own monitor, through libvirt: what a checkpoint needs and libvirt
 * has no call for.  Knows QMP's envelope and the migration commands; nothing
 * of files, ids and checkpoints.
 *
 * Descriptors travel only over a local socket: with a remote libvirt the
 * first one that is passed fails, before anything has been changed.
 */

#include "sandbox_hv.h"
#include "sandbox_json.h"
#include "sandbox_text.h"
#include "sandbox_time.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

#define SANDBOX_MONITOR_POLL_MS 2
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
 * libvirt succeeds when QEMU has answered, also when it has refused.  *value,
 * if asked for, is the string member `name` of what it returned, or NULL.
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
        (void) sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");
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


sandbox_hv_status_t
sandbox_monitor_fd(sandbox_hv_conn_t *conn, virDomainPtr domain,
                   const char *name, int fd, sandbox_hv_error_t *err)
{
    sandbox_text_t command = SANDBOX_TEXT_INIT;

    sandbox_text_fmt(&command,
                     "{\"execute\":\"getfd\",\"arguments\":"
                     "{\"fdname\":\"%s\"}}",
                     name);

    if (sandbox_text_failed(&command)) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
    } else {
        (void) sandbox_monitor_ask(conn, domain, "getfd", command.data, &fd,
                                   NULL, NULL, err);
    }

    sandbox_text_free(&command);
    return err->status;
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

    if (sandbox_text_failed(&command)) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
    } else {
        (void) sandbox_monitor_ask(conn, domain, name, command.data, NULL, NULL,
                                   NULL, err);
    }

    sandbox_text_free(&command);
    return err->status;
}


sandbox_hv_status_t
sandbox_monitor_link(sandbox_hv_conn_t *conn, virDomainPtr domain,
                     const char *card, int up, sandbox_hv_error_t *err)
{
    sandbox_text_t command = SANDBOX_TEXT_INIT;

    sandbox_text_fmt(&command,
                     "{\"execute\":\"set_link\",\"arguments\":"
                     "{\"name\":\"%s\",\"up\":%s}}",
                     card, up ? "true" : "false");

    if (sandbox_text_failed(&command)) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
    } else {
        (void) sandbox_monitor_ask(conn, domain, "set_link", command.data, NULL,
                                   NULL, NULL, err);
    }

    sandbox_text_free(&command);
    return err->status;
}


sandbox_hv_status_t
sandbox_monitor_migrate(sandbox_hv_conn_t *conn, virDomainPtr domain,
                        int incoming, const char *fd, sandbox_hv_error_t *err)
{
    const char *what;
    sandbox_text_t limit = SANDBOX_TEXT_INIT, command = SANDBOX_TEXT_INIT;

    what = incoming ? "migrate-incoming" : "migrate";

    sandbox_text_fmt(&limit,
                     "{\"execute\":\"migrate-set-parameters\","
                     "\"arguments\":{\"max-bandwidth\":%lld}}",
                     (long long) SANDBOX_MONITOR_BANDWIDTH);
    sandbox_text_fmt(&command,
                     "{\"execute\":\"%s\",\"arguments\":{\"uri\":\"fd:%s\"}}",
                     what, fd);

    if (sandbox_text_failed(&limit) || sandbox_text_failed(&command)) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");

    } else if (incoming
               || sandbox_monitor_ask(conn, domain, "migrate-set-parameters",
                                      limit.data, NULL, NULL, NULL, err)
                      == SANDBOX_HV_OK)
    {
        (void) sandbox_monitor_ask(conn, domain, what, command.data, NULL, NULL,
                                   NULL, err);
    }

    sandbox_text_free(&limit);
    sandbox_text_free(&command);
    return err->status;
}


sandbox_hv_status_t
sandbox_monitor_migrated(sandbox_hv_conn_t *conn, virDomainPtr domain,
                         int64_t deadline_ms, sandbox_hv_error_t *err)
{
    int done, failed;
    char *status;

    for (;; sandbox_hv_sleep_ms(SANDBOX_MONITOR_POLL_MS)) {
        status = NULL;

        if (sandbox_monitor_ask(conn, domain, "query-migrate",
                                "{\"execute\":\"query-migrate\"}", NULL,
                                "status", &status, err)
            != SANDBOX_HV_OK)
        {
            return err->status;
        }

        done = status && strcmp(status, "completed") == 0;
        failed = status
                 && (strcmp(status, "failed") == 0
                     || strcmp(status, "cancelled") == 0);
        free(status);

        if (done) {
            return SANDBOX_HV_OK;
        }

        if (failed) {
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
