/*
 * The messages of the channels "exec" and "pty".  Output is taken from the job
 * when the socket has room, so a client that does not read holds its command
 * back; input that a command does not read holds the socket.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "answer.h"
#include "control.h"
#include "exec_channel.h"
#include "launch.h"
#include "loop.h"

#define CHANNEL_INPUT_MAX 262144 /* of a stream, before its socket is held */
#define CHANNEL_CUT_MS 50        /* for the rest of a character to come */
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

typedef struct channel_input_s channel_input_t;

typedef struct {
    agent_ws_stream_t stream;
    agent_tap_t tap;
    size_t pending;    /* input that the command has not taken */
    agent_timer_t cut; /* runs while a part of a character is held back */
    unsigned late : 1; /* it has run for as long as it may */
    LIST_HEAD(channel_inputs_s, channel_input_s) inputs;
} channel_t;

/*
 * Queued input.  It outlives its stream, so that all that a client has sent
 * reaches the command.
 */
struct channel_input_s {
    agent_input_t input;
    char *buf;
    channel_t *channel; /* NULL once the stream has ended */
    LIST_ENTRY(channel_input_s) link;
};


static channel_t *
channel_of(agent_ws_stream_t *s)
{
    return (channel_t *) (void *) ((char *) s - offsetof(channel_t, stream));
}


static void
channel_free(channel_t *c)
{
    channel_input_t *i;

    while ((i = LIST_FIRST(&c->inputs)) != NULL) {
        LIST_REMOVE(i, link);
        i->channel = NULL;
    }

    agent_loop_timer_stop(&c->cut);
    agent_job_detach(&c->tap);
    free(c);
}


static void
channel_detached(agent_ws_stream_t *s)
{
    channel_free(channel_of(s));
}


static void
channel_ready(void *data)
{
    channel_t *c = data;

    agent_ws_ready(&c->stream);
}


static int
channel_is_pty(const channel_t *c)
{
    return c->tap.job->session_id[0] != '\0';
}


static void
channel_output(channel_t *c, agent_stream_t stream, const char *data, size_t n)
{
    const char *type;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    type = channel_is_pty(c)        ? "pty_output"
           : stream == AGENT_STDOUT ? "exec_stdout"
                                    : "exec_stderr";

    agent_ws_begin(&t, type, &c->stream);
    sandbox_text_fmt(&t, ",\"offset\":%llu",
                     (unsigned long long) c->tap.offset);
    agent_answer_bytes(&t, "data", data, n);
    sandbox_text_str(&t, "}");
    agent_ws_send(c->stream.ws, &t);
}


static void
channel_exit(channel_t *c)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    const agent_job_t *job = c->tap.job;

    if (channel_is_pty(c)) {
        agent_ws_begin(&t, "pty_exit", &c->stream);
        sandbox_text_fmt(&t, ",\"session_id\":\"%s\"", job->session_id);
    } else {
        agent_ws_begin(&t, "exec_exit", &c->stream);
    }

    sandbox_text_fmt(&t, ",\"pid\":%lld,", (long long) job->pid);
    agent_exit_members(&t, &job->exit);

    if (job->exit.timed_out) {
        sandbox_text_str(&t, ",\"timed_out\":true");
    }

    sandbox_text_str(&t, "}");
    agent_ws_send(c->stream.ws, &t);
}


/*
 * The rest of a character has not come: what there is of it may be all that a
 * command has to say before it is answered, in a protocol that is not text.
 */
static void
channel_cut(void *data)
{
    channel_t *c = data;

    c->late = 1;
    agent_ws_ready(&c->stream);
}


static int
channel_pump(agent_ws_stream_t *s)
{
    size_t n;
    channel_t *c;
    const char *data;
    agent_stream_t stream;

    c = channel_of(s);
    n = agent_job_peek(c->tap.job, c->tap.offset, AGENT_WS_PIECE, &data,
                       &stream);

    if (n == 0 && c->late) {
        n = agent_job_rest(c->tap.job, c->tap.offset, &data, &stream);
    }

    if (n > 0) {
        c->late = 0;
        agent_loop_timer_stop(&c->cut);
        channel_output(c, stream, data, n);
        agent_job_take(&c->tap, n);
        return 1;
    }

    if (agent_job_over(&c->tap)) {
        channel_exit(c);
        agent_ws_detach(s);
        channel_free(c);

    } else if (c->tap.offset < c->tap.job->ring.end && !c->cut.active) {
        agent_loop_timer(&c->cut, CHANNEL_CUT_MS);
    }

    return 0;
}


static void
channel_refuse_launch(agent_ws_t *ws, const char *id,
                      const agent_launch_error_t *err)
{
    char message[256];

    if (err->field == NULL) {
        snprintf(message, sizeof(message),
                 "The sandbox cannot start another process: %s.", err->reason);
        agent_ws_error(ws, id, "capacity_exceeded", message);
        return;
    }

    if (err->taken) {
        snprintf(message, sizeof(message), "The member \"%s\" %s.", err->field,
                 err->reason);
        agent_ws_error(ws, id, "conflict", message);
        return;
    }

    agent_ws_invalid(ws, id, err->field, err->reason);
}


static void
channel_started(channel_t *c)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    const agent_job_t *job = c->tap.job;

    if (channel_is_pty(c)) {
        agent_ws_begin(&t, "pty_started", &c->stream);
        sandbox_text_fmt(&t, ",\"session_id\":\"%s\",\"cols\":%u,\"rows\":%u",
                         job->session_id, job->cols, job->rows);
    } else {
        agent_ws_begin(&t, "exec_started", &c->stream);
    }

    sandbox_text_fmt(&t, ",\"pid\":%lld,\"offset\":%llu}", (long long) job->pid,
                     (unsigned long long) c->tap.offset);
    agent_ws_send(c->stream.ws, &t);
}


/* Begins a stream that shows the output of job from offset on. */
static void
channel_show(agent_ws_t *ws, const char *id, channel_t *c, agent_job_t *job,
             uint64_t offset)
{
    c->tap.ready = channel_ready;
    c->tap.data = c;
    c->cut.handler = channel_cut;
    c->cut.data = c;
    LIST_INIT(&c->inputs);

    agent_ws_attach(ws, &c->stream, id);
    agent_job_attach(&c->tap, job, offset);
    channel_started(c);
    agent_ws_ready(&c->stream);
}


static void
channel_start(agent_ws_t *ws, const char *id, const sandbox_json_t *doc,
              agent_exec_form_t form)
{
    channel_t *c;
    agent_job_t *job;
    agent_body_error_t err;
    agent_exec_request_t req;
    agent_launch_error_t fault = { NULL, 0, "memory is out" };

    if (agent_exec_read(&req, form, doc, &err) != AGENT_BODY_OK) {
        agent_ws_invalid(ws, id, err.field, err.reason);
        return;
    }

    c = calloc(1, sizeof(*c));
    job = c ? agent_launch(&req, form, NULL, &fault) : NULL;
    agent_exec_free(&req);

    if (job == NULL) {
        free(c);
        channel_refuse_launch(ws, id, &fault);
        return;
    }

    channel_show(ws, id, c, job, 0);
}


static void
channel_exec_start(agent_ws_t *ws, agent_ws_stream_t *s, const char *id,
                   const sandbox_json_t *doc)
{
    (void) s;
    channel_start(ws, id, doc, AGENT_EXEC_STREAM);
}


static void
channel_pty_start(agent_ws_t *ws, agent_ws_stream_t *s, const char *id,
                  const sandbox_json_t *doc)
{
    (void) s;
    channel_start(ws, id, doc, AGENT_EXEC_PTY);
}


static void
channel_connect(agent_ws_t *ws, const char *id, const sandbox_json_t *doc,
                agent_control_form_t form)
{
    channel_t *c;
    agent_job_t *job;
    agent_control_t control;
    agent_body_error_t err;

    if (agent_control_read(&control, form, doc, &err) != AGENT_BODY_OK) {
        agent_ws_invalid(ws, id, err.field, err.reason);
        return;
    }

    job = form == AGENT_CONTROL_PTY_CONNECT
              ? agent_job_find_session(control.session_id)
              : agent_job_find(control.pid);

    if (job == NULL) {
        agent_ws_error(ws, id, "not_found",
                       "The agent has started no such process.");
        return;
    }

    if (job->foreground
        || (form == AGENT_CONTROL_EXEC_CONNECT && job->session_id[0] != '\0'))
    {
        agent_ws_error(ws, id, "conflict",
                       "The output of the process goes elsewhere.");
        return;
    }

    c = calloc(1, sizeof(*c));
    if (c == NULL) {
        agent_ws_error(ws, id, "capacity_exceeded",
                       "The sandbox is out of memory.");
        return;
    }

    channel_show(ws, id, c, job, (uint64_t) control.offset);
}


static void
channel_exec_connect(agent_ws_t *ws, agent_ws_stream_t *s, const char *id,
                     const sandbox_json_t *doc)
{
    (void) s;
    channel_connect(ws, id, doc, AGENT_CONTROL_EXEC_CONNECT);
}


static void
channel_pty_connect(agent_ws_t *ws, agent_ws_stream_t *s, const char *id,
                    const sandbox_json_t *doc)
{
    (void) s;
    channel_connect(ws, id, doc, AGENT_CONTROL_PTY_CONNECT);
}


static void
channel_input_done(void *data, int err)
{
    channel_t *c;
    channel_input_t *i = data;

    (void) err;

    c = i->channel;
    if (c != NULL) {
        LIST_REMOVE(i, link);
        c->pending -= i->input.len + AGENT_INPUT_COST;

        if (c->pending < CHANNEL_INPUT_MAX) {
            agent_ws_hold(&c->stream, 0);
        }
    }

    free(i->buf);
    free(i);
}


/* Queues the data of control, which are taken over, as input. */
static void
channel_write(channel_t *c, agent_control_t *control)
{
    channel_input_t *i;

    i = calloc(1, sizeof(*i));
    if (i == NULL) {
        agent_ws_error(c->stream.ws, c->stream.id, "capacity_exceeded",
                       "The sandbox is out of memory.");
        return;
    }

    i->buf = control->data;
    control->data = NULL;

    i->input.buf = i->buf;
    i->input.len = control->len;
    i->input.eof = control->eof;
    i->input.done = channel_input_done;
    i->input.data = i;

    if (agent_job_write(c->tap.job, &i->input) == -1) {
        if (errno == ENOBUFS) {
            agent_ws_error(c->stream.ws, c->stream.id, "capacity_exceeded",
                           "The process does not read its input.");
        } else if (errno == ENOMEM) {
            agent_ws_error(c->stream.ws, c->stream.id, "capacity_exceeded",
                           "The sandbox is out of memory.");
        } else {
            agent_ws_error(c->stream.ws, c->stream.id, "conflict",
                           "The input of the process is closed.");
        }

        free(i->buf);
        free(i);
        return;
    }

    i->channel = c;
    LIST_INSERT_HEAD(&c->inputs, i, link);
    c->pending += i->input.len + AGENT_INPUT_COST;

    if (c->pending >= CHANNEL_INPUT_MAX) {
        agent_ws_hold(&c->stream, 1);
    }
}


/* Reads the members of a message for s; 0, or -1 after an error message. */
static int
channel_read(agent_control_t *control, agent_control_form_t form,
             agent_ws_stream_t *s, const sandbox_json_t *doc)
{
    agent_body_error_t err;

    if (agent_control_read(control, form, doc, &err) == AGENT_BODY_OK) {
        return 0;
    }

    agent_ws_invalid(s->ws, s->id, err.field, err.reason);

    return -1;
}


static void
channel_exec_stdin(agent_ws_t *ws, agent_ws_stream_t *s, const char *id,
                   const sandbox_json_t *doc)
{
    agent_control_t control;

    (void) ws;
    (void) id;

    if (channel_read(&control, AGENT_CONTROL_EXEC_STDIN, s, doc) == 0) {
        channel_write(channel_of(s), &control);
        agent_control_free(&control);
    }
}


static void
channel_pty_input(agent_ws_t *ws, agent_ws_stream_t *s, const char *id,
                  const sandbox_json_t *doc)
{
    agent_control_t control;

    (void) ws;
    (void) id;

    if (channel_read(&control, AGENT_CONTROL_PTY_INPUT, s, doc) == 0) {
        channel_write(channel_of(s), &control);
        agent_control_free(&control);
    }
}


static void
channel_signal(agent_ws_stream_t *s, int signal)
{
    if (agent_job_signal(channel_of(s)->tap.job, signal) == -1) {
        agent_ws_error(s->ws, s->id, "conflict", "The process has ended.");
    }
}


static void
channel_exec_signal(agent_ws_t *ws, agent_ws_stream_t *s, const char *id,
                    const sandbox_json_t *doc)
{
    agent_control_t control;

    (void) ws;
    (void) id;

    if (channel_read(&control, AGENT_CONTROL_EXEC_SIGNAL, s, doc) == 0) {
        channel_signal(s, control.signal);
    }
}


static void
channel_pty_kill(agent_ws_t *ws, agent_ws_stream_t *s, const char *id,
                 const sandbox_json_t *doc)
{
    agent_control_t control;

    (void) ws;
    (void) id;

    if (channel_read(&control, AGENT_CONTROL_CLOSE, s, doc) == 0) {
        channel_signal(s, SIGKILL);
    }
}


static void
channel_pty_resize(agent_ws_t *ws, agent_ws_stream_t *s, const char *id,
                   const sandbox_json_t *doc)
{
    agent_control_t control;

    (void) ws;
    (void) id;

    if (channel_read(&control, AGENT_CONTROL_PTY_RESIZE, s, doc) == 0) {
        agent_job_resize(channel_of(s)->tap.job, (unsigned short) control.cols,
                         (unsigned short) control.rows);
    }
}


static void
channel_close(agent_ws_t *ws, agent_ws_stream_t *s, const char *id,
              const sandbox_json_t *doc)
{
    agent_control_t control;

    (void) ws;
    (void) id;

    if (channel_read(&control, AGENT_CONTROL_CLOSE, s, doc) == 0) {
        agent_ws_detach(s);
        channel_free(channel_of(s));
    }
}


static const agent_ws_message_t channel_exec_messages[] = {
    { "exec_start", channel_exec_start, 1 },
    { "exec_connect", channel_exec_connect, 1 },
    { "exec_stdin", channel_exec_stdin, 0 },
    { "exec_signal", channel_exec_signal, 0 },
    { "exec_close", channel_close, 0 },
};

static const agent_ws_message_t channel_pty_messages[] = {
    { "pty_start", channel_pty_start, 1 },
    { "pty_connect", channel_pty_connect, 1 },
    { "pty_input", channel_pty_input, 0 },
    { "pty_resize", channel_pty_resize, 0 },
    { "pty_close", channel_close, 0 },
    { "pty_kill", channel_pty_kill, 0 },
};

const agent_ws_channel_t agent_exec_channel = { "exec", channel_exec_messages,
                                                COUNT(channel_exec_messages),
                                                channel_pump,
                                                channel_detached };
const agent_ws_channel_t agent_pty_channel = { "pty", channel_pty_messages,
                                               COUNT(channel_pty_messages),
                                               channel_pump, channel_detached };
