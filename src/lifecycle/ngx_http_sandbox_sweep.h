/* Boot checkpoints that nobody needs any more: docs/checkpoints.md. */

#ifndef NGX_HTTP_SANDBOX_SWEEP_H
#define NGX_HTTP_SANDBOX_SWEEP_H

/*
 * Removes them, if that was not done a short while ago.  In a pool thread of
 * the worker that reconciles, one call at a time.  Nothing hangs on it, so a
 * failure waits for the next call.
 */
void ngx_http_sandbox_sweep(void);

#endif
