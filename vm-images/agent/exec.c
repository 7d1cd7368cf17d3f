/*
 * The exec route: owns the kept output of commands in the foreground, and the
 * shape of the answer.  Must not know how connections or processes work.
 */

#include <stdio.h>
#include <stdlib.h>

#include "answer.h"
#include "capture.h"
#include "exec.h"
#include "launch.h"

#define EXEC_REST 256 /* bytes of an answer beside its output */

typedef struct {
    agent_request_t *request;
    agent_job_t *job;
    agent_capture_t output[2];
    agent_input_t input;
    char *input_buf;
    int64_t timeout_secs;
    int base64;
} exec_t;

/* The first input of a command in the background. */
typedef struct {
    agent_input_t input;
    char *buf;
} exec_first_t;


static void
exec_free(exec_t *e)
{
    agent_capture_free(&e->output[AGENT_STDOUT]);
    agent_capture_free(&e->output[AGENT_STDERR]);
    free(e->input_buf);
    free(e);
}


static void
exec_output(void *data, agent_stream_t stream, const char *buf, size_t len)
{
    exec_t *e = data;

    agent_capture_add(&e->output[stream], buf, len);
}


static void
exec_bytes(sandbox_text_t *t, const char *name, const agent_capture_t *c,
           int base64)
{
    if (base64) {
        agent_answer_bytes(t, name, c->len ? c->data : "", c->len);
    } else {
        sandbox_text_fmt(t, ",\"%s\":", name);
        sandbox_text_json_string(t, c->len ? c->data : "", c->len);
    }
}


/*
 * Adds the member of one stream, and frees the stream's raw bytes.  The command
 * has run already, so an answer that agent_http_answer() would refuse is made
 * shorter.
 */
static void
exec_stream(sandbox_text_t *t, const char *name, agent_capture_t *c, int base64)
{
    size_t start;

    start = t->len;
    agent_capture_uncount(c);
    exec_bytes(t, name, c, base64);

    while (c->len > 0 && t->len + EXEC_REST > agent_http_room()) {
        agent_capture_halve(c);
        t->len = start;
        exec_bytes(t, name, c, base64);
    }

    if (c->truncated) {
        sandbox_text_fmt(t, ",\"%s_truncated\":true", name);
    }

    agent_capture_free(c);
}


static void
exec_answer(exec_t *e, const agent_exit_t *exit)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    sandbox_text_str(&t, "{");
    agent_exit_members(&t, exit);
    exec_stream(&t, "stdout", &e->output[AGENT_STDOUT], e->base64);
    exec_stream(&t, "stderr", &e->output[AGENT_STDERR], e->base64);
    sandbox_text_fmt(&t, ",\"pid\":%lld}", (long long) e->job->pid);

    /* If memory is out, the answer still has the exit code. */
    if (sandbox_text_failed(&t)) {
        sandbox_text_free(&t);
        sandbox_text_str(&t, "{");
        agent_exit_members(&t, exit);
        sandbox_text_fmt(&t,
                         ",\"stdout\":\"\",\"stderr\":\"\","
                         "\"stdout_truncated\":true,"
                         "\"stderr_truncated\":true,\"pid\":%lld}",
                         (long long) e->job->pid);
    }

    agent_http_answer(e->request, 200, &t);
}


static void
exec_done(void *data, const agent_exit_t *exit)
{
    char message[128];
    exec_t *e = data;

    if (exit->timed_out) {
        snprintf(message, sizeof(message),
                 "The command ran longer than %lld s and was killed.",
                 (long long) e->timeout_secs);
        agent_http_error(e->request, 504, "exec_timeout", message, NULL, NULL);
    } else {
        exec_answer(e, exit);
    }

    exec_free(e);
}


/* Ignores err: a command need not read its input. */
static void
exec_input_done(void *data, int err)
{
    exec_t *e = data;

    (void) err;
    free(e->input_buf);
    e->input_buf = NULL;
}


static void
exec_first_done(void *data, int err)
{
    exec_first_t *first = data;

    (void) err;
    free(first->buf);
    free(first);
}


static void
exec_refuse(agent_request_t *r, const agent_launch_error_t *err)
{
    char message[256];

    if (err->field != NULL) {
        agent_answer_invalid(r, err->field, err->reason);
        return;
    }

    snprintf(message, sizeof(message),
             "The sandbox cannot start another process: %s.", err->reason);
    agent_http_error(r, 503, "capacity_exceeded", message, NULL, NULL);
}


static void
exec_foreground(agent_request_t *r, agent_exec_request_t *req)
{
    exec_t *e;
    agent_launch_error_t err = { NULL, 0, "memory is out" };
    agent_process_owner_t owner;

    e = calloc(1, sizeof(*e));
    if (e == NULL) {
        exec_refuse(r, &err);
        return;
    }

    owner.output = exec_output;
    owner.done = exec_done;
    owner.data = e;

    e->request = r;
    e->timeout_secs = req->timeout_secs;
    e->base64 = req->base64;
    e->job = agent_launch(req, AGENT_EXEC_POST, &owner, &err);

    if (e->job == NULL) {
        free(e);
        exec_refuse(r, &err);
        return;
    }

    if (req->input != NULL) {
        e->input_buf = req->input;
        req->input = NULL;

        e->input.buf = e->input_buf;
        e->input.len = req->input_len;
        e->input.eof = 1;
        e->input.done = exec_input_done;
        e->input.data = e;

        /* a command whose stdin stays open might wait for it for ever */
        if (agent_job_write(e->job, &e->input) == -1) {
            agent_job_abandon(e->job);
            exec_free(e);
            exec_refuse(r, &err);
            return;
        }
    }

    agent_http_set_ctx(r, e);
}


static void
exec_background(agent_request_t *r, agent_exec_request_t *req)
{
    agent_job_t *job;
    exec_first_t *first;
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    agent_launch_error_t err = { NULL, 0, "memory is out" };

    first = calloc(1, sizeof(*first));
    job = first ? agent_launch(req, AGENT_EXEC_POST, NULL, &err) : NULL;

    if (job == NULL) {
        free(first);
        exec_refuse(r, &err);
        return;
    }

    first->buf = req->input;
    first->input.buf = req->input;
    first->input.len = req->input_len;
    first->input.done = exec_first_done;
    first->input.data = first;
    req->input = NULL;

    if (first->buf == NULL) {
        exec_first_done(first, 0);

    } else if (agent_job_write(job, &first->input) == -1) {
        agent_job_abandon(job);
        exec_first_done(first, 0);
        exec_refuse(r, &err);
        return;
    }

    sandbox_text_fmt(&t,
                     "{\"pid\":%lld,\"exit_code\":null,\"stdout\":\"\","
                     "\"stderr\":\"\"}",
                     (long long) job->pid);
    agent_http_answer(r, 200, &t);
}


void
agent_exec_handler(agent_request_t *r, const char *body, size_t len)
{
    agent_body_error_t err;
    agent_body_status_t status;
    agent_exec_request_t req;

    status = agent_exec_parse(&req, body, len, &err);
    if (status != AGENT_BODY_OK) {
        agent_answer_refuse(r, status, &err);
        return;
    }

    /* checked first: a command that was started would wait for its input */
    if (!agent_process_takes(req.input_len)) {
        agent_http_no_memory(r);

    } else if (req.background) {
        exec_background(r, &req);
    } else {
        exec_foreground(r, &req);
    }

    agent_exec_free(&req);
}


void
agent_exec_abort(void *ctx)
{
    exec_t *e = ctx;

    agent_job_cancel(e->job, &e->input);
    agent_job_abandon(e->job);
    exec_free(e);
}
