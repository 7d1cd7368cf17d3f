/*
 * A machine's memory as it is at one instant, copied out of its QEMU process
 * while that stands still, or goes on and sends what it is about to change.
 *
 * The machine's memory is a private mapping of a file, its base: a page is the
 * base's until the machine writes to it.  So the base is copied first, while
 * the machine runs, and the pages that are its own after the instant.
 *
 * Not for other rooms; one thread at a time.
 */

#ifndef SANDBOX_COPY_H
#define SANDBOX_COPY_H

#include "sandbox_hv.h"

typedef struct sandbox_copy_s sandbox_copy_t;

/*
 * What a machine runs from: the file of mb MiB at path.  NULL with *err, as
 * where there is no broker (sandbox_broker.h), or QEMU has it mapped in another
 * way.  deadline: monotonic ms, for all of it.
 */
sandbox_copy_t *
sandbox_copy_open(const char *sandbox, const char *path, int64_t mb,
                  int64_t deadline, sandbox_hv_error_t *err);
/* May be NULL. */
void sandbox_copy_close(sandbox_copy_t *c);

/* How many pages are the machine's own by now; SIZE_MAX: it cannot be told. */
size_t sandbox_copy_pages(sandbox_copy_t *c);

/*
 * What is not the machine's own by now goes to the file `to`, which is empty,
 * of that length, and stays the caller's.  NO_CAPACITY: there is no room.
 */
sandbox_hv_status_t
sandbox_copy_base(sandbox_copy_t *c, int to, sandbox_hv_error_t *err);

/*
 * Waits, ms at most, until QEMU has all of the memory mapped, as it has when it
 * has read all of it.
 */
void sandbox_copy_mapped(sandbox_copy_t *c, int64_t ms);

/*
 * Of a machine that stands still, before its memory is protected: whose its
 * pages are, which cannot be told afterwards where none is mapped, so that
 * these would all be read of the process.  Up to 40 ns a page.  In any thread.
 */
sandbox_hv_status_t
sandbox_copy_look(sandbox_copy_t *c, sandbox_hv_error_t *err);

/* After sandbox_copy_base(), while the machine stands still: the rest. */
sandbox_hv_status_t
sandbox_copy_still(sandbox_copy_t *c, sandbox_hv_error_t *err);

/*
 * After sandbox_copy_base(), of a machine whose QEMU sends its memory
 * (background-snapshot) to the pipe that is read from here without waiting: the
 * rest, as it was when QEMU began to.  A page that the machine is about to
 * change is in the pipe before it can, so what comes from there stands above
 * what was read of the process.  When it returns OK the file is complete, and
 * what is still sent is of no use; the pipe has to be read all the same. *stop,
 * set by any thread, ends it.
 */
sandbox_hv_status_t sandbox_copy_live(sandbox_copy_t *c, int pipe,
                                      const int *stop, sandbox_hv_error_t *err);

#endif
