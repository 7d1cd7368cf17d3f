/*
 * Domains: boot and destroy.  The domain's UUID is computed from the
 * sandbox's id and libvirt admits a UUID once, so libvirt is the arbiter
 * between processes; inside one process verbs on the same id wait for each
 * other.
 *
 * The overlay is made before the domain.  Two processes that boot one id at
 * once (a lease that ran out) can only meet there: the process that removed the
 * other's overlay and then finds a domain of that id ends the domain, because
 * it may stand on the removed file, and fails.
 */

#include "sandbox_checkpoint_parts.h"
#include "sandbox_crash.h"
#include "sandbox_hv.h"
#include "sandbox_memory.h"
#include "sandbox_time.h"

#include <libvirt/virterror.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * virDomainDestroy answers within some 15 s itself; QEMU in uninterruptible
 * sleep (a dead NFS server) may outlive that.
 */
#define SANDBOX_DOMAIN_END_MS 30000
#define SANDBOX_DOMAIN_STARTING_MS 15000

/* How long destroy waits for the pipe that the last take has left. */
#define SANDBOX_DOMAIN_SENT_MS 20000

/*
 * A libvirtd that is killed while it starts a domain comes back with a domain
 * that has no process and whose start never ends (9.0: status with pid='0'); no
 * call can remove that, and each try to end it takes 30 s.  There is nothing to
 * end, so such a domain counts as gone; scripts/libvirt-purge removes it before
 * libvirtd starts.  The last few are remembered, to spare the tries; one that
 * shows otherwise since, or not at all, was removed, and its UUID is another's.
 */
#define SANDBOX_DOMAIN_LOST 32

static struct {
    char uuid[SANDBOX_DOMAIN_LOST][SANDBOX_UUID_SIZE];
    unsigned next;
} sandbox_domain_lost;

/* Ids with a verb in progress; the nodes are on the stacks of their threads. */
static sandbox_domain_turn_t *sandbox_domain_turns;

/* for all of the above */
static pthread_mutex_t sandbox_domain_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t sandbox_domain_left = PTHREAD_COND_INITIALIZER;


static int
sandbox_domain_taken(const char *id)
{
    sandbox_domain_turn_t *t;

    for (t = sandbox_domain_turns; t; t = t->next) {
        if (strcmp(t->id, id) == 0) {
            return 1;
        }
    }

    return 0;
}


/* The time of every verb is bounded, so the waiting for a turn is too. */
void
sandbox_domain_enter(sandbox_domain_turn_t *turn, const char *id)
{
    turn->id = id;

    (void) pthread_mutex_lock(&sandbox_domain_mutex);

    while (sandbox_domain_taken(id)) {
        (void) pthread_cond_wait(&sandbox_domain_left, &sandbox_domain_mutex);
    }

    turn->next = sandbox_domain_turns;
    sandbox_domain_turns = turn;

    (void) pthread_mutex_unlock(&sandbox_domain_mutex);
}


void
sandbox_domain_leave(sandbox_domain_turn_t *turn)
{
    sandbox_domain_turn_t **t;

    (void) pthread_mutex_lock(&sandbox_domain_mutex);

    for (t = &sandbox_domain_turns; *t; t = &(*t)->next) {
        if (*t == turn) {
            *t = turn->next;
            break;
        }
    }

    (void) pthread_cond_broadcast(&sandbox_domain_left);
    (void) pthread_mutex_unlock(&sandbox_domain_mutex);
}


static void
sandbox_domain_lose(const char *uuid)
{
    unsigned i;

    (void) pthread_mutex_lock(&sandbox_domain_mutex);

    i = sandbox_domain_lost.next++ % SANDBOX_DOMAIN_LOST;
    (void) snprintf(sandbox_domain_lost.uuid[i], SANDBOX_UUID_SIZE, "%s", uuid);

    (void) pthread_mutex_unlock(&sandbox_domain_mutex);

    sandbox_hv_log(SANDBOX_HV_LOG_WARN,
                   "libvirtd was killed while it started the domain %s and "
                   "shows it for ever: stop libvirtd, run libvirt-purge",
                   uuid);
}


/* 1 if the UUID is remembered; forget: it is not any more. */
static int
sandbox_domain_known_lost(const char *uuid, int forget)
{
    int lost;
    unsigned i;

    lost = 0;
    (void) pthread_mutex_lock(&sandbox_domain_mutex);

    for (i = 0; i < SANDBOX_DOMAIN_LOST; i++) {
        if (strcmp(sandbox_domain_lost.uuid[i], uuid) == 0) {
            lost = 1;

            if (forget) {
                sandbox_domain_lost.uuid[i][0] = '\0';
            }
        }
    }

    (void) pthread_mutex_unlock(&sandbox_domain_mutex);
    return lost;
}


/* 1: its start has not ended, 0: it has, -1: that cannot be told. */
static int
sandbox_domain_is_starting(virDomainPtr domain)
{
    int state, reason;

    if (virDomainGetState(domain, &state, &reason, 0) < 0) {
        return -1;
    }

    return state == VIR_DOMAIN_PAUSED
           && reason == VIR_DOMAIN_PAUSED_STARTING_UP;
}


int
sandbox_domain_is_lost(virDomainPtr domain, const char *uuid)
{
    int starting;

    if (!sandbox_domain_known_lost(uuid, 0)) {
        return 0;
    }

    starting = sandbox_domain_is_starting(domain);

    if (starting == 0) {
        (void) sandbox_domain_known_lost(uuid, 1);
    }

    return starting == 1;
}


virDomainPtr
sandbox_domain_lookup(sandbox_hv_conn_t *conn, const char *uuid,
                      sandbox_hv_error_t *err)
{
    virErrorPtr e;
    virDomainPtr domain;

    (void) sandbox_hv_ok(err);
    domain = virDomainLookupByUUIDString(conn->virt, uuid);

    if (domain == NULL) {
        e = virGetLastError();

        if (e == NULL || e->code != VIR_ERR_NO_DOMAIN) {
            (void) sandbox_hv_fail(err, conn, "cannot look up the domain %s",
                                   uuid);
        } else {
            (void) sandbox_domain_known_lost(uuid, 1);
        }
    }

    return domain;
}


virDomainPtr
sandbox_domain_of(sandbox_hv_conn_t **conn, const char *id,
                  sandbox_hv_error_t *err)
{
    char uuid[SANDBOX_UUID_SIZE];
    virDomainPtr domain;

    *conn = sandbox_hv_connection(err);
    if (*conn == NULL) {
        return NULL;
    }

    if (sandbox_id_uuid(uuid, id) != 0) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED, "no UUID for \"%s\"", id);
        return NULL;
    }

    domain = sandbox_domain_lookup(*conn, uuid, err);

    if (domain == NULL && err->status == SANDBOX_HV_OK) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED, "\"%s\" does not run",
                              id);
    }

    return domain;
}


/*
 * One try; 1 if it has failed because the domain's start never ends.  A start
 * in progress can be ended at once, so it gives no such time-out.
 */
static int
sandbox_domain_kill(sandbox_hv_conn_t *conn, virDomainPtr domain,
                    const char *uuid, sandbox_hv_error_t *err)
{
    int code, lost;

    lost = 0;

    /* fails if the domain is ending by itself or QEMU resists: look again */
    if (virDomainDestroy(domain) < 0) {
        code = virGetLastErrorCode();
        (void) sandbox_hv_fail(err, conn, "cannot end the domain %s", uuid);
        lost = code == VIR_ERR_OPERATION_TIMEOUT
               && sandbox_domain_is_starting(domain) == 1;
    }

    /* transient domains of ours vanish with their QEMU; others stay */
    if (!lost && virDomainIsPersistent(domain) == 1) {
        (void) virDomainUndefine(domain);
    }

    return lost;
}


sandbox_hv_status_t
sandbox_domain_end(sandbox_hv_conn_t *conn, const char *uuid,
                   sandbox_hv_error_t *err)
{
    int lost;
    int64_t deadline_ms;
    virDomainPtr domain;

    deadline_ms = sandbox_time_monotonic_ms() + SANDBOX_DOMAIN_END_MS;

    for (;;) {
        domain = sandbox_domain_lookup(conn, uuid, err);
        if (domain == NULL) {
            return err->status;
        }

        if (sandbox_domain_is_lost(domain, uuid)) {
            (void) virDomainFree(domain);
            return sandbox_hv_ok(err);
        }

        lost = sandbox_domain_kill(conn, domain, uuid, err);
        (void) virDomainFree(domain);

        if (lost) {
            sandbox_domain_lose(uuid);
            return sandbox_hv_ok(err);
        }

        if (err->status == SANDBOX_HV_UNAVAILABLE) {
            return err->status;
        }

        if (sandbox_time_monotonic_ms() >= deadline_ms) {
            return err->status == SANDBOX_HV_OK
                       ? sandbox_hv_set(err, SANDBOX_HV_FAILED,
                                        "the domain %s does not end", uuid)
                       : err->status;
        }

        /* after an OK the domain is mostly gone: look without a pause */
        if (err->status != SANDBOX_HV_OK) {
            sandbox_hv_sleep_ms(50);
        }
    }
}


/*
 * 1: the domain runs; 0: there is none (any more); -1 with *err.  Waits for a
 * domain that another process is starting, and removes one that has ended.
 */
static int
sandbox_domain_settle(sandbox_hv_conn_t *conn, const char *uuid,
                      sandbox_hv_error_t *err)
{
    int state;
    int64_t deadline_ms;
    virDomainPtr domain;

    deadline_ms = sandbox_time_monotonic_ms() + SANDBOX_DOMAIN_STARTING_MS;

    for (;; sandbox_hv_sleep_ms(100)) {
        domain = sandbox_domain_lookup(conn, uuid, err);
        if (domain == NULL) {
            return err->status == SANDBOX_HV_OK ? 0 : -1;
        }

        if (virDomainGetState(domain, &state, NULL, 0) < 0) {
            state = VIR_DOMAIN_NOSTATE;
        }
        (void) virDomainFree(domain);

        switch (state) {
        case VIR_DOMAIN_RUNNING:
        case VIR_DOMAIN_BLOCKED:
            return 1;

        case VIR_DOMAIN_NOSTATE:
        case VIR_DOMAIN_PAUSED:
            if (sandbox_time_monotonic_ms() < deadline_ms) {
                continue;
            }
            break;

        default:
            break;
        }

        return sandbox_domain_end(conn, uuid, err) == SANDBOX_HV_OK ? 0 : -1;
    }
}


int
sandbox_domain_missing(sandbox_hv_conn_t *conn, const char *id,
                       char uuid[SANDBOX_UUID_SIZE], sandbox_hv_error_t *err)
{
    if (sandbox_id_uuid(uuid, id) != 0) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED, "no UUID for \"%s\"", id);
        return 0;
    }

    return sandbox_domain_settle(conn, uuid, err) == 0;
}


/* virDomainCreateXML has failed: keeps or ends the domain that is there now. */
sandbox_hv_status_t
sandbox_domain_refused(sandbox_hv_conn_t *conn,
                       const sandbox_domain_spec_t *spec, const char *uuid,
                       int replaced, sandbox_hv_error_t *err)
{
    sandbox_hv_error_t cause, ignored;

    cause = *err;

    if (cause.status == SANDBOX_HV_UNAVAILABLE) {
        return cause.status;
    }

    switch (sandbox_domain_settle(conn, uuid, err)) {
    case 1:
        if (!replaced) {
            /* another process was faster, with an overlay of that name */
            return SANDBOX_HV_OK;
        }

        (void) sandbox_domain_end(conn, uuid, &ignored);
        (void) sandbox_hv_set(&cause, SANDBOX_HV_FAILED,
                              "\"%s\" was booted twice at once", spec->id);
        break;

    case 0:
        break;

    default:
        return err->status;
    }

    (void) sandbox_disk_delete(conn, spec->id, &ignored);
    *err = cause;

    return cause.status;
}


void
sandbox_domain_undo(sandbox_hv_conn_t *conn, const sandbox_domain_spec_t *spec,
                    const char *uuid)
{
    sandbox_hv_error_t ignored;

    if (sandbox_domain_end(conn, uuid, &ignored) == SANDBOX_HV_OK) {
        (void) sandbox_disk_delete(conn, spec->id, &ignored);
    }
}


virDomainPtr
sandbox_domain_start(sandbox_hv_conn_t *conn, const sandbox_domain_spec_t *spec,
                     const sandbox_domain_xml_t *host, unsigned flags,
                     sandbox_hv_error_t *err)
{
    char *xml;
    virDomainPtr domain;

    xml = sandbox_domain_xml(spec, host);
    if (xml == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the domain of \"%s\" cannot be written as XML",
                              spec->id);
        return NULL;
    }

    SANDBOX_CRASH_POINT("boot.domain.before");
    domain = virDomainCreateXML(conn->virt, xml, flags);
    SANDBOX_CRASH_POINT("boot.domain.after");
    free(xml);

    if (domain == NULL) {
        (void) sandbox_hv_fail(err, conn, "cannot start \"%s\"", spec->id);
    }

    return domain;
}


void
sandbox_domain_host(sandbox_domain_xml_t *host, sandbox_hv_conn_t *conn,
                    sandbox_accel_t accel)
{
    memset(host, 0, sizeof(*host));

    host->bridge = sandbox_hv_conf()->bridge;
    host->node = sandbox_hv_conf()->node;
    host->machine = conn->facts.machine;
    host->label = conn->facts.label[0] ? conn->facts.label : NULL;
    host->accel = accel;
}


static sandbox_hv_status_t
sandbox_domain_boot(sandbox_hv_conn_t *conn, const sandbox_domain_spec_t *spec,
                    sandbox_accel_t accel, sandbox_hv_times_t *times,
                    sandbox_hv_error_t *err)
{
    int replaced;
    char uuid[SANDBOX_UUID_SIZE], disk[SANDBOX_HV_PATH_SIZE];
    int64_t start, made, mb;
    virDomainPtr domain;
    sandbox_domain_xml_t host;
    static const sandbox_domain_ram_t ram = { NULL, 0, 0 };

    if (!sandbox_domain_missing(conn, spec->id, uuid, err)) {
        return err->status;
    }

    start = sandbox_time_monotonic_ms();

    mb = spec->disk_mb;
    if (mb < spec->template->disk_mb) {
        mb = spec->template->disk_mb;
    }

    if (sandbox_disk_create(conn, spec->id, spec->template->disk, mb, disk,
                            &replaced, err)
        != SANDBOX_HV_OK)
    {
        return err->status;
    }

    made = sandbox_time_monotonic_ms();
    times->disk_ms = made - start;

    sandbox_domain_host(&host, conn, accel);
    host.uuid = uuid;
    host.disk = disk;
    host.ram = &ram;

    domain =
        sandbox_domain_start(conn, spec, &host, VIR_DOMAIN_START_PAUSED, err);
    if (domain == NULL) {
        return sandbox_domain_refused(conn, spec, uuid, replaced, err);
    }

    (void) sandbox_domain_run(conn, domain, spec, err);
    (void) virDomainFree(domain);
    times->domain_ms = sandbox_time_monotonic_ms() - made;

    if (err->status != SANDBOX_HV_OK) {
        sandbox_domain_undo(conn, spec, uuid);
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_hypervisor_boot(const sandbox_domain_spec_t *spec,
                        sandbox_hv_times_t *times, sandbox_hv_error_t *err)
{
    sandbox_accel_t accel;
    sandbox_hv_conn_t *conn;
    sandbox_hv_status_t status;
    sandbox_domain_turn_t turn;

    memset(times, 0, sizeof(*times));

    if (sandbox_hypervisor_accel(&accel, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    conn = sandbox_hv_connection(err);
    if (conn == NULL) {
        return err->status;
    }

    sandbox_domain_enter(&turn, spec->id);
    status = sandbox_domain_boot(conn, spec, accel, times, err);
    sandbox_domain_leave(&turn);

    return status;
}


sandbox_hv_status_t
sandbox_hypervisor_destroy(const char *id, sandbox_hv_error_t *err)
{
    char uuid[SANDBOX_UUID_SIZE];
    sandbox_hv_conn_t *conn;
    sandbox_hv_status_t status;
    sandbox_domain_turn_t turn;

    conn = sandbox_hv_connection(err);
    if (conn == NULL) {
        return err->status;
    }

    if (sandbox_id_uuid(uuid, id) != 0) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "no UUID for \"%s\"", id);
    }

    sandbox_domain_enter(&turn, id);

    /*
     * QEMU cannot end while a vCPU waits for a page to be sent: libvirt would
     * kill it after 15 s.
     */
    if (sandbox_hv_is_local()) {
        (void) sandbox_checkpoint_drain(id, sandbox_time_monotonic_ms()
                                                + SANDBOX_DOMAIN_SENT_MS);
    }

    SANDBOX_CRASH_POINT("destroy.domain.before");
    status = sandbox_domain_end(conn, uuid, err);
    SANDBOX_CRASH_POINT("destroy.domain.after");

    if (status == SANDBOX_HV_OK) {
        sandbox_memory_fifo_remove(id);
        status = sandbox_disk_delete(conn, id, err);
        SANDBOX_CRASH_POINT("destroy.overlay.after");
    }

    sandbox_domain_leave(&turn);

    return status;
}
