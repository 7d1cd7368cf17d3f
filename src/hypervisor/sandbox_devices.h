/*
 * The state of the devices of a machine that is to go on, without its memory.
 *
 * What QEMU saves so (xen-save-devices-state) cannot be loaded alone: a loading
 * machine first expects the machine type and the list of memory blocks.  Both
 * are as in the checkpoint that the machine was started from, so they are taken
 * from the device state of that checkpoint, the origin.
 *
 * Between the saving of the devices and the copying of the last page nobody may
 * send to the guest: the channel's device accepts data even while the machine
 * stands still, and writes to its memory.
 *
 * Not for other rooms; one thread at a time.
 */

#ifndef SANDBOX_DEVICES_H
#define SANDBOX_DEVICES_H

#include "sandbox_hv.h"

typedef struct {
    int origin;    /* the origin's descriptor, or -1 */
    size_t prefix; /* bytes at the begin of the origin that are used */
    int saved;     /* the memfd that QEMU saves the devices to, or -1 */
    int set;       /* number of QEMU's fdset for saved; 0: there is none */
} sandbox_devices_t;

void sandbox_devices_init(sandbox_devices_t *d);

/*
 * Called before the machine stands still.  The caller keeps origin open until
 * sandbox_devices_close().  FAILED as well if the origin has memory that the
 * machine could have changed since.
 */
sandbox_hv_status_t
sandbox_devices_open(sandbox_devices_t *d, sandbox_hv_conn_t *conn,
                     virDomainPtr domain, int origin, int64_t memory_mb,
                     sandbox_hv_error_t *err);
/* Saves the devices, while the machine stands still. */
sandbox_hv_status_t
sandbox_devices_save(sandbox_devices_t *d, sandbox_hv_conn_t *conn,
                     virDomainPtr domain, sandbox_hv_error_t *err);
/*
 * After that, at any time: a device state that a machine can be started with,
 * to be closed by the caller; -1 with *err.
 */
int sandbox_devices_join(const sandbox_devices_t *d, sandbox_hv_error_t *err);
/*
 * May be repeated; the domain may have ended.  domain NULL: QEMU might not
 * answer, so it keeps its descriptor until a later call with the domain.
 */
void sandbox_devices_close(sandbox_devices_t *d, sandbox_hv_conn_t *conn,
                           virDomainPtr domain);

#endif
