/*
 * Jobs under the real loop: the ring, taps that hold a command back, what is
 * remembered, terminals, input, and the control group that nothing leaves.
 */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "check.h"
#include "freeze.h"
#include "group.h"
#include "job.h"
#include "launch.h"
#include "loop.h"
#include "memory.h"
#include "reap.h"
#include "sandbox_time.h"
#include "sandbox_utf8.h"

static int groups; /* there is a control group for commands */
static char groups_dir[64];


static agent_job_t *
start(agent_exec_form_t form, const char *json)
{
    sandbox_json_t doc;
    agent_job_t *job;
    agent_body_error_t err;
    agent_exec_request_t req;
    agent_launch_error_t fault;

    assert_int_equal(agent_body_json(&doc, json, strlen(json), &err), 0);
    assert_int_equal(agent_exec_read(&req, form, &doc, &err), 0);
    job = agent_launch(&req, form, NULL, &fault);
    assert_non_null(job);
    agent_exec_free(&req);
    sandbox_json_free(&doc);

    return job;
}


/* All of a ring as text; freed by the caller. */
static char *
text(const agent_ring_t *r, uint64_t offset)
{
    size_t n;
    char *s;
    const char *data;
    agent_stream_t stream;

    s = calloc(1, (size_t) (r->end - offset) + 1);
    assert_non_null(s);

    for (; offset < r->end; offset += n) {
        n = agent_ring_piece(r, offset, AGENT_RING_MAX, &data, &stream);
        assert_true(n > 0);
        strncat(s, data, n);
    }

    return s;
}


static void
test_ring(void **state)
{
    size_t n, at, i;
    char block[1000];
    const char *data;
    agent_ring_t r;
    agent_stream_t stream;

    (void) state;
    memset(&r, 0, sizeof(r));

    assert_int_equal(agent_ring_reserve(&r, 10), 0);
    agent_ring_add(&r, AGENT_STDOUT, "out", 3);
    agent_ring_add(&r, AGENT_STDERR, "errors and more", 15);
    agent_ring_add(&r, AGENT_STDOUT, "x", 1);

    n = agent_ring_piece(&r, 0, 100, &data, &stream);
    assert_int_equal(n, 3);
    assert_int_equal(stream, AGENT_STDOUT);
    n = agent_ring_piece(&r, 3, 100, &data, &stream);
    assert_int_equal(n, 15);
    assert_int_equal(stream, AGENT_STDERR);
    assert_memory_equal(data, "errors and more", 15);
    n = agent_ring_piece(&r, 5, 4, &data, &stream);
    assert_int_equal(n, 4);
    assert_memory_equal(data, "rors", 4);
    assert_int_equal(agent_ring_piece(&r, 19, 1, &data, &stream), 0);

    /* Many turns of a ring that grows, with the streams in turns. */
    for (i = 0; i < 5000; i++) {
        memset(block, 'a' + (int) (i % 26), sizeof(block));
        n = 1 + i * 7 % sizeof(block);

        if (i < 3000) {
            agent_ring_reserve(&r, (size_t) (r.end - r.begin) + n);
        }

        agent_ring_add(&r, i % 2 ? AGENT_STDERR : AGENT_STDOUT, block, n);
        assert_true(r.end - r.begin <= r.size);
    }

    assert_int_equal(r.size, AGENT_RING_MAX);
    assert_int_equal(r.end - r.begin, AGENT_RING_MAX);

    /* The newest pieces, from the last one back. */
    at = 0;
    for (i = 4999; i > 4900; i--) {
        n = 1 + i * 7 % sizeof(block);
        at += n;
        agent_ring_piece(&r, r.end - at, AGENT_RING_MAX, &data, &stream);
        assert_int_equal(data[0], 'a' + (int) (i % 26));
        assert_int_equal(stream, i % 2 ? AGENT_STDERR : AGENT_STDOUT);
    }

    /* More than fits at once. */
    agent_ring_free(&r);
    assert_int_equal(agent_ring_reserve(&r, 1), 0);
    for (i = 0; i < 9; i++) {
        agent_ring_add(&r, AGENT_STDOUT, block, sizeof(block));
    }
    assert_int_equal(r.end, 9000);
    assert_int_equal(r.end - r.begin, r.size);

    agent_ring_free(&r);
}


/* Reads what there is; how many bytes that are, and whether all is UTF-8. */
static size_t
read_whole(const agent_job_t *job, uint64_t offset, int *utf8)
{
    size_t n, sum;
    const char *data;
    agent_stream_t stream;

    *utf8 = 1;

    for (sum = 0;
         (n = agent_job_peek(job, offset + sum, 100, &data, &stream)) > 0;
         sum += n)
    {
        *utf8 &= sandbox_utf8_valid((const uint8_t *) data, n);
    }

    return sum;
}


/* No character is cut: not where output is overwritten, wraps or stops. */
static void
test_characters(void **state)
{
    int i, utf8;
    size_t n;
    agent_job_t job;

    (void) state;
    memset(&job, 0, sizeof(job));
    job.running = 1;
    assert_int_equal(agent_ring_reserve(&job.ring, 1), 0);

    for (i = 0; i < 12000; i++) {
        agent_ring_add(&job.ring, AGENT_STDOUT, "\xf0\x9f\x98\x80\n" + i % 5,
                       1);

        if (job.ring.begin > 0) {
            n = read_whole(&job, agent_ring_from(&job.ring, 0), &utf8);
            assert_true(utf8);
            assert_in_range(n, job.ring.size - 6, job.ring.size);
        }
    }

    /* what cannot be completed is given, and so is the rest of a job */
    for (i = 0; i < 2; i++) {
        agent_ring_add(&job.ring, AGENT_STDOUT, "a\xf0\x9f", 3);
        assert_int_equal(read_whole(&job, job.ring.end - 3, &utf8), 1);
        agent_ring_add(&job.ring, AGENT_STDERR, "e", 1);
        assert_int_equal(read_whole(&job, job.ring.end - 4, &utf8), 4);
        assert_false(utf8);
    }

    agent_ring_add(&job.ring, AGENT_STDOUT, "\xf0", 1);
    assert_int_equal(read_whole(&job, job.ring.end - 1, &utf8), 0);
    agent_ring_add(&job.ring, AGENT_STDOUT, "a", 1);
    assert_int_equal(read_whole(&job, job.ring.end - 2, &utf8), 2);
    agent_ring_add(&job.ring, AGENT_STDOUT, "\xf0", 1);
    job.running = 0;
    assert_int_equal(read_whole(&job, job.ring.end - 1, &utf8), 1);

    /* nothing is passed over of what is no UTF-8 */
    for (i = 0; i < 5000; i++) {
        agent_ring_add(&job.ring, AGENT_STDOUT, "\x80", 1);
    }

    assert_int_equal(agent_ring_from(&job.ring, 0), job.ring.begin);
    assert_int_equal(agent_ring_from(&job.ring, job.ring.end + 9),
                     job.ring.end);
    agent_ring_free(&job.ring);
}


/* Memory that the output of others takes; the sum of it. */
static size_t
memory_exhaust(void)
{
    size_t size, sum;

    sum = 0;

    for (size = SIZE_MAX / 2 + 1; size > 0; size /= 2) {
        while (agent_memory_take(AGENT_MEMORY_OUTPUT, size) == 0) {
            sum += size;
        }
    }

    return sum;
}


typedef struct {
    agent_tap_t tap;
    agent_tap_t other;
    agent_job_t *next;
    unsigned ended;
} mover_t;


/* From one that has ended to another, as a socket with both does. */
static void
mover_ready(void *data)
{
    mover_t *m = data;

    if (m->tap.job != NULL && agent_job_over(&m->tap)) {
        m->ended++;
        agent_job_detach(&m->tap);
        agent_job_attach(&m->other, m->next, 0);
    }
}


/*
 * One that ends is not forgotten for another's output while it tells so.  No
 * other job is remembered yet that could be.
 */
static void
test_forget_telling(void **state)
{
    size_t taken;
    mover_t m;
    int64_t pid;
    agent_job_t *job;

    (void) state;
    memset(&m, 0, sizeof(m));
    m.tap.ready = m.other.ready = mover_ready;
    m.tap.data = m.other.data = &m;

    job = start(AGENT_EXEC_STREAM, "{\"command\":\"true\"}");
    pid = job->pid;
    m.next =
        start(AGENT_EXEC_STREAM, "{\"command\":\"sleep\",\"args\":[\"60\"]}");
    agent_job_attach(&m.tap, job, 0);
    taken = memory_exhaust();

    wait_for(m.ended == 1);
    assert_non_null(agent_job_find(pid));

    /* Then it is. */
    agent_job_detach(&m.other);
    agent_job_attach(&m.other, m.next, 0);
    assert_null(agent_job_find(pid));

    agent_memory_give(AGENT_MEMORY_OUTPUT, taken);
    agent_job_detach(&m.other);
    assert_int_equal(agent_job_signal(m.next, SIGKILL), 0);
    wait_for(!m.next->running);
}


static void
test_background(void **state)
{
    char *s;
    agent_job_t *job;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    (void) state;

    job = start(AGENT_EXEC_POST,
                "{\"command\":\"echo a; echo b >&2; exit 3\",\"shell\":true,"
                "\"background\":true}");
    assert_ptr_equal(agent_job_find(job->pid), job);
    wait_for(!job->running);

    s = text(&job->ring, 0);
    assert_int_equal(strlen(s), 4);
    assert_non_null(strstr(s, "a\n"));
    assert_non_null(strstr(s, "b\n"));
    assert_int_equal(job->exit.code, 3);
    free(s);

    agent_job_list(&t);
    assert_non_null(strstr(t.data, "\"exit_code\":3"));
    assert_non_null(strstr(t.data, "\"running\":false"));
    assert_non_null(strstr(t.data, "echo a; echo b >&2; exit 3"));
    sandbox_text_free(&t);

    assert_int_equal(agent_job_signal(job, SIGTERM), -1);
    assert_null(agent_job_find(1));
}


/* What nobody reads is overwritten, and never holds the command. */
static void
test_newest(void **state)
{
    char *s;
    agent_job_t *job;

    (void) state;

    job = start(AGENT_EXEC_POST, "{\"command\":\"seq 1 400000\",\"shell\":true,"
                                 "\"background\":true}");
    wait_for(!job->running);

    assert_int_equal(job->ring.end, 2688895);
    assert_true(job->ring.end - job->ring.begin <= AGENT_RING_MAX);
    s = text(&job->ring, job->ring.end - 14);
    assert_string_equal(s, "399999\n400000\n");
    free(s);
}


typedef struct {
    agent_tap_t tap;
    unsigned told;
    uint64_t taken;
    unsigned long sum;
} reader_t;


static void
reader_ready(void *data)
{
    reader_t *r = data;

    r->told++;
}


static size_t
reader_take(reader_t *r, size_t max)
{
    size_t n, i;
    const char *data;
    agent_stream_t stream;

    assert_int_equal(r->tap.offset, r->taken);
    n = agent_job_peek(r->tap.job, r->tap.offset, max, &data, &stream);

    for (i = 0; i < n; i++) {
        r->sum = r->sum * 31 + (unsigned char) data[i];
    }

    agent_job_take(&r->tap, n);
    r->taken += n;

    return n;
}


/* With no memory left for output what is followed goes on, slowly. */
static void
test_no_memory(void **state)
{
    size_t taken;
    reader_t r;
    agent_job_t *job;

    (void) state;
    memset(&r, 0, sizeof(r));
    r.tap.ready = reader_ready;
    r.tap.data = &r;

    taken = memory_exhaust();
    job = start(AGENT_EXEC_STREAM,
                "{\"command\":\"seq\",\"args\":[\"1\",\"20000\"]}");
    agent_job_attach(&r.tap, job, 0);

    while (!agent_job_over(&r.tap)) {
        if (reader_take(&r, 5000) == 0) {
            idle(1);
        }
    }

    assert_int_equal(r.taken, 108894);
    agent_job_detach(&r.tap);
    agent_memory_give(AGENT_MEMORY_OUTPUT, taken);
}


/* With a tap nothing is lost, nothing grows, and the command waits. */
static void
test_hold(void **state)
{
    int i;
    size_t len;
    char line[16];
    unsigned long sum;
    reader_t r;
    agent_job_t *job;

    (void) state;
    memset(&r, 0, sizeof(r));
    r.tap.ready = reader_ready;
    r.tap.data = &r;

    job = start(AGENT_EXEC_STREAM,
                "{\"command\":\"seq\",\"args\":[\"1\",\"400000\"]}");
    agent_job_attach(&r.tap, job, 0);
    wait_for(job->ring.end >= 262144);
    idle(100);
    assert_true(job->running);
    assert_int_equal(job->ring.end, 262144);

    while (!agent_job_over(&r.tap)) {
        if (reader_take(&r, 5000) == 0) {
            idle(5);
        }
        assert_true(job->ring.end - r.taken <= 262144);
    }

    sum = 0;
    for (i = 1; i <= 400000; i++) {
        len = (size_t) snprintf(line, sizeof(line), "%d\n", i);
        for (size_t j = 0; j < len; j++) {
            sum = sum * 31 + (unsigned char) line[j];
        }
    }

    assert_true(sum == r.sum);
    assert_true(r.told > 0);
    agent_job_detach(&r.tap);

    /* One that is left goes on. */
    job = start(AGENT_EXEC_STREAM,
                "{\"command\":\"seq\",\"args\":[\"1\",\"400000\"]}");
    r.taken = 0;
    agent_job_attach(&r.tap, job, 0);
    wait_for(job->ring.end >= 262144);
    assert_true(job->running);
    agent_job_detach(&r.tap);
    wait_for(!job->running);

    /* A reader that comes back too late learns where output begins. */
    agent_job_attach(&r.tap, job, 5);
    assert_int_equal(r.tap.offset, job->ring.begin);
    agent_job_detach(&r.tap);
}


static void
test_remembered(void **state)
{
    int i;
    reader_t r;
    agent_job_t *job;
    int64_t first, kept;

    (void) state;
    memset(&r, 0, sizeof(r));
    r.tap.ready = reader_ready;
    r.tap.data = &r;

    job = start(AGENT_EXEC_STREAM, "{\"command\":\"true\"}");
    first = job->pid;
    wait_for(!job->running);

    job = start(AGENT_EXEC_STREAM, "{\"command\":\"true\"}");
    kept = job->pid;
    agent_job_attach(&r.tap, job, 0);
    wait_for(!job->running);

    for (i = 0; i < AGENT_JOBS_ENDED_MAX + 10; i++) {
        job = start(AGENT_EXEC_STREAM, "{\"command\":\"true\"}");
        wait_for(!job->running);
    }

    assert_null(agent_job_find(first));
    assert_non_null(agent_job_find(kept));
    assert_non_null(agent_job_find(job->pid));
    agent_job_detach(&r.tap);
}


typedef struct {
    agent_input_t input;
    int done;
    int err;
} sent_t;


static void
sent_done(void *data, int err)
{
    sent_t *s = data;

    s->done = 1;
    s->err = err;
}


static int
feed(agent_job_t *job, sent_t *s, const char *buf, size_t len, int eof)
{
    memset(s, 0, sizeof(*s));
    s->input.buf = buf;
    s->input.len = len;
    s->input.eof = eof;
    s->input.done = sent_done;
    s->input.data = s;

    return agent_job_write(job, &s->input);
}


#define MANY 20000


static void
test_input(void **state)
{
    int i;
    char *s, *big;
    size_t taken, left;
    sent_t a, b, c, *many;
    agent_job_t *job, *other;

    (void) state;
    left = agent_memory_left(AGENT_MEMORY_INPUT);

    job = start(AGENT_EXEC_STREAM, "{\"command\":\"cat\",\"stdin\":true}");
    assert_int_equal(feed(job, &a, "one ", 4, 0), 0);
    assert_int_equal(feed(job, &b, "two", 3, 1), 0);
    assert_int_equal(feed(job, &c, "three", 5, 0), -1);
    assert_int_equal(errno, EPIPE);
    wait_for(!job->running);
    assert_true(a.done && b.done && a.err == 0 && b.err == 0);
    s = text(&job->ring, 0);
    assert_string_equal(s, "one two");
    free(s);
    assert_int_equal(feed(job, &c, "x", 1, 0), -1);

    /* Nothing to read from. */
    job = start(AGENT_EXEC_STREAM, "{\"command\":\"cat\"}");
    assert_int_equal(feed(job, &a, "x", 1, 0), -1);
    wait_for(!job->running);

    /* What a command does not read is bounded, and given up when it ends. */
    big = calloc(1, 3 * 1024 * 1024);
    assert_non_null(big);
    job = start(AGENT_EXEC_STREAM,
                "{\"command\":\"sleep\",\"args\":[\"600\"],\"stdin\":true}");
    assert_int_equal(feed(job, &a, big, 3 * 1024 * 1024, 0), 0);
    assert_int_equal(feed(job, &b, big, 3 * 1024 * 1024, 0), -1);
    assert_int_equal(errno, ENOBUFS);
    idle(100);
    assert_int_equal(a.done, 0);
    assert_true(a.input.sent > 0 && a.input.sent < 1048577);
    assert_int_equal(feed(job, &b, "x", 1, 0), 0);
    agent_job_cancel(job, &b.input);

    /* All commands together have a share, beside which small ones go. */
    taken = agent_memory_left(AGENT_MEMORY_INPUT);
    assert_int_equal(agent_memory_take(AGENT_MEMORY_INPUT, taken), 0);
    assert_int_equal(feed(job, &c, "x", 1, 0), -1);
    assert_int_equal(errno, ENOMEM);
    other = start(AGENT_EXEC_STREAM, "{\"command\":\"cat\",\"stdin\":true}");
    assert_int_equal(feed(other, &c, big, 17000, 1), -1);
    assert_int_equal(feed(other, &c, big, 16000, 1), 0);
    wait_for(!other->running);
    assert_int_equal(other->ring.end, 16000);
    agent_memory_give(AGENT_MEMORY_INPUT, taken);

    /* Also what is empty: it takes memory. */
    many = calloc(MANY, sizeof(*many));
    assert_non_null(many);
    for (i = 0; i < MANY && feed(job, &many[i], "", 0, 0) == 0; i++) {
        /* void */
    }
    assert_in_range(i, 1, MANY - 1);

    assert_int_equal(agent_job_signal(job, SIGKILL), 0);
    wait_for(!job->running);
    free(many);
    assert_int_equal(a.err, EPIPE);
    assert_int_equal(b.done, 0);
    assert_int_equal(agent_memory_left(AGENT_MEMORY_INPUT), left);
    assert_int_equal(job->exit.code, 137);
    assert_int_equal(job->exit.signal, SIGKILL);
    free(big);
}


static void
test_terminal(void **state)
{
    char *s;
    sent_t a;
    agent_job_t *job;

    (void) state;

    job = start(AGENT_EXEC_PTY,
                "{\"command\":\"/bin/sh\",\"args\":[\"-c\",\"tty; stty size; "
                "read x; stty size; echo got $x $TERM\"],\"cols\":101,"
                "\"rows\":33,\"session_id\":\"mine\"}");
    assert_ptr_equal(agent_job_find_session("mine"), job);
    wait_for(job->ring.end >= 20);
    agent_job_resize(job, 55, 44);
    assert_int_equal(feed(job, &a, "hello\r", 6, 0), 0);
    wait_for(!job->running);

    s = text(&job->ring, 0);
    assert_non_null(strstr(s, "/dev/pts/"));
    assert_non_null(strstr(s, "33 101\r\n"));
    assert_non_null(strstr(s, "44 55\r\n"));
    assert_non_null(strstr(s, "got hello xterm-256color\r\n"));
    free(s);

    /* An interrupt from the keyboard reaches the foreground. */
    job = start(AGENT_EXEC_PTY, "{\"command\":\"/bin/sh\",\"args\":[\"-c\","
                                "\"echo; exec sleep 600\"]}");
    assert_int_equal(strlen(job->session_id), 30);
    wait_for(job->ring.end > 0);
    assert_int_equal(feed(job, &a, "\003", 1, 0), 0);
    wait_for(!job->running);
    assert_int_equal(job->exit.signal, SIGINT);

    /* All of the output, also what was written last. */
    job = start(AGENT_EXEC_PTY,
                "{\"command\":\"seq\",\"args\":[\"1\",\"20000\"]}");
    wait_for(!job->running);
    assert_int_equal(job->ring.end, 108894 + 20000);
}


/* Runs a command of the shell on a terminal. */
static agent_job_t *
shell(const char *command)
{
    char json[512];

    snprintf(json, sizeof(json),
             "{\"command\":\"/bin/sh\",\"args\":[\"-c\",\"%s\"]}", command);

    return start(AGENT_EXEC_PTY, json);
}


/* Waits for the end of a job, whose output must be that. */
static void
says(agent_job_t *job, const char *want)
{
    char *s;

    wait_for(!job->running);
    s = text(&job->ring, 0);
    assert_string_equal(s, want);
    free(s);
}


/* The end of input reaches who reads a terminal, and the terminal stays. */
static void
test_terminal_eof(void **state)
{
    char *many;
    sent_t a, b, c;
    size_t i;
    agent_job_t *job;

    (void) state;

    /* alone, at the end of a line, and in the middle of one */
    job = shell("stty -echo; echo; cat; echo 1; cat; echo 2; cat; echo 3; "
                "read x; echo $x");
    wait_for(job->ring.end == 2);
    assert_int_equal(feed(job, &a, NULL, 0, 1), 0);
    wait_for(job->ring.end == 5);
    assert_int_equal(feed(job, &a, "line\r", 5, 1), 0);
    assert_int_equal(feed(job, &b, "half", 4, 1), 0);
    assert_int_equal(feed(job, &c, "on\n", 3, 0), 0);
    says(job, "\r\n1\r\nline\r\n2\r\nhalf3\r\non\r\n");
    assert_true(a.done && a.err == 0 && a.input.sent == 5);
    assert_true(b.done && b.err == 0 && b.input.sent == 4);

    /* the middle of a line that came before, and what else ends a line */
    job = shell("stty -echo eol x; echo; cat; cat; cat; echo end");
    wait_for(job->ring.end == 2);
    assert_int_equal(feed(job, &a, "abc", 3, 0), 0);
    wait_for(a.done);
    assert_int_equal(feed(job, &a, NULL, 0, 1), 0);
    assert_int_equal(feed(job, &b, "def\025", 4, 1), 0);
    assert_int_equal(feed(job, &c, "ghix", 4, 1), 0);
    says(job, "\r\nabcghixend\r\n");

    /* another character, and none */
    job = shell("stty -echo eof z; echo; cat; stty eof undef; echo 1; read x;"
                "echo $x");
    wait_for(job->ring.end == 2);
    assert_int_equal(feed(job, &a, NULL, 0, 1), 0);
    wait_for(job->ring.end == 5);
    assert_int_equal(feed(job, &a, NULL, 0, 1), 0);
    assert_int_equal(feed(job, &b, "a\r", 2, 0), 0);
    says(job, "\r\n1\r\na\r\n");
    assert_true(a.done && a.err == 0);

    /* a program that reads bytes is given the one */
    job = shell("stty raw -echo; echo; head -c 3 | od -An -tx1");
    wait_for(job->ring.end == 1);
    assert_int_equal(feed(job, &a, "a", 1, 1), 0);
    assert_int_equal(feed(job, &b, "b", 1, 0), 0);
    says(job, "\n 61 04 62\n");

    /* more than the terminal takes at once */
    many = malloc(100001);
    assert_non_null(many);
    for (i = 0; i < 100000; i++) {
        many[i] = i % 100 == 99 ? '\r' : 'y';
    }
    many[i] = 'z';
    job = shell("stty -echo; echo; cat | wc -c; echo end");
    wait_for(job->ring.end == 2);
    assert_int_equal(feed(job, &a, many, 100001, 1), 0);
    says(job, "\r\n100001\r\nend\r\n");
    free(many);

    /* once its program has ended nothing is typed */
    assert_int_equal(feed(job, &a, NULL, 0, 1), -1);
    assert_int_equal(errno, EPIPE);
}


/* The pid that a command printed first. */
static pid_t
printed(const agent_job_t *job)
{
    char *s;
    pid_t pid;

    s = text(&job->ring, 0);
    pid = (pid_t) strtol(s, NULL, 10);
    free(s);

    return pid;
}


static int
gone(pid_t pid)
{
    return kill(pid, 0) == -1 && errno == ESRCH;
}


#define ESCAPE                                                                 \
    "\"setsid sh -c 'echo $$; trap \\\"\\\" TERM; sleep 4411 & sleep 4411' & " \
    "sleep 4412\""

/* setsid does not leave a control group. */
static void
test_tree(void **state)
{
    pid_t pid;
    agent_job_t *job;

    (void) state;

    if (!groups) {
        skip();
    }

    job = start(AGENT_EXEC_POST,
                "{\"command\":" ESCAPE
                ",\"shell\":true,\"background\":true,\"timeout_secs\":1}");
    wait_for(job->ring.end > 0);
    pid = printed(job);
    assert_false(gone(pid));
    wait_for(!job->running);
    assert_int_equal(job->exit.timed_out, 1);
    wait_for(gone(pid));

    job = start(AGENT_EXEC_POST,
                "{\"command\":" ESCAPE ",\"shell\":true,\"background\":true}");
    wait_for(job->ring.end > 0);
    pid = printed(job);
    assert_int_equal(agent_job_signal(job, SIGKILL), 0);
    wait_for(!job->running);
    wait_for(gone(pid));
}


static int
count_groups(void)
{
    int n;
    char line[256];
    FILE *f;

    n = -1;
    f = popen("find /sys/fs/cgroup/sandbox -mindepth 1 -type d | wc -l", "r");
    if (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        n = atoi(line);
    }

    if (f != NULL) {
        pclose(f);
    }

    return n;
}


#define MAKE_GROUPS                                                            \
    "g=$(sed -n s,^0::.*/,/sys/fs/cgroup/sandbox/,p /proc/self/cgroup) && "    \
    "mkdir -p $g/a/b $g/c"

/* The group of a command goes with its last process. */
static void
test_group_removed(void **state)
{
    pid_t pid;
    agent_job_t *job;

    (void) state;

    if (!groups) {
        skip();
    }

    job = start(AGENT_EXEC_POST,
                "{\"command\":\"setsid sleep 4413 >/dev/null 2>&1 & echo $!\","
                "\"shell\":true,\"background\":true}");
    wait_for(!job->running);
    pid = printed(job);
    assert_int_equal(count_groups(), 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    wait_for(count_groups() == 0);

    /* also if it made some below, whether the last process ends or is left */
    job = start(AGENT_EXEC_POST, "{\"command\":\"" MAKE_GROUPS "\","
                                 "\"shell\":true,\"background\":true}");
    wait_for(!job->running);
    assert_int_equal(job->exit.code, 0);
    assert_int_equal(count_groups(), 0);

    job = start(AGENT_EXEC_POST,
                "{\"command\":\"" MAKE_GROUPS
                "; (echo 0 >$g/a/b/cgroup.procs; exec sleep 4414) "
                ">/dev/null 2>&1 & echo $!\","
                "\"shell\":true,\"background\":true}");
    wait_for(!job->running);
    pid = printed(job);
    assert_int_equal(count_groups(), 4);
    assert_int_equal(kill(pid, SIGKILL), 0);
    wait_for(count_groups() == 0);
}


/* The first of all commands, too, comes no further than to the freezing. */
static void
test_freeze_first(void **state)
{
    char error[128];
    agent_job_t *job;

    (void) state;

    if (!groups) {
        skip();
    }

    assert_int_equal(agent_freeze_hold(error, sizeof(error)), 0);
    assert_int_equal(agent_thaw(error, sizeof(error)), 0);

    assert_int_equal(agent_freeze(error, sizeof(error)), 0);
    job = start(AGENT_EXEC_STREAM, "{\"command\":\"true\"}");
    idle(200);
    assert_true(job->running);

    assert_int_equal(agent_thaw(error, sizeof(error)), 0);
    wait_for(!job->running);
}


/* What is frozen stands still in groups below, too, and can be killed. */
static void
test_freeze(void **state)
{
    uint64_t end;
    char error[128];
    agent_job_t *job, *late;

    (void) state;

    if (!groups) {
        skip();
    }

    job = start(AGENT_EXEC_POST,
                "{\"command\":\"while :; do echo x; sleep 0.01; done\","
                "\"shell\":true,\"background\":true}");
    wait_for(job->ring.end > 10);

    assert_int_equal(agent_freeze(error, sizeof(error)), 0);
    idle(50);
    end = job->ring.end;
    late = start(AGENT_EXEC_STREAM, "{\"command\":\"true\"}");
    idle(200);
    assert_int_equal(job->ring.end, end);
    assert_true(late->running);

    assert_int_equal(agent_thaw(error, sizeof(error)), 0);
    wait_for(job->ring.end > end);
    wait_for(!late->running);

    assert_int_equal(agent_freeze(error, sizeof(error)), 0);
    assert_int_equal(agent_job_signal(job, SIGKILL), 0);
    wait_for(!job->running);
    assert_int_equal(agent_thaw(error, sizeof(error)), 0);
}


/* A cgroup v2 of this test's own; 0, or -1 where there is none. */
static int
make_groups(void)
{
    snprintf(groups_dir, sizeof(groups_dir), "/sys/fs/cgroup/test-%d",
             (int) getpid());

    if (unshare(CLONE_NEWNS) == -1
        || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1
        || mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL) == -1
        || mkdir(groups_dir, 0755) == -1
        || mount(groups_dir, "/sys/fs/cgroup", NULL, MS_BIND, NULL) == -1)
    {
        return -1;
    }

    agent_freeze_init();

    return agent_freeze_group() == -1 ? -1 : 0;
}


static int
remove_groups(void **state)
{
    (void) state;

    if (groups) {
        rmdir("/sys/fs/cgroup/sandbox");
        umount2("/sys/fs/cgroup", MNT_DETACH);
        rmdir(groups_dir);
    }

    return 0;
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_freeze_first),
        cmocka_unit_test(test_ring),
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_forget_telling),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_background),
        cmocka_unit_test(test_newest),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_remembered),
        cmocka_unit_test(test_input),
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_terminal_eof),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_freeze),
        cmocka_unit_test(test_group_removed),
    };

    groups = make_groups() == 0;

    if (prctl(PR_SET_CHILD_SUBREAPER, 1) == -1 || agent_loop_init() == -1
        || agent_reap_init() == -1)
    {
        return 1;
    }

    return cmocka_run_group_tests_name("agent job", tests, NULL, remove_groups);
}
