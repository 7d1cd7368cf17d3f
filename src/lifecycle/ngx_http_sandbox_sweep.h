/* Removes boot checkpoints that are not needed: docs/checkpoints.md. */

#ifndef NGX_HTTP_SANDBOX_SWEEP_H
#define NGX_HTTP_SANDBOX_SWEEP_H

/*
 * Removes them, unless that was done within the last minute.  Runs in a pool
 * thread of the worker that reconciles, one call at a time.  Nothing depends on
 * the result: a failure is not reported.
 */
void ngx_http_sandbox_sweep(void);

#endif
