/*
 * Copying a sandbox that goes on: with the capability "background-snapshot"
 * QEMU write-protects the memory of a machine that stands still, lets it run
 * again and sends the memory as it was; a vCPU that writes to a page waits
 * until that page is sent.
 */

#define _GNU_SOURCE

#include "sandbox_checkpoint_take.h"
#include "sandbox_memory.h"
#include "sandbox_qmp.h"
#include "sandbox_time.h"

#include <fcntl.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <unistd.h>

#define LIVE_PIPE 1048576

/*
 * A source with fewer own pages than this stands still for the copying: 10 ms,
 * about as long as write-protecting its memory would take.
 */
#ifndef SANDBOX_LIVE_PAGES
#define SANDBOX_LIVE_PAGES 4096
#endif

/*
 * Versions of QEMU before this prepare a copying without the big lock, so that
 * the source can be suspended while QEMU waits.  The source's version is of the
 * host's series: else its checkpoint would not have been loaded.
 */
#define LIVE_BEGIN_BEFORE 8000000

/* From this version QEMU does not resume a machine that stood still before. */
#define LIVE_WAKE_SINCE 9000000

/* How long QEMU may take to read a MiB; it usually takes an eighth. */
#define LIVE_READ_MS 1

/* At least this is waited for each MiB: QEMU reads mapped pages as well. */
#define LIVE_READ_MAPPED_US 80

/*
 * The interval of looking whether the source runs, and the number of such turns
 * between looks whether it never will.
 */
#define LIVE_TURN_MS 2
#define LIVE_LOOK 32


static void
live_close_end(sandbox_taking_t *t, int i)
{
    if (t->pipe.ends[i] != -1) {
        (void) close(t->pipe.ends[i]);
        t->pipe.ends[i] = -1;
    }
}


static void
live_close(sandbox_taking_t *t)
{
    int i;

    for (i = 0; i < 3; i++) {
        live_close_end(t, i);
    }
}


/*
 * The pipe has a name, and the source's QEMU itself keeps an end open to read
 * from: an error of writing would leave the memory protected, and nobody would
 * serve the vCPUs that write to it.  So, whichever other process dies, QEMU
 * waits until the rest is read away.
 */
static sandbox_hv_status_t
live_open(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int *ends;

    ends = t->pipe.ends;

    if (sandbox_memory_fifo(t->take->id, 1, ends) != 0) {
        return sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "no pipe");
    }

    /* fewer switches between writer and reader; a smaller pipe does no harm */
    (void) fcntl(ends[0], F_SETPIPE_SZ, LIVE_PIPE);

    if (sandbox_monitor_fd(t->conn, t->source, SANDBOX_TAKING_READER, ends[2],
                           err)
        != SANDBOX_HV_OK)
    {
        return err->status;
    }

    return sandbox_taking_source(t, ends[0], err);
}


/*
 * QEMU first reads all of the memory, so that all of it can be protected, then
 * sends a header, and only then stops the machine.  With the pipe full the
 * header has to wait, and the reading is done before the source stands still.
 */
static sandbox_hv_status_t
live_begin(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int fd, flags;
    ssize_t n;
    static const char filler[4096];

    fd = t->pipe.ends[0];
    flags = fcntl(fd, F_GETFL);
    (void) fcntl(fd, F_SETFL, flags | O_NONBLOCK);

    while ((n = write(fd, filler, sizeof(filler))) > 0) {
        t->pipe.filler += (size_t) n;
    }

    (void) fcntl(fd, F_SETFL, flags);
    t->pipe.begun_ms = sandbox_time_monotonic_ms();

    return sandbox_monitor_migrate(t->conn, t->source, 0,
                                   SANDBOX_CHECKPOINT_URI, err);
}


/* The source stands still and is flipped: empties the pipe, so QEMU goes on. */
static sandbox_hv_status_t
live_release(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int begins;
    ssize_t n;
    sandbox_taking_pipe_t *pipe;
    char piece[4096];

    pipe = &t->pipe;

    if (sandbox_monitor_begins(t->conn, t->source, &begins, err)
        != SANDBOX_HV_OK) {
        return err->status;
    }

    /* else the memory might be of an instant before the disk's */
    if (!begins) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "QEMU did not wait with stopping the machine");
    }

    for (; pipe->filler; pipe->filler -= (size_t) n) {
        n = read(pipe->ends[2], piece,
                 pipe->filler < sizeof(piece) ? pipe->filler : sizeof(piece));
        if (n <= 0) {
            return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                                  "the pipe cannot be read");
        }
    }

    return err->status;
}


/* Logs once in a process: what would change it also restarts the process. */
static void
live_not_live(const char *why)
{
    static int said;

    if (!__atomic_exchange_n(&said, 1, __ATOMIC_RELAXED)) {
        sandbox_hv_log(SANDBOX_HV_LOG_WARN,
                       "a sandbox stood still while it was copied: %s", why);
    }
}


/*
 * Holds the file on tmpfs that the source's memory maps, and reserves all of
 * its pages: QEMU will read the whole file, and reading a hole allocates a
 * page.
 */
static sandbox_hv_status_t
live_reserve(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    char path[SANDBOX_HV_PATH_SIZE];
    const char *name;

    name = sandbox_memory_name(t->ram);
    t->held = name ? sandbox_memory_hold(name, t->kind.memory_mb,
                                         SANDBOX_MEMORY_HOLD_MS, path)
                   : -1;

    if (t->held == -1) {
        return sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY,
                              "its memory is not on tmpfs");
    }

    return sandbox_memory_reserve(t->conn, t->held, t->kind.memory_mb, err);
}


static void
live_let_go(sandbox_taking_t *t)
{
    if (t->held != -1) {
        (void) close(t->held);
        t->held = -1;
    }
}


/*
 * 1 if the source can be copied while it runs; its memory is held then.  QEMU
 * refuses the capability if not: it asks the kernel, and checks what the memory
 * is made of.
 */
static int
live_hold(sandbox_taking_t *t)
{
    sandbox_hv_error_t err;

    /* most likely woken from a hibernation: it runs from disk */
    if (sandbox_memory_name(t->ram) == NULL) {
        return 0;
    }

    if (live_reserve(t, &err) != SANDBOX_HV_OK
        || sandbox_monitor_capability(t->conn, t->source, SANDBOX_MONITOR_LIVE,
                                      1, &err)
               != SANDBOX_HV_OK)
    {
        live_let_go(t);
        live_not_live(err.message);
        return 0;
    }

    return 1;
}


static void *
live_touch(void *data)
{
    sandbox_taking_t *t = data;

    t->late = !sandbox_monitor_touch(t->conn, t->source, t->kind.memory_mb,
                                     t->touch_until_ms, &t->hurry);

    return NULL;
}


void
sandbox_taking_join(int *running, pthread_t thread)
{
    if (*running) {
        (void) pthread_join(thread, NULL);
        *running = 0;
    }
}


void
sandbox_taking_live(sandbox_taking_t *t)
{
    t->live = t->copy != NULL && t->take->keep
              && sandbox_copy_pages(t->copy) >= SANDBOX_LIVE_PAGES
              && live_hold(t);
}


sandbox_hv_status_t
sandbox_taking_live_begin(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int64_t now;

    (void) sandbox_hv_ok(err);

    if (!t->live) {
        return err->status;
    }

    if (t->conn->facts.qemu < LIVE_BEGIN_BEFORE) {
        return live_open(t, err) == SANDBOX_HV_OK ? live_begin(t, err)
                                                  : err->status;
    }

    now = sandbox_time_monotonic_ms();
    t->touch_until_ms = now + (t->take->deadline_ms - now) / 2;
    t->hurry = 0;
    t->late = 0;
    t->touching = sandbox_hv_thread(&t->toucher, live_touch, t) == 0;

    return live_open(t, err);
}


/* The source stands still for the copying; QEMU was told to send nothing. */
static void
live_give_up(sandbox_taking_t *t)
{
    live_not_live("QEMU takes too long to read its memory");
    sandbox_memory_fifo_remove(t->take->id);
    sandbox_taking_live_close(t);
    t->live = 0;
}


/* Pages that QEMU has not read by then it reads in the pause. */
void
sandbox_taking_live_ready(sandbox_taking_t *t)
{
    int64_t left;

    sandbox_taking_join(&t->touching, t->toucher);

    if (t->live && t->late) {
        live_give_up(t);
        return;
    }

    if (!t->pipe.begun_ms) {
        return;
    }

    sandbox_copy_mapped(t->copy, LIVE_READ_MS * t->kind.memory_mb);

    left = t->pipe.begun_ms + LIVE_READ_MAPPED_US * t->kind.memory_mb / 1000
           - sandbox_time_monotonic_ms();

    if (left > 0) {
        sandbox_hv_sleep_ms((int) left);
    }
}


void
sandbox_taking_live_close(sandbox_taking_t *t)
{
    __atomic_store_n(&t->hurry, 1, __ATOMIC_RELAXED);
    sandbox_taking_join(&t->touching, t->toucher);
    live_close(t);
    live_let_go(t);
    t->pipe.filler = 0;
    t->pipe.begun_ms = 0;
}


/*
 * 1 with *err if there is no use in waiting any longer.  This is not checked in
 * each turn, because the source needs the same processors.
 */
static int
live_is_over(sandbox_taking_t *t, int turn, sandbox_hv_error_t *err)
{
    if (turn % LIVE_LOOK != LIVE_LOOK - 1) {
        return 0;
    }

    if (sandbox_time_monotonic_ms() >= t->take->deadline_ms) {
        (void) sandbox_hv_set(err, SANDBOX_HV_TIMEOUT,
                              "QEMU did not let the machine run again in time");
        return 1;
    }

    if (sandbox_taking_direct_broken(t)) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "what reads its memory has failed");
        return 1;
    }

    return 0;
}


static void *
live_resume(void *data)
{
    sandbox_taking_t *t = data;

    (void) virDomainResume(t->source);

    return NULL;
}


void
sandbox_taking_woken(sandbox_taking_t *t)
{
    sandbox_taking_join(&t->waking, t->waker);
}


/*
 * Resumes the source when all of its memory is protected, which is so when the
 * first page has been sent.  A thread does it, because the call may have to
 * wait until a page is sent, as QEMU does: see below.
 */
static sandbox_hv_status_t
live_wake(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int sends, turn;
    char *answer;

    for (turn = 0;; turn++, sandbox_hv_sleep_ms(LIVE_TURN_MS)) {
        if (sandbox_monitor_query(t->conn, t->source, "query-migrate", &answer,
                                  err)
            != SANDBOX_HV_OK)
        {
            return err->status;
        }

        sends = sandbox_qmp_sends(answer);
        free(answer);

        if (sends) {
            break;
        }

        if (live_is_over(t, turn, err)) {
            return err->status;
        }
    }

    t->waking = sandbox_hv_thread(&t->waker, live_resume, t) == 0;

    return t->waking ? err->status
                     : sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "no thread");
}


/*
 * Waits until the source runs again, by itself or by a thread of ours.  QEMU's
 * monitor must not be asked: it may wait for a page that is not sent yet, and
 * the sender for the reader of the pipe.  libvirt learns the state by an event.
 */
static sandbox_hv_status_t
live_wait(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int state, turn;

    for (turn = 0;; turn++, sandbox_hv_sleep_ms(LIVE_TURN_MS)) {
        if (virDomainGetState(t->source, &state, NULL, 0) < 0) {
            return sandbox_hv_fail(err, t->conn, "cannot look at \"%s\"",
                                   t->take->sandbox);
        }

        if (state == VIR_DOMAIN_RUNNING) {
            return sandbox_hv_ok(err);
        }

        if (live_is_over(t, turn, err)) {
            return err->status;
        }
    }
}


/* Has the suspended source send its memory, and starts the reading thread. */
static sandbox_hv_status_t
live_send(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    if (sandbox_taking_direct_looked(t, err) != SANDBOX_HV_OK
        || sandbox_taking_stands(t, err) != SANDBOX_HV_OK
        || (t->pipe.begun_ms
                ? live_release(t, err)
                : sandbox_monitor_migrate(t->conn, t->source, 0,
                                          SANDBOX_CHECKPOINT_URI, err))
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    /* when QEMU closes its end, the pipe has no writer */
    live_close_end(t, 0);
    live_close_end(t, 2);

    return sandbox_taking_direct_start(t, err);
}


sandbox_hv_status_t
sandbox_taking_live_run(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    if (live_send(t, err) != SANDBOX_HV_OK
        || (t->conn->facts.qemu >= LIVE_WAKE_SINCE
            && live_wake(t, err) != SANDBOX_HV_OK))
    {
        return err->status;
    }

    return live_wait(t, err);
}
