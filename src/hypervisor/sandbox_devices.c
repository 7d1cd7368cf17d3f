/* The state of a machine's devices without its memory; see the header. */

#define _GNU_SOURCE

#include "sandbox_devices.h"
#include "sandbox_checkpoint_parts.h"
#include "sandbox_stream.h"
#include "sandbox_time.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* libvirt counts its own sets from 0. */
#define DEVICES_SET_FIRST 100000
#define DEVICES_SETS 1000000000

/* Bytes before the devices in what QEMU saves: a magic number, a version. */
#define DEVICES_HEAD 8

/* After the devices: a description of them, which may be empty. */
static const unsigned char devices_tail[] = { 6, 0, 0, 0, 2, '{', '}' };

/*
 * Memory blocks that no machine of ours can change: ROMs, and tables that the
 * firmware reads when it boots, which happens once (on_reboot is destroy).
 */
static const char *const devices_constant[] = { "pc.bios", "pc.rom", NULL };
#define DEVICES_CONSTANT_PREFIX "/rom@"
#define DEVICES_CONSTANT_SUFFIX ".rom"


typedef struct {
    uint64_t memory; /* bytes */
    int seen;        /* the guest's memory */
} devices_blocks_t;


static int
devices_is_constant(const char *name)
{
    size_t i, len;

    for (i = 0; devices_constant[i]; i++) {
        if (strcmp(name, devices_constant[i]) == 0) {
            return 1;
        }
    }

    len = strlen(name);

    return strncmp(name, DEVICES_CONSTANT_PREFIX,
                   sizeof(DEVICES_CONSTANT_PREFIX) - 1)
               == 0
           || (len >= sizeof(DEVICES_CONSTANT_SUFFIX)
               && strcmp(name + len - (sizeof(DEVICES_CONSTANT_SUFFIX) - 1),
                         DEVICES_CONSTANT_SUFFIX)
                      == 0);
}


static int
devices_block(void *data, const char *name, uint64_t length)
{
    devices_blocks_t *blocks = data;

    if (strcmp(name, SANDBOX_DOMAIN_RAM) == 0) {
        blocks->seen = length == blocks->memory;
        return blocks->seen ? 0 : -1;
    }

    return devices_is_constant(name) ? 0 : -1;
}


/* Refuses pages of the guest's memory: loading would overwrite the copy. */
static int
devices_page(void *data, const char *name, uint64_t offset,
             const unsigned char *content)
{
    (void) data;
    (void) offset;
    (void) content;

    return strcmp(name, SANDBOX_DOMAIN_RAM) == 0 ? -1 : 0;
}


/* Bytes before the devices in the origin; 0: the origin is not as expected. */
static size_t
devices_prefix(const unsigned char *state, size_t len, int64_t memory_mb)
{
    ssize_t n;
    sandbox_stream_t s;
    devices_blocks_t blocks;

    blocks.memory = (uint64_t) memory_mb * 1048576;
    blocks.seen = 0;

    sandbox_stream_init(&s);
    s.block = devices_block;
    s.page = devices_page;
    s.data = &blocks;

    n = sandbox_stream_feed(&s, state, len);

    return n > 0 && s.done && blocks.seen ? (size_t) n : 0;
}


static sandbox_hv_status_t
devices_origin(sandbox_devices_t *d, int64_t memory_mb, sandbox_hv_error_t *err)
{
    size_t len;
    const unsigned char *state;

    state = sandbox_checkpoint_map(d->origin, &len);

    if (state) {
        d->prefix = devices_prefix(state, len, memory_mb);
        (void) munmap((void *) state, len);
    }

    return d->prefix ? sandbox_hv_ok(err)
                     : sandbox_hv_set(err, SANDBOX_HV_FAILED,
                                      "the device state it was started with "
                                      "is of another kind");
}


void
sandbox_devices_init(sandbox_devices_t *d)
{
    d->origin = -1;
    d->prefix = 0;
    d->saved = -1;
    d->set = 0;
}


/* A second descriptor of fd for QEMU, which takes only a write-only one. */
static int
devices_writer(int fd)
{
    char path[64];

    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

    return open(path, O_WRONLY | O_CLOEXEC);
}


sandbox_hv_status_t
sandbox_devices_open(sandbox_devices_t *d, sandbox_hv_conn_t *conn,
                     virDomainPtr domain, int origin, int64_t memory_mb,
                     sandbox_hv_error_t *err)
{
    int fd, set;

    d->origin = origin;

    if (devices_origin(d, memory_mb, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    d->saved = sandbox_checkpoint_memory(NULL, 0);
    fd = d->saved == -1 ? -1 : devices_writer(d->saved);

    if (fd == -1) {
        return sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY,
                              "no memory for a device state: %s",
                              strerror(errno));
    }

    set =
        DEVICES_SET_FIRST + (int) (sandbox_time_monotonic_ms() % DEVICES_SETS);

    if (sandbox_monitor_fdset(conn, domain, set, fd, err) == SANDBOX_HV_OK) {
        d->set = set;
    }

    (void) close(fd);
    return err->status;
}


sandbox_hv_status_t
sandbox_devices_save(sandbox_devices_t *d, sandbox_hv_conn_t *conn,
                     virDomainPtr domain, sandbox_hv_error_t *err)
{
    return sandbox_monitor_devices(conn, domain, d->set, err);
}


static int
devices_joined(const sandbox_devices_t *d, const unsigned char *origin,
               const unsigned char *saved, size_t len)
{
    int fd;
    size_t size;
    unsigned char *data;

    size = d->prefix + len - DEVICES_HEAD + sizeof(devices_tail);
    data = malloc(size);

    if (data == NULL) {
        return -1;
    }

    memcpy(data, origin, d->prefix);
    memcpy(data + d->prefix, saved + DEVICES_HEAD, len - DEVICES_HEAD);
    memcpy(data + size - sizeof(devices_tail), devices_tail,
           sizeof(devices_tail));

    fd = sandbox_checkpoint_memory(data, size);
    free(data);

    return fd;
}


int
sandbox_devices_join(const sandbox_devices_t *d, sandbox_hv_error_t *err)
{
    int fd;
    size_t len, size;
    const unsigned char *origin, *saved;

    fd = -1;
    len = 0;
    size = 0;
    origin = sandbox_checkpoint_map(d->origin, &size);
    saved = sandbox_checkpoint_map(d->saved, &len);

    /* both must begin with the same magic number and version */
    if (origin && saved && size >= d->prefix && d->prefix > DEVICES_HEAD
        && len > DEVICES_HEAD && memcmp(origin, saved, DEVICES_HEAD) == 0)
    {
        fd = devices_joined(d, origin, saved, len);
    }

    if (fd == -1) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "QEMU's device state cannot be read");
    } else {
        (void) sandbox_hv_ok(err);
    }

    if (origin) {
        (void) munmap((void *) origin, size);
    }

    if (saved) {
        (void) munmap((void *) saved, len);
    }

    return fd;
}


void
sandbox_devices_close(sandbox_devices_t *d, sandbox_hv_conn_t *conn,
                      virDomainPtr domain)
{
    sandbox_hv_error_t ignored;

    if (d->set && domain) {
        (void) sandbox_monitor_fdset_close(conn, domain, d->set, &ignored);
        d->set = 0;
    }

    if (d->saved != -1) {
        (void) close(d->saved);
        d->saved = -1;
    }

    d->origin = -1;
    d->prefix = 0;
}
