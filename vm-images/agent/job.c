/*
 * The list of jobs.  Jobs that have ended stay until there are too many, or
 * until a running one needs their memory; a job with taps stays in any case.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "job.h"
#include "sandbox_base32.h"
#include "sandbox_time.h"
#include "sandbox_utf8.h"

#define JOB_UNREAD_MAX 262144 /* then the command waits for its taps */
#define JOB_READ_MAX 65536    /* what a process gives at once */

static TAILQ_HEAD(jobs_s, agent_job_s) jobs = TAILQ_HEAD_INITIALIZER(jobs);
static unsigned jobs_ended;


static void
job_free(agent_job_t *job)
{
    TAILQ_REMOVE(&jobs, job, link);
    agent_ring_free(&job->ring);
    free(job);
}


/*
 * Forgets the oldest job that has ended and has no taps; 0, or -1 if there is
 * none.
 */
static int
job_forget_one(void)
{
    agent_job_t *job;

    for (job = TAILQ_FIRST(&jobs); job != NULL; job = TAILQ_NEXT(job, link)) {
        if (!job->running && !job->telling && LIST_EMPTY(&job->taps)) {
            job_free(job);
            jobs_ended--;
            return 0;
        }
    }

    return -1;
}


static void
job_reserve(agent_job_t *job, size_t size)
{
    while (agent_ring_reserve(&job->ring, size) == -1 && job_forget_one() == 0)
    { /* void */
    }

    /*
     * the smallest ring takes no share: without one the command would never end
     */
    if (job->ring.size == 0) {
        (void) agent_ring_reserve(&job->ring, 1);
    }
}


/*
 * Lets the process give as much output as the ring can take without losing what
 * a tap has not taken.
 */
static void
job_allow(agent_job_t *job)
{
    size_t unread, limit;
    uint64_t oldest;
    agent_tap_t *tap;

    if (!job->running || job->foreground) {
        return;
    }

    if (LIST_EMPTY(&job->taps)) {
        agent_process_allow(job->process, SIZE_MAX);
        return;
    }

    oldest = job->ring.end;
    for (tap = LIST_FIRST(&job->taps); tap != NULL; tap = LIST_NEXT(tap, link))
    {
        oldest = tap->offset < oldest ? tap->offset : oldest;
    }

    unread = (size_t) (job->ring.end - oldest);

    if (unread < JOB_UNREAD_MAX) {
        job_reserve(job, unread + JOB_READ_MAX);
    }

    limit = job->ring.size < JOB_UNREAD_MAX ? job->ring.size : JOB_UNREAD_MAX;
    agent_process_allow(job->process, unread < limit ? limit - unread : 0);
}


/*
 * Calls ready() of all taps.  That may add, move or remove any of them, so the
 * search for the next begins anew after each.
 */
static void
job_tell(agent_job_t *job)
{
    unsigned round;
    agent_tap_t *tap;

    round = ++job->round;

    do {
        for (tap = LIST_FIRST(&job->taps); tap != NULL;
             tap = LIST_NEXT(tap, link)) {
            if (tap->told != round) {
                tap->told = round;
                tap->ready(tap->data);
                break;
            }
        }
    } while (tap != NULL);
}


static void
job_output(void *data, agent_stream_t stream, const char *buf, size_t len)
{
    size_t kept;
    agent_job_t *job = data;

    if (job->foreground) {
        job->owner.output(job->owner.data, stream, buf, len);
        return;
    }

    kept = (size_t) (job->ring.end - job->ring.begin);
    job_reserve(job, kept + len);
    agent_ring_add(&job->ring, stream, buf, len);
    job_tell(job);
    job_allow(job);
}


static void
job_done(void *data, const agent_exit_t *e)
{
    agent_job_t *job = data;

    job->running = 0;
    job->process = NULL;
    job->exit = *e;

    if (job->foreground) {
        job->owner.done(job->owner.data, e);
        job_free(job);
        return;
    }

    /* a told tap may detach, and its owner may take memory for other output */
    jobs_ended++;
    job->telling = 1;
    job_tell(job);
    job->telling = 0;

    while (jobs_ended > AGENT_JOBS_ENDED_MAX && job_forget_one() == 0) {
        /* void */
    }
}


static void
job_session_id(char out[AGENT_SESSION_ID_SIZE])
{
    uint8_t random[26];

    while (getrandom(random, sizeof(random), 0) != sizeof(random)) { /* void */
    }

    snprintf(out, AGENT_SESSION_ID_SIZE, "pty_");
    sandbox_base32(out + 4, random, sizeof(random));
}


agent_job_t *
agent_job_start(const agent_process_spec_t *spec, const agent_job_conf_t *conf)
{
    int err;
    size_t len;
    agent_job_t *job;
    agent_process_owner_t owner;

    job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return NULL;
    }

    len = strnlen(conf->command, sizeof(job->command) - 1);
    len = sandbox_utf8_whole((const uint8_t *) conf->command, len);
    memcpy(job->command, conf->command, len);

    if (spec->terminal && conf->session_id == NULL) {
        job_session_id(job->session_id);
    } else if (spec->terminal) {
        snprintf(job->session_id, sizeof(job->session_id), "%s",
                 conf->session_id);
    }

    job->started_ms = sandbox_time_now_ms();
    job->cols = spec->cols;
    job->rows = spec->rows;
    job->running = 1;
    job->background = conf->background != 0;
    job->foreground = conf->owner != NULL;
    job->input = spec->input || spec->terminal;

    if (conf->owner != NULL) {
        job->owner = *conf->owner;
    }

    owner.output = job_output;
    owner.done = job_done;
    owner.data = job;

    job->process = agent_process_start(spec, &owner);
    if (job->process == NULL) {
        err = errno;
        free(job);
        errno = err;
        return NULL;
    }

    job->pid = agent_process_pid(job->process);
    TAILQ_INSERT_TAIL(&jobs, job, link);

    return job;
}


void
agent_job_abandon(agent_job_t *job)
{
    agent_process_t *process;

    process = job->process;
    job_free(job);
    agent_process_abandon(process);
}


agent_job_t *
agent_job_find(int64_t pid)
{
    agent_job_t *job;

    for (job = TAILQ_LAST(&jobs, jobs_s); job != NULL;
         job = TAILQ_PREV(job, jobs_s, link))
    {
        if (job->pid == pid) {
            break;
        }
    }

    return job;
}


agent_job_t *
agent_job_find_session(const char *session_id)
{
    agent_job_t *job;

    for (job = TAILQ_LAST(&jobs, jobs_s); job != NULL;
         job = TAILQ_PREV(job, jobs_s, link))
    {
        if (job->session_id[0] != '\0'
            && strcmp(job->session_id, session_id) == 0) {
            break;
        }
    }

    return job;
}


/* "RT" for real-time signals, which have no names. */
const char *
agent_signal_name(int signal)
{
    const char *name;

    name = sigabbrev_np(signal);

    return name ? name : "RT";
}


void
agent_exit_members(sandbox_text_t *t, const agent_exit_t *e)
{
    sandbox_text_fmt(t, "\"exit_code\":%d", e->code);

    if (e->signal != 0) {
        sandbox_text_fmt(t, ",\"signal\":\"%s\"", agent_signal_name(e->signal));
    }
}


static void
job_describe(sandbox_text_t *t, const agent_job_t *job)
{
    char at[SANDBOX_TIME_SIZE];

    sandbox_time_format(at, job->started_ms);

    sandbox_text_fmt(t, "{\"pid\":%lld,\"command\":", (long long) job->pid);
    sandbox_text_json_string(t, job->command, strlen(job->command));
    sandbox_text_fmt(t,
                     ",\"running\":%s,\"background\":%s,\"started_at\":\"%s\"",
                     job->running ? "true" : "false",
                     job->background ? "true" : "false", at);

    if (job->session_id[0] != '\0') {
        sandbox_text_fmt(t, ",\"session_id\":\"%s\"", job->session_id);
    }

    if (!job->running) {
        sandbox_text_str(t, ",");
        agent_exit_members(t, &job->exit);
    }

    sandbox_text_str(t, "}");
}


void
agent_job_list(sandbox_text_t *t)
{
    agent_job_t *job;

    sandbox_text_str(t, "[");

    for (job = TAILQ_FIRST(&jobs); job != NULL; job = TAILQ_NEXT(job, link)) {
        if (job != TAILQ_FIRST(&jobs)) {
            sandbox_text_str(t, ",");
        }

        job_describe(t, job);
    }

    sandbox_text_str(t, "]");
}


void
agent_job_attach(agent_tap_t *tap, agent_job_t *job, uint64_t offset)
{
    tap->offset = agent_ring_from(&job->ring, offset);
    tap->job = job;
    tap->told = job->round;
    LIST_INSERT_HEAD(&job->taps, tap, link);
    job_allow(job);
}


void
agent_job_detach(agent_tap_t *tap)
{
    if (tap->job != NULL) {
        LIST_REMOVE(tap, link);
        job_allow(tap->job);
        tap->job = NULL;
    }
}


size_t
agent_job_peek(const agent_job_t *job, uint64_t offset, size_t max,
               const char **data, agent_stream_t *stream)
{
    size_t n, whole;

    n = agent_ring_piece(&job->ring, offset, max, data, stream);
    whole = n ? sandbox_utf8_whole((const uint8_t *) *data, n) : 0;

    /* the rest of a character may be still to come */
    if (whole == 0 && job->running && offset + n == job->ring.end) {
        return 0;
    }

    return whole ? whole : n;
}


size_t
agent_job_rest(const agent_job_t *job, uint64_t offset, const char **data,
               agent_stream_t *stream)
{
    return agent_ring_piece(&job->ring, offset, 4, data, stream);
}


void
agent_job_take(agent_tap_t *tap, size_t n)
{
    tap->offset += n;
    job_allow(tap->job);
}


int
agent_job_over(const agent_tap_t *tap)
{
    return !tap->job->running && tap->offset == tap->job->ring.end;
}


int
agent_job_write(agent_job_t *job, agent_input_t *in)
{
    if (!job->running) {
        errno = EPIPE;
        return -1;
    }

    return agent_process_write(job->process, in);
}


void
agent_job_cancel(agent_job_t *job, agent_input_t *in)
{
    if (in->queued) {
        agent_process_cancel(job->process, in);
    }
}


int
agent_job_signal(agent_job_t *job, int signal)
{
    return job->running ? agent_process_signal(job->process, signal) : -1;
}


void
agent_job_resize(agent_job_t *job, unsigned short cols, unsigned short rows)
{
    if (job->running) {
        job->cols = cols;
        job->rows = rows;
        agent_process_resize(job->process, cols, rows);
    }
}
