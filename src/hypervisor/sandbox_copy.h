/*
 * A machine's memory at one instant, copied out of its QEMU process while the
 * machine stands still, or runs and QEMU sends each page before it is changed.
 *
 * The machine's memory is a private mapping of a file, the base: a page is the
 * base's until the machine writes to it, and then the machine's own.  So the
 * base is copied first, while the machine runs; its own pages after the
 * instant.
 *
 * Not for other rooms; one thread at a time.
 */

#ifndef SANDBOX_COPY_H
#define SANDBOX_COPY_H

#include "sandbox_hv.h"

typedef struct sandbox_copy_s sandbox_copy_t;

/*
 * path: the base that the machine runs from, of mb MiB.  deadline: monotonic
 * ms, for all of the copying.  NULL with *err, also if there is no broker
 * (sandbox_broker.h), or QEMU has the base mapped in another way.
 */
sandbox_copy_t *
sandbox_copy_open(const char *sandbox, const char *path, int64_t mb,
                  int64_t deadline, sandbox_hv_error_t *err);
/* May be NULL. */
void sandbox_copy_close(sandbox_copy_t *c);

/* How many pages are the machine's own by now; SIZE_MAX: unknown. */
size_t sandbox_copy_pages(sandbox_copy_t *c);

/*
 * Copies the pages that are not the machine's own by now to the file `to`,
 * which is all holes, mb MiB long, and stays the caller's.  NO_CAPACITY: there
 * is no room.
 */
sandbox_hv_status_t
sandbox_copy_base(sandbox_copy_t *c, int to, sandbox_hv_error_t *err);

/*
 * Waits, ms at most, until QEMU has all of the memory mapped, as is the case
 * once QEMU has read all of it.
 */
void sandbox_copy_mapped(sandbox_copy_t *c, int64_t ms);

/*
 * Notes which pages are the machine's own, while it stands still and its memory
 * is not protected yet.  Once protected, a page that is not mapped cannot be
 * told from an own one, and would be read from the process.  Up to 40 ns a
 * page.  In any thread.
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
 * is complete; what QEMU still sends is not needed, but the pipe has to be read
 * all the same.  *stop, set by any thread, ends the copying.
 */
sandbox_hv_status_t sandbox_copy_live(sandbox_copy_t *c, int pipe,
                                      const int *stop, sandbox_hv_error_t *err);

#endif
