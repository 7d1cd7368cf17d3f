/*
 * Moving a running machine's memory and devices into another one, the
 * receiver, through a pipe.
 *
 * QEMU has two ways.  "migrate" of a machine that stands still sends what is
 * there.  With the capability "background-snapshot" QEMU stops the machine
 * itself, write-protects its memory, lets it run again and sends the memory as
 * it was: who writes to a page waits until that page is sent.  The second one
 * is for a source that goes on; where it cannot be had the first one does,
 * with a longer pause.
 */

#define _GNU_SOURCE

#include "sandbox_checkpoint_take.h"
#include "sandbox_domain_files.h"
#include "sandbox_memory.h"
#include "sandbox_qmp.h"
#include "sandbox_time.h"

#include <fcntl.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <unistd.h>

#define MOVE_PIPE 1048576

/*
 * Versions of QEMU that prepare a copying without their big lock; with it the
 * source could not be suspended while it waits.
 */
#define MOVE_BEGIN_BEFORE 8000000

/* Those that leave a machine that stood still before a copying as it was. */
#define MOVE_WAKE_SINCE 9000000

#define MOVE_READ_MS 10

/*
 * How often one looks whether the source runs, and after how many such turns
 * whether it never will.
 */
#define MOVE_TURN_MS 2
#define MOVE_LOOK 32


static void
move_close(sandbox_take_t *t)
{
    int i;

    for (i = 0; i < 3; i++) {
        if (t->pipe.ends[i] != -1) {
            (void) close(t->pipe.ends[i]);
            t->pipe.ends[i] = -1;
        }
    }
}


/*
 * What is sent while the source runs has a name, and the source itself keeps
 * it open to read from: an error of writing would leave its memory protected,
 * and nobody to serve those who write to it.  So whoever of the others dies,
 * the source waits until the rest is read away.
 */
static sandbox_hv_status_t
move_open(sandbox_take_t *t, sandbox_hv_error_t *err)
{
    int *ends;
    int pair[2];

    ends = t->pipe.ends;

    (void) sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");

    if (t->take->live) {
        if (sandbox_memory_fifo(t->take->id, 1, ends) != 0) {
            return sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "no pipe");
        }

        (void) sandbox_monitor_fd(t->conn, t->source, SANDBOX_TAKE_READER,
                                  ends[2], err);

    } else {
        if (pipe2(pair, O_CLOEXEC) == -1) {
            return sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "no pipe");
        }

        ends[0] = pair[1];
        ends[1] = pair[0];
    }

    /* fewer turns for the two; less is no harm */
    (void) fcntl(ends[0], F_SETPIPE_SZ, MOVE_PIPE);

    return err->status;
}


/* The pipe is theirs alone afterwards: when one dies, the other notices. */
static sandbox_hv_status_t
move_receive(sandbox_take_t *t, sandbox_hv_error_t *err)
{
    (void) sandbox_monitor_migrate(t->conn, t->receiver, 1,
                                   SANDBOX_CHECKPOINT_URI, err);
    move_close(t);
    return err->status;
}


/* The source gets its end, but for the command to send. */
static sandbox_hv_status_t
move_source(sandbox_take_t *t, sandbox_hv_error_t *err)
{
    /* the receiver shares its memory, and gets it all the same */
    if (move_open(t, err) != SANDBOX_HV_OK
        || sandbox_monitor_capability(t->conn, t->source, "x-ignore-shared", 0,
                                      err)
               != SANDBOX_HV_OK
        || sandbox_monitor_unlimited(t->conn, t->source, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    return sandbox_monitor_fd(t->conn, t->source, SANDBOX_CHECKPOINT_FD,
                              t->pipe.ends[0], err);
}


/*
 * QEMU first reads all of the memory, so that all of it can be protected, then
 * sends a header, and only then stops the machine.  With the pipe full the
 * header has to wait, and the reading is done before the source stands still.
 */
static sandbox_hv_status_t
move_begin(sandbox_take_t *t, sandbox_hv_error_t *err)
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
    t->pipe.begun = sandbox_time_monotonic_ms();

    return sandbox_monitor_migrate(t->conn, t->source, 0,
                                   SANDBOX_CHECKPOINT_URI, err);
}


/* It stands still, with another disk: now it may go on sending. */
static sandbox_hv_status_t
move_release(sandbox_take_t *t, sandbox_hv_error_t *err)
{
    int begins;
    ssize_t n;
    sandbox_take_pipe_t *pipe;
    char piece[4096];

    pipe = &t->pipe;

    if (sandbox_monitor_begins(t->conn, t->source, &begins, err)
        != SANDBOX_HV_OK) {
        return err->status;
    }

    /* or the memory might be of an instant before the disk's */
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


static sandbox_hv_status_t
move_connect(sandbox_take_t *t, sandbox_hv_error_t *err)
{
    if ((!t->pipe.begun && move_source(t, err) != SANDBOX_HV_OK)
        || sandbox_monitor_fd(t->conn, t->receiver, SANDBOX_CHECKPOINT_FD,
                              t->pipe.ends[1], err)
               != SANDBOX_HV_OK
        || t->pipe.begun)
    {
        return err->status;
    }

    return move_receive(t, err);
}


/* Once for each process; what would change it ends the process as well. */
static void
move_not_live(const char *why)
{
    static int said;

    if (!__atomic_exchange_n(&said, 1, __ATOMIC_RELAXED)) {
        sandbox_hv_log(SANDBOX_HV_LOG_WARN,
                       "a sandbox stood still while it was copied: %s", why);
    }
}


/*
 * Holds the file on tmpfs that the source's memory is a mapping of, with all of
 * its room: reading a hole makes a page, and QEMU will read all of it.  One
 * that was booted has its memory in no file, and a hole of that takes no page.
 */
static sandbox_hv_status_t
move_reserve(sandbox_take_t *t, sandbox_hv_error_t *err)
{
    char *xml;
    char path[SANDBOX_HV_PATH_SIZE];
    const char *name;
    sandbox_domain_files_t files;

    xml = virDomainGetXMLDesc(t->source, 0);

    if (xml == NULL || sandbox_domain_files_read(&files, xml) != 0) {
        free(xml);
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "it cannot be looked at");
    }

    free(xml);

    if (files.memory == NULL) {
        sandbox_domain_files_free(&files);
        return sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");
    }

    name = sandbox_memory_name(files.memory);
    t->held = name ? sandbox_memory_hold(name, t->kind.memory_mb, path) : -1;
    sandbox_domain_files_free(&files);

    if (t->held == -1) {
        return sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY,
                              "its memory is not on tmpfs");
    }

    return sandbox_memory_reserve(t->conn, t->held, t->kind.memory_mb, err);
}


static void
move_let_go(sandbox_take_t *t)
{
    if (t->held != -1) {
        (void) close(t->held);
        t->held = -1;
    }
}


/*
 * 1 if it can be copied while it runs; its memory is held then.  QEMU tells by
 * refusing the capability: it asks the kernel, and looks at what the memory is
 * made of.
 */
static int
move_hold(sandbox_take_t *t)
{
    sandbox_hv_error_t err;

    if (!t->take->keep || t->still) {
        return 0;
    }

    if (move_reserve(t, &err) != SANDBOX_HV_OK
        || sandbox_monitor_capability(t->conn, t->source, SANDBOX_TAKE_LIVE, 1,
                                      &err)
               != SANDBOX_HV_OK)
    {
        move_let_go(t);
        move_not_live(err.message);
        return 0;
    }

    return 1;
}


static void *
move_touch(void *data)
{
    sandbox_take_t *t = data;

    sandbox_monitor_touch(t->conn, t->source, t->kind.memory_mb);

    return NULL;
}


/* 1: run is to be joined; 0: there was no thread for it, and it is done. */
static int
move_start(pthread_t *thread, void *(*run)(void *), sandbox_take_t *t)
{
    if (sandbox_hv_thread(thread, run, t) == 0) {
        return 1;
    }

    (void) run(t);

    return 0;
}


void
sandbox_take_prepare(sandbox_take_t *t)
{
    t->take->live = move_hold(t);
}


static void *
move_fill(void *data)
{
    sandbox_take_t *t = data;

    (void) sandbox_memory_fill(t->memory, t->kind.memory_mb, &t->filled);

    return NULL;
}


sandbox_hv_status_t
sandbox_take_begin(sandbox_take_t *t, sandbox_hv_error_t *err)
{
    (void) sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");

    if (t->take->live && t->conn->facts.qemu < MOVE_BEGIN_BEFORE) {
        if (move_source(t, err) != SANDBOX_HV_OK
            || move_begin(t, err) != SANDBOX_HV_OK) {
            return err->status;
        }

    } else if (t->take->live) {
        t->touching = move_start(&t->toucher, move_touch, t);
    }

    if (t->memory != -1) {
        t->filling = move_start(&t->filler, move_fill, t);
    }

    return err->status;
}


static void
move_join(int *running, pthread_t thread)
{
    if (*running) {
        (void) pthread_join(thread, NULL);
        *running = 0;
    }
}


static void
move_join_helpers(sandbox_take_t *t)
{
    move_join(&t->touching, t->toucher);
    move_join(&t->filling, t->filler);
}


/* What is not read by then is read while the source stands still. */
static void
move_prepared(sandbox_take_t *t)
{
    int64_t ms;

    move_join_helpers(t);

    if (t->pipe.begun) {
        ms = t->pipe.begun + MOVE_READ_MS + t->kind.memory_mb / 8
             - sandbox_time_monotonic_ms();
        sandbox_hv_sleep_ms(ms > 0 ? (int) ms : 0);
    }
}


void
sandbox_take_unprepare(sandbox_take_t *t)
{
    move_join_helpers(t);
    move_close(t);
    move_let_go(t);
    t->pipe.filler = 0;
    t->pipe.begun = 0;
}


static sandbox_hv_status_t
move_suspend(sandbox_take_t *t, sandbox_hv_error_t *err)
{
    if (virDomainSuspend(t->source) < 0) {
        return sandbox_hv_fail(err, t->conn, "cannot suspend \"%s\"",
                               t->take->sandbox);
    }

    return sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");
}


/* The source runs again. */
static void
move_resumed(sandbox_take_t *t, int64_t start)
{
    t->take->pause_ms = sandbox_time_monotonic_ms() - start;

    if (t->take->resumed) {
        t->take->resumed(t->take->data);
    }
}


/*
 * 1 with *err if there is no use in waiting any longer.  It is not looked for
 * in each turn: asking keeps QEMU and libvirt busy, and the source waits for
 * the same processors.
 */
static int
move_is_over(sandbox_take_t *t, int turn, sandbox_hv_error_t *err)
{
    if (turn % MOVE_LOOK != MOVE_LOOK - 1) {
        return 0;
    }

    if (sandbox_monitor_failed(t->conn, t->receiver, err)) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "what it is copied to has ended");
        return 1;
    }

    if (sandbox_time_monotonic_ms() >= t->take->deadline) {
        (void) sandbox_hv_set(err, SANDBOX_HV_TIMEOUT,
                              "QEMU did not let the machine run again in time");
        return 1;
    }

    return 0;
}


static void *
move_resume(void *data)
{
    sandbox_take_t *t = data;

    (void) virDomainResume(t->source);

    return NULL;
}


void
sandbox_take_woken(sandbox_take_t *t)
{
    move_join(&t->waking, t->waker);
}


/*
 * The memory is protected when the first page of it has been sent, and not
 * before that the source may run.  A thread resumes it, for it may have to
 * wait as QEMU itself does: see below.
 */
static sandbox_hv_status_t
move_wake(sandbox_take_t *t, sandbox_hv_error_t *err)
{
    int sends, turn;
    char *answer;

    for (turn = 0;; turn++, sandbox_hv_sleep_ms(MOVE_TURN_MS)) {
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

        if (move_is_over(t, turn, err)) {
            return err->status;
        }
    }

    t->waking = sandbox_hv_thread(&t->waker, move_resume, t) == 0;

    return t->waking ? err->status
                     : sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "no thread");
}


/*
 * The source runs again, by itself or by a thread of ours.  Its monitor may not
 * be asked: what it waits for may be a page that is not sent, and the sender
 * for whoever reads the pipe.  libvirt knows by an event.
 */
static sandbox_hv_status_t
move_wait(sandbox_take_t *t, sandbox_hv_error_t *err)
{
    int state, turn;

    for (turn = 0;; turn++, sandbox_hv_sleep_ms(MOVE_TURN_MS)) {
        if (virDomainGetState(t->source, &state, NULL, 0) < 0) {
            return sandbox_hv_fail(err, t->conn, "cannot look at \"%s\"",
                                   t->take->sandbox);
        }

        if (state == VIR_DOMAIN_RUNNING) {
            return sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");
        }

        if (move_is_over(t, turn, err)) {
            return err->status;
        }
    }
}


static sandbox_hv_status_t
move_live(sandbox_take_t *t, int64_t start, sandbox_hv_error_t *err)
{
    if (t->pipe.begun) {
        if (move_release(t, err) == SANDBOX_HV_OK) {
            (void) move_receive(t, err);
        }
    } else {
        (void) sandbox_monitor_migrate(t->conn, t->source, 0,
                                       SANDBOX_CHECKPOINT_URI, err);
    }

    if (err->status != SANDBOX_HV_OK
        || (t->conn->facts.qemu >= MOVE_WAKE_SINCE
            && move_wake(t, err) != SANDBOX_HV_OK)
        || move_wait(t, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    move_resumed(t, start);
    sandbox_take_woken(t);

    /* the receiver ends the last: if it fails before, the source never ends */
    if (sandbox_monitor_migrated(t->conn, t->receiver, t->take->deadline, err)
            != SANDBOX_HV_OK
        || sandbox_monitor_migrated(t->conn, t->source, t->take->deadline, err)
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    return sandbox_take_quiet(t, err);
}


/* The source stands still, and its memory goes over. */
static sandbox_hv_status_t
move_still(sandbox_take_t *t, int64_t start, sandbox_hv_error_t *err)
{
    if (sandbox_monitor_migrate(t->conn, t->source, 0, SANDBOX_CHECKPOINT_URI,
                                err)
            != SANDBOX_HV_OK
        || sandbox_monitor_migrated(t->conn, t->source, t->take->deadline, err)
               != SANDBOX_HV_OK
        || !t->take->keep)
    {
        return err->status;
    }

    if (sandbox_take_resume(t, err) == SANDBOX_HV_OK) {
        move_resumed(t, start);
    }

    return err->status;
}


/*
 * 1 if this taker slept between its last look and the stop, so that it stopped
 * a machine that is somebody else's to take: it goes on.
 */
static int
move_is_lost(sandbox_take_t *t, sandbox_hv_error_t *err)
{
    if (t->take->ours == NULL || t->take->ours(t->take->data)) {
        return 0;
    }

    (void) virDomainResume(t->source);
    (void) sandbox_hv_set(err, SANDBOX_HV_TIMEOUT,
                          "\"%s\" may be taken by somebody else by now",
                          t->take->sandbox);

    return 1;
}


static sandbox_hv_status_t
move_over(sandbox_take_t *t, sandbox_hv_error_t *err)
{
    int64_t start;

    /* QEMU flushes the disk as it stops: less of that is left then */
    if (t->take->keep) {
        sandbox_checkpoint_sync();
    }

    if (t->take->stopping
        && t->take->stopping(t->take->data, err) != SANDBOX_HV_OK) {
        /* nor would it be with another way of copying */
        t->take->live = 0;
        return err->status;
    }

    start = sandbox_time_monotonic_ms();

    if (move_suspend(t, err) != SANDBOX_HV_OK || move_is_lost(t, err)
        || (t->take->keep
            && sandbox_disk_flip(t->conn, t->source, t->next, err)
                   != SANDBOX_HV_OK))
    {
        return err->status;
    }

    return t->take->live ? move_live(t, start, err) : move_still(t, start, err);
}


sandbox_hv_status_t
sandbox_take_move(sandbox_take_t *t, sandbox_hv_error_t *err)
{
    move_prepared(t);

    if (t->filled.status != SANDBOX_HV_OK) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED, "%s", t->filled.message);

    } else if (move_connect(t, err) == SANDBOX_HV_OK
               && move_over(t, err) == SANDBOX_HV_OK)
    {
        (void) sandbox_monitor_migrated(t->conn, t->receiver, t->take->deadline,
                                        err);
    }

    sandbox_take_unprepare(t);

    return err->status;
}
