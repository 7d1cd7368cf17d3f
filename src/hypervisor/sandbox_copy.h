/*
 * Copies a machine's memory, as it is at one instant, out of its QEMU process,
 * after which the machine stands still, or runs while QEMU sends each page
 * before the machine changes it.
 *
 * The machine's memory is a private mapping of a file, the base: a page is the
 * base's until the machine writes to it, and then the machine's own.  So the
 * base's pages are copied before the instant, while the machine runs, and the
 * machine's own pages after it.
 *
 * The calls, in order: sandbox_copy_open(), _base(), perhaps _mapped() and
 * _look(), then _still() or _live(), and _close(); _pages() whenever wanted.
 *
 * Not for other rooms; a copy belongs to one thread at a time, which may block.
 */

#ifndef SANDBOX_COPY_H
#define SANDBOX_COPY_H

#include "sandbox_hv.h"

typedef struct sandbox_copy_s sandbox_copy_t;

/*
 * sandbox: the id of the machine's sandbox.  path: the base that the machine
 * runs from, of mb MiB.  deadline_ms: monotonic, for all of the copying.  NULL
 * with *err, also if there is no broker (sandbox_broker.h), or QEMU has the
 * base mapped in another way.
 */
sandbox_copy_t *
sandbox_copy_open(const char *sandbox, const char *path, int64_t mb,
                  int64_t deadline_ms, sandbox_hv_error_t *err);
/* Frees a copy, which may be NULL, and closes all files but `to`. */
void sandbox_copy_close(sandbox_copy_t *c);

/* The number of pages that are the machine's own by now; SIZE_MAX: unknown. */
size_t sandbox_copy_pages(sandbox_copy_t *c);

/*
 * Copies the pages that are not the machine's own by now to the file `to`,
 * which is all holes, mb MiB long, and stays the caller's; it must be open
 * until the copying is done.  NO_CAPACITY: there is no room; TIMEOUT: the
 * deadline has passed; so below.
 */
sandbox_hv_status_t
sandbox_copy_base(sandbox_copy_t *c, int to, sandbox_hv_error_t *err);

/*
 * Waits, about ms at most, until all of the memory is mapped in QEMU, which is
 * so once QEMU has read all of it.  Whether it is then is not told.
 */
void sandbox_copy_mapped(sandbox_copy_t *c, int64_t ms);

/*
 * Notes which pages are the machine's own, while it stands still and QEMU has
 * not write-protected its memory yet.  In protected memory, a page that is not
 * mapped cannot be told from an own one: without these notes it is read from
 * the process.  Takes up to 40 ns a page.
 */
sandbox_hv_status_t
sandbox_copy_look(sandbox_copy_t *c, sandbox_hv_error_t *err);

/* Copies the rest after sandbox_copy_base(), while the machine stands still. */
sandbox_hv_status_t
sandbox_copy_still(sandbox_copy_t *c, sandbox_hv_error_t *err);

/*
 * Copies the rest after sandbox_copy_base(), as it was when QEMU began to send
 * the memory (background-snapshot) to the pipe, whose reading end (O_NONBLOCK)
 * is `pipe`.  QEMU sends a page before it lets the machine change it, so a page
 * from the pipe replaces one that was read from the process.  On OK the file
 * is complete; QEMU may still send pages, which are not needed, but somebody
 * must read them, else QEMU blocks.  The copying fails soon after any thread
 * has set *stop (by an atomic store) to nonzero.
 */
sandbox_hv_status_t sandbox_copy_live(sandbox_copy_t *c, int pipe,
                                      const int *stop, sandbox_hv_error_t *err);

#endif
