/*
 * Shortens backing chains that snapshots, forks and hibernations have made
 * long, in the background: docs/checkpoints.md.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_FLATTEN_H
#define NGX_HTTP_SANDBOX_FLATTEN_H

/*
 * Looks at the disk of a sandbox that has just begun to run, and flattens its
 * backing chain if that is long.  Each worker waits for one flattening at a
 * time, for a minute at most; it then goes on by itself until the next take.
 * A worker that is shutting down begins none.  Nothing depends on the result:
 * what is not done now, because the sandbox's tenant has its share of the
 * threads or for another reason, is done after a later start.
 */
void ngx_http_sandbox_flatten(const char *id, const char *tenant);

#endif
