/*
 * Which version this is, from sandbox_version.h (made by the build).  A file of
 * its own, so that a commit has nothing else compiled again.
 */

#include "ngx_http_sandbox_metrics.h"

#include "sandbox_version.h"


const char ngx_http_sandbox_version[] = SANDBOX_VERSION;
