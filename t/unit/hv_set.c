/* What a unit of the hypervisor's room says its errors with. */

#include "sandbox_hv.h"

#include <stdarg.h>
#include <stdio.h>


sandbox_hv_status_t
sandbox_hv_set(sandbox_hv_error_t *err, sandbox_hv_status_t status,
               const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void) vsnprintf(err->message, sizeof(err->message), fmt, args);
    va_end(args);
    err->status = status;

    return status;
}
