/*
 * Starting a sandbox from a checkpoint.  Its memory is a private mapping of
 * the checkpoint's, so that a page is read only when it is used; its disk is an
 * overlay.  QEMU starts without a state and then loads the device state.
 */

#include "sandbox_checkpoint_parts.h"
#include "sandbox_crash.h"
#include "sandbox_memory.h"
#include "sandbox_memory_ahead.h"
#include "sandbox_time.h"

#include <libvirt/virterror.h>
#include <string.h>
#include <unistd.h>

#define CHECKPOINT_DISK "vda"

/* From this version a machine that was loaded has no disks until it runs. */
#define CHECKPOINT_INACTIVE_SINCE 10000000


/*
 * The overlay was made as large as the disk that the guest knows, and grows
 * only here: QEMU tells the guest of a change of size, and of nothing else.
 */
static sandbox_hv_status_t
checkpoint_grow(sandbox_hv_conn_t *conn, virDomainPtr domain,
                const sandbox_domain_spec_t *spec, sandbox_hv_error_t *err)
{
    if (conn->facts.qemu >= CHECKPOINT_INACTIVE_SINCE
        && sandbox_monitor_activate(conn, domain, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    if (virDomainBlockResize(domain, CHECKPOINT_DISK,
                             (unsigned long long) spec->disk_mb * 1048576,
                             VIR_DOMAIN_BLOCK_RESIZE_BYTES)
        < 0)
    {
        return sandbox_hv_fail(err, conn, "cannot grow the disk of \"%s\"",
                               spec->id);
    }

    return sandbox_hv_ok(err);
}


static sandbox_hv_status_t
checkpoint_run(sandbox_hv_conn_t *conn, virDomainPtr domain,
               const sandbox_checkpoint_t *c, const sandbox_domain_spec_t *spec,
               sandbox_accel_t accel, int state, sandbox_hv_error_t *err)
{
    if (sandbox_checkpoint_receive(conn, domain, c, accel, state, err)
        != SANDBOX_HV_OK)
    {
        return err->status;
    }

    if (spec->disk_mb > c->disk_mb
        && checkpoint_grow(conn, domain, spec, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    return sandbox_domain_run(conn, domain, spec, err);
}


/* With the overlay made: starts the domain and runs it, or removes both. */
static sandbox_hv_status_t
checkpoint_launch(sandbox_hv_conn_t *conn, const sandbox_checkpoint_t *c,
                  const sandbox_domain_spec_t *spec,
                  const sandbox_domain_xml_t *host,
                  sandbox_memory_start_t *memory, int replaced, int state,
                  sandbox_hv_error_t *err)
{
    virDomainPtr domain;

    domain =
        sandbox_domain_start(conn, spec, host, VIR_DOMAIN_START_PAUSED, err);
    if (domain == NULL) {
        return sandbox_domain_refused(conn, spec, host->uuid, replaced, err);
    }

    SANDBOX_CRASH_POINT("boot.run.before");
    if (sandbox_memory_whole(memory, err) == SANDBOX_HV_OK) {
        (void) checkpoint_run(conn, domain, c, spec, host->accel, state, err);
    }
    SANDBOX_CRASH_POINT("boot.run.after");
    (void) virDomainFree(domain);

    if (err->status != SANDBOX_HV_OK) {
        sandbox_domain_undo(conn, spec, host->uuid);
    }

    return err->status;
}


static sandbox_hv_status_t
checkpoint_child(sandbox_hv_conn_t *conn, sandbox_accel_t accel,
                 const sandbox_checkpoint_t *c,
                 const sandbox_domain_spec_t *wanted,
                 sandbox_memory_start_t *copy, int state,
                 sandbox_hv_times_t *times, sandbox_hv_error_t *err)
{
    int replaced;
    char uuid[SANDBOX_UUID_SIZE];
    char disk[SANDBOX_HV_PATH_SIZE], memory[SANDBOX_HV_PATH_SIZE];
    int64_t start, made;
    sandbox_memory_ahead_t ahead;
    sandbox_template_t template;
    sandbox_domain_xml_t host;
    sandbox_domain_ram_t ram;
    sandbox_domain_spec_t spec;
    sandbox_network_t network;

    start = sandbox_time_monotonic_ms();

    if (sandbox_id_uuid(uuid, wanted->id) != 0
        || sandbox_disk_path(memory, c->ram) != 0)
    {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "no names for \"%s\"",
                              wanted->id);
    }

    if (sandbox_disk_create(conn, wanted->id, c->layers[0], c->disk_mb, disk,
                            &replaced, err)
        != SANDBOX_HV_OK)
    {
        return err->status;
    }

    made = sandbox_time_monotonic_ms();
    times->disk_ms = made - start;

    memset(&template, 0, sizeof(template));
    template.kernel = c->kernel;
    template.initrd = c->initrd;
    template.cmdline = c->cmdline;

    spec = *wanted;
    spec.template = &template;
    spec.vcpus = (int) c->vcpus;
    spec.memory_mb = c->memory_mb;

    if (wanted->network) {
        network = *wanted->network;
        network.silent = c->lived != 0;
        spec.network = &network;
    }

    /* not before the disk is made: qemu-img would wait behind it */
    ahead.fd = -1;
    if (copy->fd == -1 && sandbox_hv_is_local()) {
        sandbox_memory_ahead(&ahead, memory);
    }

    ram.path = copy->fd == -1 ? memory : copy->path;
    ram.shared = 0;
    ram.incoming = 1;

    sandbox_domain_host(&host, conn, accel);
    host.uuid = uuid;
    host.disk = disk;
    host.layers = (const char *const *) c->layers;
    host.ram = &ram;
    host.checkpoint = c->id;

    (void) checkpoint_launch(conn, c, &spec, &host, copy, replaced, state, err);
    sandbox_memory_ahead_end(&ahead);
    times->domain_ms = sandbox_time_monotonic_ms() - made;

    return err->status;
}


static sandbox_hv_status_t
checkpoint_start(sandbox_hv_conn_t *conn, const char *id,
                 const sandbox_domain_spec_t *spec, int64_t deadline_ms,
                 sandbox_hv_times_t *times, sandbox_hv_error_t *err)
{
    int state, torn;
    char uuid[SANDBOX_UUID_SIZE];
    sandbox_accel_t accel;
    sandbox_checkpoint_t c;
    sandbox_memory_start_t memory;

    if (!sandbox_domain_missing(conn, spec->id, uuid, err)) {
        return err->status;
    }

    if (sandbox_hypervisor_accel(&accel, err) != SANDBOX_HV_OK
        || sandbox_checkpoint_load(conn, id, accel, &c, &state, &torn, err)
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    /*
     * The memory is mapped from tmpfs if it is there: such a sandbox can be
     * copied while it runs. It is copied there only if many share it (a shape);
     * else the sandbox runs from disk, whose pages are read as needed.
     */
    sandbox_memory_start(&memory, conn, c.ram, c.memory_mb,
                         sandbox_checkpoint_is_shape(id), deadline_ms);

    (void) checkpoint_child(conn, accel, &c, spec, &memory, state, times, err);

    sandbox_memory_started(&memory);
    (void) close(state);
    sandbox_checkpoint_free(&c);

    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_start(const char *id, const sandbox_domain_spec_t *spec,
                         int64_t deadline_ms, sandbox_hv_times_t *times,
                         sandbox_hv_error_t *err)
{
    sandbox_hv_conn_t *conn;
    sandbox_domain_turn_t turn;

    memset(times, 0, sizeof(*times));

    conn = sandbox_hv_connection(err);
    if (conn == NULL) {
        return err->status;
    }

    sandbox_domain_enter(&turn, spec->id);
    (void) checkpoint_start(conn, id, spec, deadline_ms, times, err);
    sandbox_domain_leave(&turn);

    return err->status;
}
