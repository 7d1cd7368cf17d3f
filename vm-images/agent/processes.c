/*
 * The routes of commands that were started.  Must not know how jobs are kept
 * (job.h) or how answers are sent.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "control.h"
#include "job.h"
#include "loop.h"
#include "processes.h"

#define STDIN_WAIT_MS 30000  /* for a command that does not read */
#define FOLLOW_IDLE_MS 15000 /* then a blank line keeps the answer alive */
#define FOLLOW_PIECE 16384   /* of output, in a line */
#define OFFSET_DIGITS_MAX 18

/* Input, for a client that waits until the command has taken it. */
typedef struct {
    agent_input_t input;
    char *buf;
    agent_request_t *request;
    agent_job_t *job;
    agent_timer_t timer;
} stdin_t;

/* An answer that follows the output of a job. */
typedef struct {
    agent_request_t *request;
    agent_tap_t tap;
    agent_timer_t timer;
    sandbox_text_t line;
    size_t sent; /* bytes of line */
    int blank;   /* a blank line is due */
    int last;    /* the last line was made */
} follow_t;


static void
processes_conflict(agent_request_t *r, const char *message)
{
    agent_http_error(r, 409, "conflict", message, NULL, NULL);
}


/* The job that the path names, or NULL after an answer. */
static agent_job_t *
processes_find(agent_request_t *r)
{
    char *end;
    long pid;
    const char *s;
    agent_job_t *job;

    job = NULL;
    s = agent_http_segment(r);

    if (s[0] >= '1' && s[0] <= '9' && strlen(s) <= 10) {
        pid = strtol(s, &end, 10);
        job = *end == '\0' ? agent_job_find(pid) : NULL;
    }

    if (job == NULL) {
        agent_http_error(r, 404, "not_found",
                         "The agent has started no such process.", NULL, NULL);
    }

    return job;
}


void
agent_processes_list(agent_request_t *r, const char *body, size_t len)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    (void) body;
    (void) len;

    agent_job_list(&t);
    agent_http_answer(r, 200, &t);
}


void
agent_processes_kill(agent_request_t *r, const char *body, size_t len)
{
    agent_job_t *job;
    agent_control_t c;
    agent_body_error_t err;
    agent_body_status_t status;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    status = agent_control_parse(&c, AGENT_CONTROL_KILL, len ? body : "{}",
                                 len ? len : 2, &err);
    if (status != AGENT_BODY_OK) {
        agent_answer_refuse(r, status, &err);
        return;
    }

    job = processes_find(r);
    if (job == NULL) {
        return;
    }

    if (agent_job_signal(job, c.signal) == -1) {
        processes_conflict(r, "The process has ended.");
        return;
    }

    sandbox_text_fmt(&t, "{\"pid\":%lld,\"signal\":\"%s\"}",
                     (long long) job->pid, agent_signal_name(c.signal));
    agent_http_answer(r, 200, &t);
}


static void
stdin_free(stdin_t *s)
{
    agent_loop_timer_stop(&s->timer);
    free(s->buf);
    free(s);
}


static void
stdin_answer(stdin_t *s)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    sandbox_text_fmt(&t, "{\"bytes_sent\":%zu}", s->input.sent);
    agent_http_answer(s->request, 200, &t);
    stdin_free(s);
}


static void
stdin_done(void *data, int err)
{
    stdin_t *s = data;

    if (err == 0) {
        stdin_answer(s);
        return;
    }

    processes_conflict(s->request, "The process has closed its input.");
    stdin_free(s);
}


static void
stdin_late(void *data)
{
    stdin_t *s = data;

    agent_job_cancel(s->job, &s->input);
    stdin_answer(s);
}


/* Queues c's data, which are taken over; answers when they are read. */
static void
stdin_write(agent_request_t *r, agent_job_t *job, agent_control_t *c)
{
    stdin_t *s;

    s = calloc(1, sizeof(*s));
    if (s == NULL) {
        agent_http_no_memory(r);
        return;
    }

    s->request = r;
    s->job = job;
    s->buf = c->data;
    c->data = NULL;

    s->input.buf = s->buf;
    s->input.len = c->len;
    s->input.eof = c->eof;
    s->input.done = stdin_done;
    s->input.data = s;
    s->timer.handler = stdin_late;
    s->timer.data = s;

    if (agent_job_write(job, &s->input) == -1) {
        if (errno == EPIPE) {
            processes_conflict(r, "The input of the process is closed.");
        } else if (errno == ENOMEM) {
            agent_http_no_memory(r);
        } else {
            agent_http_error(r, 503, "capacity_exceeded",
                             "The process does not read its input.", NULL,
                             NULL);
        }

        stdin_free(s);
        return;
    }

    agent_loop_timer(&s->timer, STDIN_WAIT_MS);
    agent_http_set_ctx(r, s);
}


void
agent_processes_stdin(agent_request_t *r, const char *body, size_t len)
{
    agent_job_t *job;
    agent_control_t c;
    agent_body_error_t err;
    agent_body_status_t status;

    status = agent_control_parse(&c, AGENT_CONTROL_STDIN, body, len, &err);
    if (status != AGENT_BODY_OK) {
        agent_answer_refuse(r, status, &err);
        return;
    }

    job = processes_find(r);
    if (job != NULL) {
        stdin_write(r, job, &c);
    }

    agent_control_free(&c);
}


void
agent_processes_stdin_abort(void *ctx)
{
    stdin_t *s = ctx;

    agent_job_cancel(s->job, &s->input);
    stdin_free(s);
}


static void
logs_exit(sandbox_text_t *t, const agent_job_t *job)
{
    if (job->running) {
        sandbox_text_str(t, "\"exit_code\":null");
    } else {
        agent_exit_members(t, &job->exit);
    }
}


/* Answers with the output that is kept from offset on. */
static void
logs_whole(agent_request_t *r, const agent_job_t *job, uint64_t offset)
{
    size_t n;
    uint64_t at;
    const char *data;
    agent_stream_t stream;
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    sandbox_text_t all = SANDBOX_TEXT_INIT;
    sandbox_text_t parts[2] = { SANDBOX_TEXT_INIT, SANDBOX_TEXT_INIT };

    offset = agent_ring_from(&job->ring, offset);

    for (at = offset;
         (n = agent_job_peek(job, at, AGENT_RING_MAX, &data, &stream)) > 0;
         at += n)
    {
        sandbox_text_add(&all, data, n);
        sandbox_text_add(&parts[stream], data, n);
    }

    sandbox_text_fmt(&t, "{\"pid\":%lld,", (long long) job->pid);
    logs_exit(&t, job);
    sandbox_text_fmt(&t, ",\"offset\":%llu,\"next_offset\":%llu",
                     (unsigned long long) offset, (unsigned long long) at);

    if (sandbox_text_failed(&all) || sandbox_text_failed(&parts[0])
        || sandbox_text_failed(&parts[1]))
    {
        agent_http_no_memory(r);

    } else {
        agent_answer_bytes(&t, "stdout", parts[0].data, parts[0].len);
        agent_answer_bytes(&t, "stderr", parts[1].data, parts[1].len);
        agent_answer_bytes(&t, "output", all.data, all.len);
        sandbox_text_str(&t, "}");
        agent_http_answer(r, 200, &t);
    }

    sandbox_text_free(&t);
    sandbox_text_free(&all);
    sandbox_text_free(&parts[0]);
    sandbox_text_free(&parts[1]);
}


/* Makes the next line in f->line; 0 if there is none yet. */
static int
follow_line(follow_t *f)
{
    size_t n;
    const char *data;
    agent_stream_t stream;

    n = agent_job_peek(f->tap.job, f->tap.offset, FOLLOW_PIECE, &data, &stream);

    if (n > 0) {
        sandbox_text_fmt(&f->line, "{\"stream\":\"%s\",\"offset\":%llu",
                         stream == AGENT_STDOUT ? "stdout" : "stderr",
                         (unsigned long long) f->tap.offset);
        agent_answer_bytes(&f->line, "data", data, n);
        sandbox_text_str(&f->line, "}\n");
        agent_job_take(&f->tap, n);
        return 1;
    }

    if (agent_job_over(&f->tap)) {
        sandbox_text_str(&f->line, "{");
        agent_exit_members(&f->line, &f->tap.job->exit);
        sandbox_text_fmt(&f->line, ",\"next_offset\":%llu}\n",
                         (unsigned long long) f->tap.offset);
        f->last = 1;
        return 1;
    }

    if (f->blank) {
        sandbox_text_str(&f->line, "\n");
    }

    return f->blank;
}


static ssize_t
follow_read(void *ctx, char *buf, size_t size)
{
    size_t n;
    follow_t *f = ctx;

    if (f->sent == f->line.len) {
        sandbox_text_free(&f->line);
        f->sent = 0;

        if (f->last) {
            return -1;
        }

        if (!follow_line(f)) {
            return 0;
        }

        f->blank = 0;
        agent_loop_timer(&f->timer, FOLLOW_IDLE_MS);

        if (sandbox_text_failed(&f->line)) {
            return -2;
        }
    }

    n = f->line.len - f->sent < size ? f->line.len - f->sent : size;
    memcpy(buf, f->line.data + f->sent, n);
    f->sent += n;

    return (ssize_t) n;
}


static void
follow_end(void *ctx)
{
    follow_t *f = ctx;

    agent_job_detach(&f->tap);
    agent_loop_timer_stop(&f->timer);
    sandbox_text_free(&f->line);
    free(f);
}


static void
follow_ready(void *data)
{
    follow_t *f = data;

    agent_http_wake(f->request);
}


static void
follow_idle(void *data)
{
    follow_t *f = data;

    f->blank = 1;
    agent_http_wake(f->request);
}


static void
logs_follow(agent_request_t *r, agent_job_t *job, uint64_t offset)
{
    follow_t *f;
    static const agent_http_source_t source = { follow_read, follow_end };

    f = calloc(1, sizeof(*f));
    if (f == NULL) {
        agent_http_no_memory(r);
        return;
    }

    f->request = r;
    f->tap.ready = follow_ready;
    f->tap.data = f;
    f->timer.handler = follow_idle;
    f->timer.data = f;

    agent_job_attach(&f->tap, job, offset);
    agent_loop_timer(&f->timer, FOLLOW_IDLE_MS);
    agent_http_stream(r, "application/x-ndjson", &source, f);
}


static int
logs_offset(const char *s, uint64_t *offset)
{
    size_t len;

    *offset = 0;
    if (s == NULL) {
        return 0;
    }

    len = strlen(s);
    if (len == 0 || len > OFFSET_DIGITS_MAX || strspn(s, "0123456789") != len) {
        return -1;
    }

    *offset = strtoull(s, NULL, 10);

    return 0;
}


void
agent_processes_logs(agent_request_t *r, const char *body, size_t len)
{
    uint64_t offset;
    agent_job_t *job;
    const char *follow;
    static const char *const names[] = { "offset", "follow", NULL };

    (void) body;
    (void) len;

    if (agent_http_query_check(r, names) == -1) {
        return;
    }

    follow = agent_http_query(r, "follow");

    if (follow != NULL && strcmp(follow, "true") != 0
        && strcmp(follow, "false") != 0)
    {
        agent_answer_invalid(r, "follow", "must be true or false");
        return;
    }

    if (logs_offset(agent_http_query(r, "offset"), &offset) == -1) {
        agent_answer_invalid(r, "offset",
                             "must be an integer that is not negative");
        return;
    }

    job = processes_find(r);
    if (job == NULL) {
        return;
    }

    if (job->foreground) {
        processes_conflict(r, "The output is the answer of an exec.");

    } else if (follow != NULL && strcmp(follow, "true") == 0) {
        logs_follow(r, job, offset);

    } else {
        logs_whole(r, job, offset);
    }
}
