/*
 * The state of the devices of a machine that is to go on, without its memory.
 *
 * What QEMU saves so (xen-save-devices-state) cannot be loaded alone: a machine
 * that is started wants to hear what kind it is and what memory it has first.
 * Both are as they were in the checkpoint that the machine was started from, so
 * they are taken from that one's device state.
 *
 * Between the devices' saving and the copying of the last page nobody may send
 * to the guest: the channel's device takes it also when the machine stands
 * still, and writes to its memory.
 *
 * Not for other rooms; one thread at a time.
 */

#ifndef SANDBOX_DEVICES_H
#define SANDBOX_DEVICES_H

#include "sandbox_hv.h"

typedef struct {
    int origin;    /* the device state of that checkpoint, or -1 */
    size_t prefix; /* what is used of it */
    int saved;     /* what QEMU writes to, or -1 */
    int set;       /* QEMU's number of that; 0: it has none */
} sandbox_devices_t;

void sandbox_devices_init(sandbox_devices_t *d);

/*
 * Before the machine stands still.  origin stays the caller's, till the end of
 * this.  FAILED as well if what is in it could have been changed since by the
 * machine.
 */
sandbox_hv_status_t
sandbox_devices_open(sandbox_devices_t *d, sandbox_hv_conn_t *conn,
                     virDomainPtr domain, int origin, int64_t memory_mb,
                     sandbox_hv_error_t *err);
/* While it stands still. */
sandbox_hv_status_t
sandbox_devices_save(sandbox_devices_t *d, sandbox_hv_conn_t *conn,
                     virDomainPtr domain, sandbox_hv_error_t *err);
/*
 * After that, at any time: a device state that a machine can be started with,
 * to be closed by the caller; -1 with *err.
 */
int sandbox_devices_join(const sandbox_devices_t *d, sandbox_hv_error_t *err);
/*
 * May be repeated; the domain may have ended.  NULL: one that might not answer,
 * which keeps a descriptor until this is done with it.
 */
void sandbox_devices_close(sandbox_devices_t *d, sandbox_hv_conn_t *conn,
                           virDomainPtr domain);

#endif
