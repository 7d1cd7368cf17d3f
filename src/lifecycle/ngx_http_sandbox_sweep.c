/* Removes boot checkpoints that are not needed; see the header. */

#include "ngx_http_sandbox_sweep.h"

#include "ngx_http_sandbox_module.h"
#include "sandbox_checkpoint.h"
#include "sandbox_time.h"

#define NGX_HTTP_SANDBOX_SWEEP_MS 60000


void
ngx_http_sandbox_sweep(void)
{
    int64_t now;
    sandbox_hv_error_t ignored;
    ngx_http_sandbox_main_conf_t *mcf;
    static int64_t next;
    static sandbox_template_t *none[] = { NULL };

    mcf = ngx_http_sandbox_worker.conf;
    now = sandbox_time_monotonic_ms();

    if (now < next) {
        return;
    }

    next = now + NGX_HTTP_SANDBOX_SWEEP_MS;

    (void) sandbox_checkpoint_sweep(mcf->checkpoints ? mcf->templates : none,
                                    &ignored);
}
