/*
 * Chains of disks that got long by snapshots, forks and hibernations are made
 * flatter in the background: docs/checkpoints.md.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_FLATTEN_H
#define NGX_HTTP_SANDBOX_FLATTEN_H

/*
 * Looks at the disk of a sandbox that has just begun to run, and makes it
 * flatter if its chain is long; one at a time for each worker, for a minute at
 * most: what is not done then goes on by itself till the next take.  Nothing
 * hangs on it: what is not done now is done after a later start.
 */
void ngx_http_sandbox_flatten(const char *id);

#endif
