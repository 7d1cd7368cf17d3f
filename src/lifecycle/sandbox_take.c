/* Taking a checkpoint of one sandbox; see the header. */

#include "sandbox_take.h"

#include "sandbox_checkpoint.h"
#include "sandbox_crash.h"
#include "sandbox_guest.h"
#include "sandbox_time.h"

#include <stdio.h>


/*
 * An agent answers a command in milliseconds, or in seconds if the host is
 * busy; if it has to write to its disk first, that may take longer.
 */
#define SANDBOX_TAKE_ANSWER_MS 10000

/*
 * Each take makes the backing chain of its source one layer longer, and the
 * engine refuses a chain that is too long: it is flattened from this depth on,
 * before the source stands still.
 */
#define SANDBOX_TAKE_LAYERS 16

/* Tries to thaw a guest, whose commands would else stand still. */
#define SANDBOX_TAKE_THAWS 3


static void sandbox_take_settle(sandbox_take_t *take, int whole, int thaw);


static int64_t
sandbox_take_soon(const sandbox_take_t *take)
{
    int64_t soon;

    soon = sandbox_time_monotonic_ms() + SANDBOX_TAKE_ANSWER_MS;

    return soon < take->deadline_ms ? soon : take->deadline_ms;
}


/*
 * 1 if the lease holds.  Else another operation may have taken the source over
 * and settles the take: source and checkpoint must not be touched any more.
 */
static int
sandbox_take_ours(sandbox_take_t *take)
{
    if (sandbox_time_monotonic_ms() < *take->holds_until_ms) {
        return 1;
    }

    take->lost = 1;
    return 0;
}


/* As the engine asks for it. */
static int
sandbox_take_holds(void *data)
{
    return sandbox_take_ours(data);
}


/* 1 if the lease holds and the deadline has not passed; else sets result. */
static int
sandbox_take_may(sandbox_take_t *take)
{
    if (sandbox_time_monotonic_ms() < take->deadline_ms
        && sandbox_take_ours(take)) {
        return 1;
    }

    take->result.status = SANDBOX_HV_TIMEOUT;
    (void) snprintf(take->result.message, sizeof(take->result.message),
                    "the time for it or the lease has passed");
    return 0;
}


static int
sandbox_take_answered(sandbox_take_t *take, sandbox_guest_status_t status)
{
    switch (status) {
    case SANDBOX_GUEST_OK:
        take->result.status = SANDBOX_HV_OK;
        return 1;
    case SANDBOX_GUEST_TIMEOUT:
        take->result.status = SANDBOX_HV_TIMEOUT;
        return 0;
    case SANDBOX_GUEST_REFUSED:
        take->refused = 1;
        /* fall through */
    default:
        take->result.status = SANDBOX_HV_GUEST;
        return 0;
    }
}


/* 0, or -1 if commands may stand still. */
static int
sandbox_take_thaw(const sandbox_guest_channel_t *ch)
{
    int i;
    char why[256];
    sandbox_guest_status_t status;

    for (i = 0; i < SANDBOX_TAKE_THAWS; i++) {
        status = sandbox_guest_thaw(
            ch, sandbox_time_monotonic_ms() + SANDBOX_TAKE_ANSWER_MS, why,
            sizeof(why));

        if (status == SANDBOX_GUEST_OK) {
            return 0;
        }

        if (status == SANDBOX_GUEST_CLOSED) {
            break;
        }
    }

    return -1;
}


typedef struct {
    sandbox_take_t *take;
    const sandbox_guest_channel_t *ch;
    int64_t frozen_since_ms; /* monotonic; 0: not, or no longer */
} sandbox_take_guest_t;


/* Called when the engine is about to stop the source: freezes its commands. */
static sandbox_hv_status_t
sandbox_take_stopping(void *data, sandbox_hv_error_t *err)
{
    sandbox_take_guest_t *g = data;

    if (!sandbox_take_may(g->take)) {
        *err = g->take->result;
        return err->status;
    }

    SANDBOX_CRASH_POINT("take.freeze.before");
    g->frozen_since_ms = sandbox_time_monotonic_ms();

    if (sandbox_take_answered(
            g->take, sandbox_guest_freeze(g->ch, !g->take->keep,
                                          sandbox_take_soon(g->take),
                                          err->message, sizeof(err->message))))
    {
        SANDBOX_CRASH_POINT("take.freeze.after");
        (void) sandbox_take_may(g->take);
    }

    err->status = g->take->result.status;

    return err->status;
}


/* Called when the source runs again, maybe while memory is still copied. */
static void
sandbox_take_resumed(void *data)
{
    sandbox_take_guest_t *g = data;

    if (g->frozen_since_ms && sandbox_take_thaw(g->ch) == 0) {
        g->take->frozen_ms += sandbox_time_monotonic_ms() - g->frozen_since_ms;
        g->frozen_since_ms = 0;
    }
}


static int
sandbox_take_guest_holds(void *data)
{
    sandbox_take_guest_t *g = data;

    return sandbox_take_ours(g->take);
}


static void
sandbox_take_checkpoint(sandbox_take_guest_t *g)
{
    sandbox_take_t *take = g->take;

    int64_t now;
    sandbox_hv_error_t undone;
    sandbox_checkpoint_take_t t = { .id = take->id,
                                    .sandbox = take->sandbox,
                                    .keep = take->keep,
                                    .durable = take->durable,
                                    .deadline_ms = take->deadline_ms,
                                    .stopping = sandbox_take_stopping,
                                    .resumed = sandbox_take_resumed,
                                    .ours = sandbox_take_guest_holds,
                                    .data = g };

    now = sandbox_time_monotonic_ms();

    SANDBOX_CRASH_POINT("take.checkpoint.before");
    (void) sandbox_checkpoint_take(&t, &take->result);
    SANDBOX_CRASH_POINT("take.checkpoint.after");

    take->take_ms = sandbox_time_monotonic_ms() - now;
    take->pause_ms = t.pause_ms;
    take->bytes = t.bytes;
    take->way = t.way;

    if (take->result.status != SANDBOX_HV_OK
        && (!sandbox_take_ours(take)
            || (!t.untouched
                && sandbox_checkpoint_cancel(take->id, take->sandbox,
                                             take->keep, sandbox_take_holds,
                                             take, &undone)
                       != SANDBOX_HV_OK)))
    {
        take->left = 1;
    }
}


/* The source was not thawed: the take has failed and must be settled. */
static void
sandbox_take_stuck(sandbox_take_t *take)
{
    take->left = 1;

    if (take->result.status == SANDBOX_HV_OK) {
        take->result.status = SANDBOX_HV_TIMEOUT;
        (void) snprintf(take->result.message, sizeof(take->result.message),
                        "\"%s\" was not thawed", take->sandbox);
    }
}


static void
sandbox_take_guest(sandbox_take_t *take, const sandbox_guest_channel_t *ch)
{
    int64_t now;
    sandbox_take_guest_t g = { take, ch, 0 };
    char *message = take->result.message;

    now = sandbox_time_monotonic_ms();

    /* a silent agent is noticed soon, a slow disk is waited for */
    if (!sandbox_take_answered(
            take, sandbox_guest_sync(ch, sandbox_take_soon(take), message,
                                     sizeof(take->result.message)))
        || !sandbox_take_answered(
            take, sandbox_guest_flush(ch, take->deadline_ms, message,
                                      sizeof(take->result.message))))
    {
        return;
    }

    take->flush_ms = sandbox_time_monotonic_ms() - now;

    if (!sandbox_take_may(take)) {
        return;
    }

    sandbox_take_checkpoint(&g);

    if (take->keep || take->result.status != SANDBOX_HV_OK) {
        if (sandbox_take_ours(take)) {
            sandbox_take_resumed(&g);
        }

        if (g.frozen_since_ms) {
            sandbox_take_stuck(take);
        }
    }

    SANDBOX_CRASH_POINT("take.thaw.after");
}


/*
 * 1 if the take is over: an earlier taker, which died since, has left a whole
 * checkpoint of a sandbox that ends.  The guest may be gone, so it is not
 * asked; only what is left of the machine is ended.
 */
static int
sandbox_take_finished(sandbox_take_t *take)
{
    sandbox_checkpoint_take_t t = { .id = take->id,
                                    .sandbox = take->sandbox,
                                    .deadline_ms = take->deadline_ms,
                                    .ours = sandbox_take_holds,
                                    .data = take };

    if (take->keep || !take->again) {
        return 0;
    }

    switch (sandbox_checkpoint_whole(take->id, &take->bytes, &take->result)) {
    case SANDBOX_HV_NO_CHECKPOINT:
        return 0;
    case SANDBOX_HV_OK:
        break;
    default:
        take->left = 1;
        return 1;
    }

    if (sandbox_checkpoint_take(&t, &take->result) != SANDBOX_HV_OK) {
        take->left = 1;
    }

    return 1;
}


/* Settles an earlier taker, whose source may stand still; 1 if that is done. */
static int
sandbox_take_settled(sandbox_take_t *take)
{
    if (!take->again) {
        return 1;
    }

    sandbox_take_settle(take, take->keep, 1);
    take->left = take->result.status != SANDBOX_HV_OK;

    return !take->left;
}


/* Half of the time is left for the take, which does not need the result. */
static void
sandbox_take_flatten(sandbox_take_t *take)
{
    int64_t now;
    sandbox_hv_error_t ignored;

    now = sandbox_time_monotonic_ms();

    (void) sandbox_checkpoint_flatten(take->sandbox, SANDBOX_TAKE_LAYERS, 1,
                                      now + (take->deadline_ms - now) / 2,
                                      &ignored);
}


void
sandbox_take(sandbox_take_t *take)
{
    sandbox_channel_t *channel;

    take->queue_ms = sandbox_time_monotonic_ms() - take->asked_ms;

    if (!sandbox_take_may(take)) {
        /* what an earlier taker has begun is still to be settled */
        take->left = take->again;
        return;
    }

    if (sandbox_take_finished(take) || !sandbox_take_settled(take)
        || sandbox_channel_open(&channel, take->sandbox, &take->result)
               != SANDBOX_HV_OK)
    {
        return;
    }

    sandbox_guest_channel_t ch = { channel, sandbox_channel_write,
                                   sandbox_channel_read };

    sandbox_take_flatten(take);
    sandbox_take_guest(take, &ch);
    sandbox_channel_close(channel);
}


/* 1 if the source has no domain: there is no guest to be thawed. */
static int
sandbox_take_orphaned(sandbox_take_t *take)
{
    unsigned char gone;
    char ids[1][SANDBOX_ID_SIZE];

    (void) snprintf(ids[0], sizeof(ids[0]), "%s", take->sandbox);

    return sandbox_hypervisor_gone((const char(*)[SANDBOX_ID_SIZE]) ids, &gone,
                                   1, &take->result)
               == SANDBOX_HV_OK
           && gone;
}


/* Cancels the checkpoint, thaws the source; whole is as for the cancel. */
static void
sandbox_take_settle(sandbox_take_t *take, int whole, int thaw)
{
    sandbox_channel_t *channel;

    if (sandbox_checkpoint_cancel(take->id, take->sandbox, whole,
                                  sandbox_take_holds, take, &take->result)
            != SANDBOX_HV_OK
        || !thaw || sandbox_take_orphaned(take)
        || take->result.status != SANDBOX_HV_OK)
    {
        return;
    }

    if (sandbox_channel_open(&channel, take->sandbox, &take->result)
        != SANDBOX_HV_OK)
    {
        return;
    }

    sandbox_guest_channel_t ch = { channel, sandbox_channel_write,
                                   sandbox_channel_read };

    if (sandbox_take_thaw(&ch) != 0) {
        take->result.status = SANDBOX_HV_TIMEOUT;
        (void) snprintf(take->result.message, sizeof(take->result.message),
                        "the agent of \"%s\" does not thaw it", take->sandbox);
    }

    sandbox_channel_close(channel);
}


void
sandbox_untake(sandbox_take_t *take, int thaw)
{
    sandbox_take_settle(take, 1, thaw);
}
