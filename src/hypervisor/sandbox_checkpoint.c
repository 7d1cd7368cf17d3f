/*
 * Boot checkpoints: a template booted once in a shape, held where its guest
 * waits to be configured, and kept.
 *
 * Makers take turns by a lock that ends with its process, so a maker that holds
 * the lock and finds a maker's domain knows that its maker has died.  Two
 * makers on different hosts that share a libvirt do not see each other's lock;
 * names keep them apart: each has files of its own, the UUID of the domain is
 * computed from the checkpoint's id, and "<id>.state", written last, is made
 * only once.
 */

#define _GNU_SOURCE

#include "sandbox_base32.h"
#include "sandbox_checkpoint_parts.h"
#include "sandbox_digest.h"
#include "sandbox_memory.h"
#include "sandbox_text.h"
#include "sandbox_time.h"

#include <fcntl.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * libvirt's numbers are 1000000 * major + 1000 * minor + micro.  Within a
 * series QEMU loads states of its versioned machine types, from older and newer
 * releases; another series may as well, but that was not tried.
 */
#define CHECKPOINT_SERIES(version) ((version) / 1000)


static const char *
checkpoint_accel(sandbox_accel_t accel)
{
    return accel == SANDBOX_ACCEL_KVM ? "kvm" : "tcg";
}


static const char *
checkpoint_cpu(sandbox_hv_conn_t *conn, sandbox_accel_t accel)
{
    return accel == SANDBOX_ACCEL_KVM ? conn->facts.cpu : "";
}


static sandbox_hv_status_t
checkpoint_shape(char id[SANDBOX_ID_SIZE], sandbox_hv_conn_t *conn,
                 sandbox_accel_t accel, const sandbox_template_t *template,
                 int vcpus, int64_t memory_mb, sandbox_hv_error_t *err)
{
    uint8_t digest[SANDBOX_SHA256_LEN];
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    sandbox_text_fmt(&t, "%s\n%s\n%s\n%s\n%s\n%s\n%s\n", template->name,
                     template->version, template->kernel, template->initrd,
                     template->disk, template->cmdline, conn->facts.machine);
    sandbox_text_fmt(&t, "%s\n%s\n%lu\n%d\n%lld\n", checkpoint_accel(accel),
                     checkpoint_cpu(conn, accel), conn->facts.qemu, vcpus,
                     (long long) memory_mb);

    if (sandbox_text_failed(&t) || sandbox_sha256(digest, t.data, t.len) != 0) {
        sandbox_text_free(&t);
        return sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
    }

    sandbox_text_free(&t);

    (void) snprintf(id, SANDBOX_ID_SIZE, SANDBOX_CHECKPOINT_SHAPE_PREFIX);
    sandbox_base32(id + sizeof(SANDBOX_CHECKPOINT_SHAPE_PREFIX) - 1, digest,
                   SANDBOX_ID_BODY_LEN);

    return sandbox_hv_ok(err);
}


sandbox_hv_status_t
sandbox_checkpoint_shape(char id[SANDBOX_ID_SIZE],
                         const sandbox_template_t *template, int vcpus,
                         int64_t memory_mb, sandbox_hv_error_t *err)
{
    sandbox_accel_t accel;
    sandbox_hv_conn_t *conn;

    if (sandbox_hypervisor_accel(&accel, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    conn = sandbox_hv_connection(err);
    if (conn == NULL) {
        return err->status;
    }

    return checkpoint_shape(id, conn, accel, template, vcpus, memory_mb, err);
}


/* Why the checkpoint cannot be started here, or NULL. */
static const char *
checkpoint_foreign(sandbox_hv_conn_t *conn, sandbox_accel_t accel,
                   const sandbox_checkpoint_t *c)
{
    if (strcmp(c->machine, conn->facts.machine) != 0) {
        return "it is of another machine type";
    }

    if (CHECKPOINT_SERIES(c->qemu)
        != CHECKPOINT_SERIES((int64_t) conn->facts.qemu)) {
        return "it is of another series of QEMU";
    }

    if (strcmp(c->accel, checkpoint_accel(accel)) != 0
        || strcmp(c->cpu, checkpoint_cpu(conn, accel)) != 0)
    {
        return "it is of another processor";
    }

    return NULL;
}


/* Checks what the digest does not cover, and copies the state. */
static sandbox_hv_status_t
checkpoint_usable(sandbox_hv_conn_t *conn, sandbox_accel_t accel,
                  const sandbox_checkpoint_t *c, const unsigned char *data,
                  size_t len, int *state, int *torn, sandbox_hv_error_t *err)
{
    int64_t length, blocks;
    const char *name, *reason;

    reason = checkpoint_foreign(conn, accel, c);
    if (reason) {
        return sandbox_hv_set(err, SANDBOX_HV_NO_CHECKPOINT, "\"%s\": %s",
                              c->id, reason);
    }

    if (sandbox_disk_size(conn, c->ram, &length, &blocks, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    if (length == -1) {
        length = sandbox_memory_length(c->ram);
    }

    if (length != c->memory_mb * 1048576) {
        *torn = 1;
        return sandbox_hv_set(err, SANDBOX_HV_NO_CHECKPOINT,
                              "\"%s\": its memory is missing or torn", c->id);
    }

    name = strrchr(c->layers[0], '/');

    if (sandbox_disk_size(conn, name ? name + 1 : c->layers[0], &length,
                          &blocks, err)
        != SANDBOX_HV_OK)
    {
        return err->status;
    }

    if (length == -1) {
        *torn = 1;
        return sandbox_hv_set(err, SANDBOX_HV_NO_CHECKPOINT,
                              "\"%s\": its disk is missing", c->id);
    }

    if (state) {
        *state = sandbox_checkpoint_memory(data, len);
        if (*state == -1) {
            return sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
        }
    }

    return sandbox_hv_ok(err);
}


/*
 * Reads "<id>.state" and checks its digest, and nothing else.  OK: the caller
 * frees *c and *data, in which *state is, the device state.  NO_CHECKPOINT with
 * *torn 0: there is none.
 */
static sandbox_hv_status_t
checkpoint_get(sandbox_hv_conn_t *conn, const char *id, sandbox_checkpoint_t *c,
               unsigned char **data, const unsigned char **state, size_t *len,
               int *torn, sandbox_hv_error_t *err)
{
    size_t size;
    char name[SANDBOX_CHECKPOINT_NAME_SIZE];
    const char *reason;

    *torn = 0;
    memset(c, 0, sizeof(*c));
    (void) snprintf(name, sizeof(name), "%s" SANDBOX_CHECKPOINT_SUFFIX, id);

    if (sandbox_disk_get(conn, name, SANDBOX_CHECKPOINT_STATE_MAX, data, &size,
                         err)
        != SANDBOX_HV_OK)
    {
        return err->status;
    }

    if (*data == NULL) {
        return sandbox_hv_set(err, SANDBOX_HV_NO_CHECKPOINT,
                              "there is no checkpoint \"%s\"", id);
    }

    if (sandbox_checkpoint_read(c, *data, size, state, len, &reason) != 0) {
        free(*data);
        *torn = 1;
        return sandbox_hv_set(err, SANDBOX_HV_NO_CHECKPOINT, "\"%s\": %s", name,
                              reason);
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_load(sandbox_hv_conn_t *conn, const char *id,
                        sandbox_accel_t accel, sandbox_checkpoint_t *c,
                        int *state, int *torn, sandbox_hv_error_t *err)
{
    size_t len;
    unsigned char *data;
    const unsigned char *part;

    if (checkpoint_get(conn, id, c, &data, &part, &len, torn, err)
        != SANDBOX_HV_OK) {
        return err->status;
    }

    if (checkpoint_usable(conn, accel, c, part, len, state, torn, err)
        != SANDBOX_HV_OK)
    {
        sandbox_checkpoint_free(c);
    }

    free(data);
    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_whole(const char *id, int64_t *bytes,
                         sandbox_hv_error_t *err)
{
    int torn;
    size_t len;
    unsigned char *data;
    const unsigned char *part;
    sandbox_hv_conn_t *conn;
    sandbox_checkpoint_t c;

    *bytes = 0;

    conn = sandbox_hv_connection(err);
    if (conn == NULL
        || checkpoint_get(conn, id, &c, &data, &part, &len, &torn, err)
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    sandbox_checkpoint_free(&c);
    free(data);

    return sandbox_checkpoint_size(id, bytes, err);
}


/* Fills the strings of *c from the XML, malloc'd; missing ones are NULL. */
static void
checkpoint_booted(sandbox_checkpoint_t *c, sandbox_hv_conn_t *conn,
                  sandbox_accel_t accel, const char *xml)
{
    c->template = sandbox_domain_xml_find(xml, "/domain/metadata/*/@template");
    c->version = sandbox_domain_xml_find(xml, "/domain/metadata/*/@version");
    c->kernel = sandbox_domain_xml_find(xml, "/domain/os/kernel");
    c->initrd = sandbox_domain_xml_find(xml, "/domain/os/initrd");
    c->cmdline = sandbox_domain_xml_cmdline(xml);
    c->machine = sandbox_domain_xml_find(xml, "/domain/os/type/@machine");
    c->accel = strdup(checkpoint_accel(accel));
    c->cpu = strdup(checkpoint_cpu(conn, accel));
    c->qemu = (int64_t) conn->facts.qemu;
}


sandbox_hv_status_t
sandbox_checkpoint_booted(sandbox_hv_conn_t *conn, virDomainPtr domain,
                          const char *xml, sandbox_accel_t accel,
                          sandbox_checkpoint_t *c, sandbox_hv_error_t *err)
{
    const char *name, *reason;
    virDomainInfo info;

    memset(c, 0, sizeof(*c));
    name = virDomainGetName(domain);

    if (virDomainGetInfo(domain, &info) < 0) {
        return sandbox_hv_fail(err, conn, "cannot look at \"%s\"", name);
    }

    checkpoint_booted(c, conn, accel, xml);
    c->vcpus = info.nrVirtCpu;
    c->memory_mb = (int64_t) (info.maxMem / 1024);

    reason = c->template && c->version && c->kernel && c->initrd && c->cmdline
                     && c->machine && c->accel && c->cpu
                 ? checkpoint_foreign(conn, accel, c)
                 : "its domain does not say what it was booted from";

    if (reason) {
        sandbox_checkpoint_free(c);
        return sandbox_hv_set(err, SANDBOX_HV_NO_CHECKPOINT, "\"%s\": %s", name,
                              reason);
    }

    return sandbox_hv_ok(err);
}


/* The content of "<id>.state", malloc'd; NULL with *err. */
static unsigned char *
checkpoint_content(const sandbox_checkpoint_t *c, int fd, size_t *size,
                   sandbox_hv_error_t *err)
{
    size_t len;
    unsigned char *data;
    const unsigned char *state;

    state = sandbox_checkpoint_map(fd, &len);
    if (state == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "QEMU's device state of \"%s\" cannot be read",
                              c->id);
        return NULL;
    }

    data = sandbox_checkpoint_write(c, state, len, size);
    (void) munmap((void *) state, len);

    if (data == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
    }

    return data;
}


/*
 * The worker itself writes what was taken, as it may where takes are possible:
 * after an upload libvirtd looks into each file of the directory, and creates
 * wait.  A shape's file is QEMU's: another host with the same libvirt may have
 * QEMU open it (sandbox_checkpoint_receive()).
 */
static sandbox_hv_status_t
checkpoint_put(sandbox_hv_conn_t *conn, const char *id, const char *name,
               const unsigned char *data, size_t size, sandbox_hv_error_t *err)
{
    int exists;
    char path[SANDBOX_HV_PATH_SIZE];

    if (sandbox_hv_is_local() && !sandbox_checkpoint_is_shape(id)
        && sandbox_disk_write(name, data, size, err))
    {
        return err->status;
    }

    return sandbox_disk_put(conn, name, data, size, (long long) size, path,
                            &exists, err);
}


sandbox_hv_status_t
sandbox_checkpoint_seal(sandbox_hv_conn_t *conn, int state,
                        const sandbox_checkpoint_t *c, int durable, int sync,
                        sandbox_hv_status_t (*may)(void *data,
                                                   sandbox_hv_error_t *err),
                        void *data, sandbox_hv_error_t *err)
{
    size_t size;
    char name[SANDBOX_CHECKPOINT_NAME_SIZE];
    unsigned char *content;
    sandbox_hv_error_t ignored;

    content = checkpoint_content(c, state, &size, err);

    if (content == NULL) {
        return err->status;
    }

    (void) snprintf(name, sizeof(name), "%s" SANDBOX_CHECKPOINT_SUFFIX, c->id);

    /*
     * Memory and disk are synced before the file that vouches for them, which
     * may take long; and a caller that is told OK may rely on that file after a
     * power cut.
     */
    if ((!durable || sandbox_disk_sync(sync, err) == SANDBOX_HV_OK)
        && (may == NULL || may(data, err) == SANDBOX_HV_OK)
        && checkpoint_put(conn, c->id, name, content, size, err)
               == SANDBOX_HV_OK
        && durable && sandbox_disk_sync(sync, err) != SANDBOX_HV_OK
        && (may == NULL || may(data, &ignored) == SANDBOX_HV_OK))
    {
        (void) sandbox_disk_remove(conn, name, &ignored);
    }

    free(content);
    return err->status;
}


static sandbox_hv_status_t
checkpoint_suspend(sandbox_hv_conn_t *conn, virDomainPtr domain,
                   sandbox_hv_error_t *err)
{
    const char *name;

    name = virDomainGetName(domain);

    if (virDomainSuspend(domain) < 0) {
        return sandbox_hv_fail(err, conn, "cannot suspend \"%s\"", name);
    }

    return sandbox_hv_ok(err);
}


static sandbox_hv_status_t
checkpoint_ready(const sandbox_checkpoint_boot_t *boot, sandbox_hv_error_t *err)
{
    sandbox_channel_t *ch;

    if (sandbox_channel_open(&ch, boot->id, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    (void) boot->ready(boot->data, ch, boot->deadline_ms, err);
    sandbox_channel_close(ch);

    return err->status;
}


/* All members of *c are borrowed, so *c is not freed. */
static void
checkpoint_describe(sandbox_checkpoint_t *c, sandbox_hv_conn_t *conn,
                    sandbox_accel_t accel,
                    const sandbox_checkpoint_boot_t *boot,
                    sandbox_checkpoint_names_t *names)
{
    const sandbox_template_t *t;

    t = boot->template;

    memset(c, 0, sizeof(*c));
    c->id = (char *) boot->id;
    c->template = t->name;
    c->version = t->version;
    c->kernel = t->kernel;
    c->initrd = t->initrd;
    c->cmdline = t->cmdline;
    c->machine = conn->facts.machine;
    c->accel = (char *) checkpoint_accel(accel);
    c->cpu = (char *) checkpoint_cpu(conn, accel);
    c->ram = names->ram;
    c->qemu = (int64_t) conn->facts.qemu;
    c->vcpus = boot->vcpus;
    c->memory_mb = boot->memory_mb;
    c->disk_mb = t->disk_mb;
    c->layers[0] = names->disk_path;
    c->layers[1] = t->disk;
}


virDomainPtr
sandbox_checkpoint_domain(sandbox_hv_conn_t *conn,
                          const sandbox_checkpoint_t *c, const char *id,
                          const sandbox_domain_xml_t *host, unsigned flags,
                          sandbox_hv_error_t *err)
{
    char tap[16];
    sandbox_template_t template;
    sandbox_domain_spec_t spec;

    /*
     * The network card must be what it will be in the children, down to the
     * offloads of the host's side; its MAC address is never seen.
     */
    (void) snprintf(tap, sizeof(tap), "sbc%.8s", host->uuid);

    memset(&template, 0, sizeof(template));
    template.kernel = c->kernel;
    template.initrd = c->initrd;
    template.cmdline = c->cmdline;

    memset(&spec, 0, sizeof(spec));
    spec.id = id;
    spec.tenant = "";
    spec.operation = "checkpoint";
    spec.mac = "02:00:00:00:00:01";
    spec.tap = tap;
    spec.vcpus = (int) c->vcpus;
    spec.memory_mb = c->memory_mb;
    spec.template = &template;

    return sandbox_domain_start(conn, &spec, host, flags, err);
}


/* Starts the domain that boots; NULL with *err, and files may be left then. */
static virDomainPtr
checkpoint_maker(sandbox_hv_conn_t *conn, sandbox_accel_t accel,
                 const char *uuid, const sandbox_checkpoint_t *c,
                 sandbox_checkpoint_names_t *names, sandbox_hv_error_t *err)
{
    int replaced;
    sandbox_domain_xml_t host;
    sandbox_domain_ram_t ram;

    if (sandbox_disk_ram(conn, names->ram, c->memory_mb, names->ram_path,
                         &replaced, err)
            != SANDBOX_HV_OK
        || sandbox_disk_create(conn, names->stem, c->layers[1], c->disk_mb,
                               names->disk_path, &replaced, err)
               != SANDBOX_HV_OK)
    {
        return NULL;
    }

    ram.path = names->ram_path;
    ram.shared = 1;
    ram.incoming = 0;

    sandbox_domain_host(&host, conn, accel);
    host.uuid = uuid;
    host.disk = names->disk_path;
    host.layers = (const char *const *) &c->layers[1];
    host.ram = &ram;

    return sandbox_checkpoint_domain(conn, c, c->id, &host, VIR_DOMAIN_NONE,
                                     err);
}


/* The booted domain becomes a checkpoint. */
static sandbox_hv_status_t
checkpoint_keep(sandbox_hv_conn_t *conn, virDomainPtr domain,
                const sandbox_checkpoint_boot_t *boot,
                const sandbox_checkpoint_t *c, int sync,
                sandbox_hv_error_t *err)
{
    int state;

    if (checkpoint_ready(boot, err) != SANDBOX_HV_OK
        || checkpoint_suspend(conn, domain, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    state = sandbox_checkpoint_save(conn, domain, c->id, err);

    if (state != -1) {
        (void) sandbox_checkpoint_seal(conn, state, c, 1, sync, NULL, NULL,
                                       err);
        (void) close(state);
    }

    return err->status;
}


static void
checkpoint_unmake(sandbox_hv_conn_t *conn,
                  const sandbox_checkpoint_names_t *names)
{
    sandbox_hv_error_t ignored;

    (void) sandbox_disk_remove(conn, names->ram, &ignored);
    (void) sandbox_disk_remove(conn, names->disk, &ignored);
}


static sandbox_hv_status_t
checkpoint_make(sandbox_hv_conn_t *conn, sandbox_accel_t accel,
                const char *uuid, sandbox_checkpoint_boot_t *boot,
                sandbox_hv_error_t *err)
{
    int sync;
    virDomainPtr domain;
    sandbox_hv_error_t ended;
    sandbox_checkpoint_t c;
    sandbox_checkpoint_names_t names;

    if (sandbox_checkpoint_names(&names, boot->id) != 0) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the host has no randomness");
    }

    checkpoint_describe(&c, conn, accel, boot, &names);
    sync = sandbox_disk_sync_open();
    domain = checkpoint_maker(conn, accel, uuid, &c, &names, err);

    if (domain) {
        (void) checkpoint_keep(conn, domain, boot, &c, sync, err);
        (void) virDomainFree(domain);
    }

    if (sync != -1) {
        (void) close(sync);
    }

    if (domain == NULL) {
        checkpoint_unmake(conn, &names);
        return err->status;
    }

    /* after its end nothing can write to the files */
    if (sandbox_domain_end(conn, uuid, &ended) != SANDBOX_HV_OK
        && err->status == SANDBOX_HV_OK)
    {
        *err = ended;
    }

    if (err->status == SANDBOX_HV_OK) {
        boot->made = 1;
    } else {
        checkpoint_unmake(conn, &names);
    }

    return err->status;
}


/* With the lock held: nobody else makes or removes boot checkpoints. */
static sandbox_hv_status_t
checkpoint_boot(sandbox_hv_conn_t *conn, sandbox_accel_t accel,
                const char *uuid, sandbox_checkpoint_boot_t *boot,
                sandbox_hv_error_t *err)
{
    int torn;
    sandbox_hv_error_t ended;
    sandbox_checkpoint_t c;

    (void) sandbox_checkpoint_load(conn, boot->id, accel, &c, NULL, &torn, err);

    if (err->status == SANDBOX_HV_OK) {
        sandbox_checkpoint_free(&c);

    } else if (err->status != SANDBOX_HV_NO_CHECKPOINT) {
        return err->status;
    }

    /* the domain of a maker that died, before or after it wrote the state */
    if (sandbox_domain_end(conn, uuid, &ended) != SANDBOX_HV_OK
        && err->status != SANDBOX_HV_OK)
    {
        *err = ended;
        return err->status;
    }

    if (err->status == SANDBOX_HV_OK) {
        return SANDBOX_HV_OK;
    }

    if (torn) {
        sandbox_hv_log(SANDBOX_HV_LOG_WARN, "%s: it is made anew",
                       err->message);

        /* IN_USE: memory and disk stay for the children; ours have new names */
        if (sandbox_checkpoint_remove(conn, boot->id, 0, err) != SANDBOX_HV_OK
            && err->status != SANDBOX_HV_IN_USE)
        {
            return err->status;
        }
    }

    if (sandbox_checkpoint_room(conn, boot->id, boot->max, err)
        != SANDBOX_HV_OK) {
        return err->status;
    }

    return checkpoint_make(conn, accel, uuid, boot, err);
}


sandbox_hv_status_t
sandbox_checkpoint_boot(sandbox_checkpoint_boot_t *boot,
                        sandbox_hv_error_t *err)
{
    int lock;
    char uuid[SANDBOX_UUID_SIZE];
    sandbox_accel_t accel;
    sandbox_hv_conn_t *conn;

    boot->made = 0;

    if (sandbox_hypervisor_accel(&accel, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    conn = sandbox_hv_connection(err);
    if (conn == NULL) {
        return err->status;
    }

    if (sandbox_id_uuid(uuid, boot->id) != 0) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "no UUID for \"%s\"",
                              boot->id);
    }

    lock = sandbox_checkpoint_lock(boot->deadline_ms, err);

    if (lock != -1) {
        (void) checkpoint_boot(conn, accel, uuid, boot, err);
        (void) close(lock);
    }

    return err->status;
}
