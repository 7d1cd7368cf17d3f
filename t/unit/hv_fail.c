/* What a unit of the hypervisor's room says errors of libvirt's with. */

#include "sandbox_hv.h"


/* Without libvirt, and without the values of the message. */
sandbox_hv_status_t
sandbox_hv_fail(sandbox_hv_error_t *err, sandbox_hv_conn_t *conn,
                const char *fmt, ...)
{
    (void) conn;
    return sandbox_hv_set(err, SANDBOX_HV_FAILED, "%s", fmt);
}
