/*
 * The HTTP face as a client meets it: the server runs in this process on a
 * loopback port, each scenario is a client in a child process.
 */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "check_http.h"
#include "exec.h"
#include "launch.h"
#include "loop.h"
#include "memory.h"
#include "processes.h"
#include "sandbox_time.h"

#define EXEC "POST /v1/sandboxes/sb_1/exec HTTP/1.1\r\nHost: x\r\n"
#define LEFT " /v1/sandboxes/sb_1/left"
#define HEAD " HTTP/1.1\r\nHost: x\r\n" AUTH

static uint32_t refused; /* the events of watches that fail, or 0 */
static int refusal;      /* their errno */
static int spared;       /* how many do not fail before */


/* In place of the C library's, for the agent: a kernel without memory. */
int
epoll_ctl(int epoll, int op, int fd, struct epoll_event *ev)
{
    if (refused && op == EPOLL_CTL_ADD && ev->events == refused
        && spared-- <= 0) {
        errno = refusal;
        return -1;
    }

    return (int) syscall(SYS_epoll_ctl, epoll, op, fd, ev);
}


/* A route that answers from a timer, with nothing else to wake the loop. */
static void
later_answer(void *data)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    sandbox_text_str(&t, "{}");
    agent_http_answer(data, 200, &t);
}


static void
later_handler(agent_request_t *r, const char *body, size_t len)
{
    static agent_timer_t timer;

    (void) body;
    (void) len;

    timer.handler = later_answer;
    timer.data = r;
    agent_loop_timer(&timer, 100);
    agent_http_set_ctx(r, &timer);
}


static void
later_abort(void *ctx)
{
    agent_loop_timer_stop(ctx);
}


/* What is left for output: clients ask for it, and say how much it is to be. */
static size_t memory_taken;


static void
left_answer(agent_request_t *r, const char *body, size_t len)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    (void) body;
    (void) len;

    sandbox_text_fmt(&t, "{\"left\":%zu}",
                     agent_memory_left(AGENT_MEMORY_OUTPUT));
    agent_http_answer(r, 200, &t);
}


static void
left_handler(agent_request_t *r, const char *body, size_t len)
{
    agent_memory_give(AGENT_MEMORY_OUTPUT, memory_taken);
    memory_taken = agent_memory_left(AGENT_MEMORY_OUTPUT)
                   - strtoul(agent_http_segment(r), NULL, 10);
    assert_int_equal(agent_memory_take(AGENT_MEMORY_OUTPUT, memory_taken), 0);
    left_answer(r, body, len);
}


static void
input_answer(agent_request_t *r, const char *body, size_t len)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    (void) body;
    (void) len;

    sandbox_text_fmt(&t, "{\"left\":%zu}",
                     agent_memory_left(AGENT_MEMORY_INPUT));
    agent_http_answer(r, 200, &t);
}


/* Ends a test in which clients have set it to left. */
static void
left_over(size_t left)
{
    assert_int_equal(agent_memory_left(AGENT_MEMORY_OUTPUT), left);
    agent_memory_give(AGENT_MEMORY_OUTPUT, memory_taken);
    memory_taken = 0;
}


#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const agent_route_t routes[] = {
    { "exec", "POST", 0, agent_exec_handler, agent_exec_abort },
    { "later", "POST", 0, later_handler, later_abort },
    { "left", "GET", 0, left_answer },
    { "left/*", "POST", 0, left_handler },
    { "input", "GET", 0, input_answer },
    { "processes/*/logs", "GET", 1, agent_processes_logs },
    { "processes/*/stdin", "POST", 0, agent_processes_stdin,
      agent_processes_stdin_abort },
};


static void
client_exec(void)
{
    answers(EXEC AUTH, "{\"command\":\"echo\",\"args\":[\"a\",\"b\"]}", 200,
            "{\"exit_code\":0,\"stdout\":\"a b\\n\",\"stderr\":\"\",\"pid\":");
    answers(EXEC AUTH, "{\"command\":\"echo x >&2; exit 3\",\"shell\":true}",
            200, "{\"exit_code\":3,\"stdout\":\"\",\"stderr\":\"x\\n\"");
    answers(EXEC AUTH "Content-Type: application/json; charset=utf-8\r\n",
            "{\"command\":\"no-such-command\"}", 200,
            "{\"exit_code\":127,\"stdout\":\"\",\"stderr\":\"no-such-command:");
    answers(EXEC AUTH,
            "{\"command\":\"printf 'a\\\\377b\\\\001c'\",\"shell\":true}", 200,
            "\"a\xef\xbf\xbd"
            "b\\u0001c\"");
}


static void
test_exec(void **state)
{
    (void) state;
    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_exec);
    agent_http_stop();
}


static void
client_environment(void)
{
    answers(EXEC AUTH,
            "{\"command\":\"echo $A $B $HOME $USER $LANG; pwd\",\"shell\":true,"
            "\"envs\":{\"B\":\"request\"}}",
            200, "\"sandbox request /root root C.UTF-8\\n/tmp\\n\"");
    answers(EXEC AUTH,
            "{\"command\":\"pwd\",\"cwd\":\"/usr//bin/..\",\"shell\":true}",
            200, "\"/usr\\n\"");
    answers(EXEC AUTH,
            "{\"command\":\"printf '%s' \\\"$(env | grep -c ^PATH=)\\\"\","
            "\"shell\":true,\"envs\":{\"PATH\":\"/bin:/usr/bin\"}}",
            200, "\"stdout\":\"1\"");
    answers(EXEC AUTH, "{\"command\":\"pwd\",\"cwd\":\"/no/such\"}", 400,
            "\"error_detail\":{\"field\":\"cwd\",");
    answers(EXEC AUTH, "{\"command\":\"id\",\"user\":\"no-such\"}", 400,
            "\"error_detail\":{\"field\":\"user\",");
}


static void
test_environment(void **state)
{
    agent_env_t env;

    (void) state;

    memset(&env, 0, sizeof(env));
    assert_int_equal(agent_env_set(&env, "A", "sandbox"), 0);
    assert_int_equal(agent_env_set(&env, "B", "sandbox"), 0);
    assert_int_equal(agent_launch_defaults(&env, "/tmp"), 0);
    agent_env_free(&env);

    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_environment);
    agent_http_stop();
}


static void
client_refusals(void)
{
    static const char body[] = "{\"command\":\"true\"}";

    answers(EXEC, body, 401, "WWW-Authenticate: Bearer");
    answers(EXEC "Authorization: Bearer \r\n", body, 401, "unauthorized");
    answers(EXEC "Authorization: Bearer t0ke\r\n", body, 401, "unauthorized");
    answers(EXEC "Authorization: Bearer t0kenn\r\n", body, 401, "unauthorized");
    answers(EXEC "Authorization: Bearer t0kent0ken\r\n", body, 401,
            "unauthorized");
    answers(EXEC "Authorization: Basic t0ken\r\n", body, 401, "unauthorized");
    answers("GET /v1/sandboxes/sb_1/exec HTTP/1.1\r\nHost: x\r\n" AUTH, "", 405,
            "Allow: POST");
    answers("GET /v1/sandboxes/sb_1/processes HTTP/1.1\r\nHost: x\r\n" AUTH, "",
            404, "not_found");
    answers("POST /v1/sandboxes//exec HTTP/1.1\r\nHost: x\r\n" AUTH, body, 404,
            "not_found");
    answers("POST /v1/sandboxes/a/b/exec HTTP/1.1\r\nHost: x\r\n" AUTH, body,
            404, "not_found");
    answers("POST / HTTP/1.1\r\nHost: x\r\n" AUTH, body, 404, "not_found");
    answers(EXEC AUTH "Content-Type: text/plain\r\n", body, 415,
            "unsupported_media_type");
    answers(EXEC AUTH, "", 400, "invalid_json");
    answers(EXEC AUTH, "{\"command\":\"a\",\"envs\":{\"A\":\"\",\"A\":\"\"}}",
            400,
            "\"code\":\"invalid_json\",\"error_detail\":{\"field\":\"envs.A\","
            "\"reason\":\"is given twice at byte");
    answers(EXEC AUTH, "{\"command\":\"x\",\"tty\":1}", 400,
            "\"field\":\"tty\"");
    answers("POST /v1/sandboxes/sb_1/exec?tty=1 HTTP/1.1\r\nHost: x\r\n" AUTH,
            body, 400,
            "\"field\":\"tty\",\"reason\":\"is not a parameter of this "
            "resource\"");
}


static void
test_refusals(void **state)
{
    (void) state;
    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_refusals);
    agent_http_stop();
}


static void
client_request_ids(void)
{
    char *reply;

    reply = ask(EXEC AUTH "X-Request-Id: req_abc-9\r\n", "{");
    expect(strstr(reply, "X-Request-Id: req_abc-9\r\n") != NULL);
    expect(strstr(reply, "\"request_id\":\"req_abc-9\",\"retryable\":false}")
           != NULL);
    free(reply);

    reply = ask(EXEC AUTH "X-Request-Id: a\"b\r\n", "{");
    expect(strstr(reply, "a\"b") == NULL);
    expect(strstr(reply, "\"request_id\":\"req_") != NULL);
    free(reply);
}


static void
test_request_ids(void **state)
{
    (void) state;
    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_request_ids);
    agent_http_stop();
}


static void
client_keepalive(void)
{
    int i, fd;
    char *reply;

    fd = dial();

    for (i = 0; i < 50; i++) {
        request(fd, i % 7 ? EXEC AUTH : EXEC, "{\"command\":\"true\"}");
        reply = receive(fd);
        expect(strncmp(reply + 9, i % 7 ? "200" : "401", 3) == 0);
        free(reply);
    }

    close(fd);
}


static void
test_keepalive(void **state)
{
    (void) state;
    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_keepalive);
    agent_http_stop();
}


#define PADDING 25000 /* of each of four headers, as nginx may send them */


/* A head of a request may be as large as nginx takes it. */
static void
client_head(void)
{
    int i;
    char *reply, *padding;
    sandbox_text_t head = SANDBOX_TEXT_INIT;

    padding = malloc(PADDING);
    expect(padding != NULL);
    memset(padding, 'a', PADDING);
    sandbox_text_str(&head, EXEC AUTH);

    for (i = 0; i < 4; i++) {
        sandbox_text_fmt(&head, "X-Padding-%d: ", i);
        sandbox_text_add(&head, padding, PADDING);
        sandbox_text_str(&head, "\r\n");
    }

    sandbox_text_add(&head, "", 1);
    expect(!sandbox_text_failed(&head));
    reply = ask(head.data, "{\"command\":\"echo\",\"args\":[\"a\"]}");
    expect(strstr(reply, "HTTP/1.1 200 ") == reply);
    expect(strstr(reply, "\"stdout\":\"a\\n\"") != NULL);
    free(reply);
    sandbox_text_free(&head);
    free(padding);
}


static void
test_head(void **state)
{
    (void) state;
    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_head);
    agent_http_stop();
}


/* A server that cannot start says why, also if the library does not. */
static void
test_start(void **state)
{
    int n;
    agent_http_conf_t conf;

    (void) state;
    memset(&conf, 0, sizeof(conf));
    conf.address.s_addr = htonl(INADDR_LOOPBACK);
    conf.token = TOKEN;

    refused = EPOLLIN;
    refusal = 0;

    /* the library's watches, then the one of the library's descriptor */
    for (n = 0; n < 10; n++) {
        spared = n;
        errno = 0;

        if (agent_http_start(&conf) == 0) {
            break;
        }

        assert_int_not_equal(errno, 0);
    }

    assert_in_range(n, 2, 9);
    refused = 0;
    agent_http_stop();
}


static void
client_body_limit(void)
{
    char *body;

    body = malloc(3 * AGENT_BODY_MAX);
    expect(body != NULL);
    memset(body, ' ', 3 * AGENT_BODY_MAX);
    body[3 * AGENT_BODY_MAX - 1] = '\0';
    answers(EXEC AUTH, body, 413, "body_too_large");

    memcpy(body, "{\"command\":\"true\"}", 18);
    body[AGENT_BODY_MAX] = '\0';
    answers(EXEC AUTH, body, 200, "\"exit_code\":0");

    body[AGENT_BODY_MAX] = ' ';
    body[AGENT_BODY_MAX + 1] = '\0';
    answers(EXEC AUTH, body, 413, "body_too_large");
    free(body);
}


static void
test_body_limit(void **state)
{
    (void) state;
    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_body_limit);
    agent_http_stop();
}


static void
client_output_limit(void)
{
    char *reply;

    reply = ask(EXEC AUTH,
                "{\"command\":\"head -c 9000000 /dev/zero | tr '\\\\000' a;"
                "echo e >&2; exit 5\",\"shell\":true}");
    expect(strstr(reply, "{\"exit_code\":5,\"stdout\":\"aaa") != NULL);
    expect(strstr(reply, "aaa\",\"stdout_truncated\":true,\"stderr\":\"e\\n\","
                         "\"pid\"")
           != NULL);
    expect(strlen(strchr(reply, '{')) > 8 * 1024 * 1024);
    expect(strlen(strchr(reply, '{')) < 8 * 1024 * 1024 + 200);
    free(reply);
}


static void
test_output_limit(void **state)
{
    (void) state;
    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_output_limit);
    agent_http_stop();
}


#define TIMES(n, c) "head -c " n " /dev/zero | tr '\\\\0' '" c "'"
#define CONTROLS(n) TIMES(n, "\\\\1") /* each is six bytes of JSON */
#define MEMBERS(command) "\"shell\":true,\"command\":\"" command "\"}"
#define SHELL(command) "{" MEMBERS(command)
#define BACKGROUND(command) "{\"background\":true," MEMBERS(command)


/* What a command did is told in any case, with as much output as may wait. */
static void
client_shortened(void)
{
    char *reply;

    answers("POST" LEFT "/300000" HEAD, "", 200, "{\"left\":300000}");

    reply = ask(EXEC AUTH, SHELL(CONTROLS("40000") "; exit 5"));
    expect(strstr(reply, "{\"exit_code\":5,\"stdout\":\"\\u0001") != NULL);
    expect(strstr(reply, "\\u0001\",\"stderr\":\"\",\"pid\":") != NULL);
    expect(strlen(strchr(reply, '{')) > 240000);
    free(reply);

    reply = ask(EXEC AUTH, SHELL(CONTROLS("100000") "; echo e >&2; exit 5"));
    expect(strncmp(reply + 9, "200", 3) == 0);
    expect(strstr(reply, "{\"exit_code\":5,\"stdout\":\"\\u0001") != NULL);
    expect(strstr(reply, "\\u0001\",\"stdout_truncated\":true,"
                         "\"stderr\":\"e\\n\",\"pid\":")
           != NULL);
    expect(strlen(strchr(reply, '{')) > 150000);
    expect(strlen(strchr(reply, '{')) < 300000 + 16384);
    free(reply);

    reply =
        ask(EXEC AUTH, SHELL(CONTROLS("40000") "; " CONTROLS("40000") " >&2"));
    expect(strstr(reply, "\\u0001\",\"stderr\":\"\\u0001") != NULL);
    expect(strstr(reply, "\\u0001\",\"stderr_truncated\":true,\"pid\":")
           != NULL);
    free(reply);

    /* Output that may wait is not lost for what it takes itself. */
    reply = ask(EXEC AUTH, SHELL(TIMES("250000", "a")));
    expect(strstr(reply, "aaa\",\"stderr\":\"\",\"pid\":") != NULL);
    free(reply);

    answers_soon("GET" LEFT HEAD, "", "{\"left\":300000}");
    answers("POST" LEFT "/0" HEAD, "", 200, "{\"left\":0}");
    answers(EXEC AUTH, SHELL("echo a; echo b >&2; exit 3"), 200,
            "{\"exit_code\":3,\"stdout\":\"a\\n\",\"stderr\":\"b\\n\",\"pid\"");
    answers(EXEC AUTH, SHELL(CONTROLS("10000") "; exit 3"), 200,
            "\\u0001\",\"stdout_truncated\":true,\"stderr\":\"\",\"pid\":");
    answers(EXEC, "", 401, "unauthorized");
    answers_soon("GET" LEFT HEAD, "", "{\"left\":0}");
}


static void
test_shortened(void **state)
{
    (void) state;
    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_shortened);
    agent_http_stop();
    left_over(0);
}


/* What can be asked for again is refused. */
static void
client_no_room(void)
{
    char *reply, *pid, *logs;

    reply = ask(EXEC AUTH, BACKGROUND(CONTROLS("20000")));
    pid = strstr(reply, "{\"pid\":");
    expect(pid != NULL);
    expect(asprintf(&logs, "GET /v1/sandboxes/a/processes/%ld/logs" HEAD,
                    strtol(pid + 7, NULL, 10))
           > 0);
    free(reply);

    answers_soon(logs, "", "\"exit_code\":0");
    answers("POST" LEFT "/200000" HEAD, "", 200, "left");
    answers(logs, "", 503, "\"code\":\"capacity_exceeded\"");
    answers(logs, "", 503, "Retry-After: 1\r\n");
    answers_soon("GET" LEFT HEAD, "", "{\"left\":200000}");

    answers("POST" LEFT "/300000" HEAD, "", 200, "left");
    answers(logs, "", 200, "\"next_offset\":20000,");
    answers_soon("GET" LEFT HEAD, "", "{\"left\":300000}");
    free(logs);
}


static void
test_no_room(void **state)
{
    (void) state;
    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_no_room);
    agent_http_stop();
    left_over(300000);
}


static size_t
left(void)
{
    size_t n;
    char *reply, *number;

    reply = ask("GET" LEFT HEAD, "");
    number = strstr(reply, "{\"left\":");
    expect(number != NULL);
    n = strtoul(number + 8, NULL, 10);
    free(reply);

    return n;
}


/*
 * An answer counts for as long as it waits: more than the sockets take in is
 * asked for, and not read.
 */
static void
client_unread(void)
{
    int i, fd[2];
    char *reply;
    static const char big[] = SHELL(CONTROLS("2000000") "; exit 5");
    static const char cut[] = "\"stdout_truncated\":true";

    answers("POST" LEFT "/16000000" HEAD, "", 200, "left");

    for (i = 0; i < 2; i++) {
        fd[0] = dial();
        request(fd[0], EXEC AUTH, big);
        while (left() > 6000000) {
            usleep(10000);
        }

        answers(EXEC AUTH, big, 200, cut);
        answers(EXEC AUTH, SHELL("echo a"), 200, "\"stdout\":\"a\\n\",\"std");

        if (i == 0) {
            reply = receive(fd[0]);
            expect(strstr(reply, cut) == NULL);
            free(reply);

            /* The connection that goes on holds nothing. */
            answers_soon("GET" LEFT HEAD, "", "{\"left\":16000000}");
        }

        close(fd[0]);
        answers_soon("GET" LEFT HEAD, "", "{\"left\":16000000}");
    }

    reply = ask(EXEC AUTH, big);
    expect(strstr(reply, cut) == NULL);
    free(reply);

    /*
     * With another one they take no more; the server ends with both.  A
     * shorter answer may not wait: the sockets take it in.
     */
    fd[0] = dial();
    request(fd[0], EXEC AUTH, big);
    while (left() > 6000000) {
        usleep(10000);
    }

    fd[1] = dial();
    request(fd[1], EXEC AUTH, big);
    answers(EXEC AUTH, SHELL(CONTROLS("1000000")), 200, cut);
}


static void
test_unread(void **state)
{
    (void) state;
    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_unread);
    agent_http_stop();
    left_over(16000000);
}


#define INPUT "GET /v1/sandboxes/sb_1/input" HEAD
#define INPUT_LEFT 300000
#define WITH_SHELL(command) "\"shell\":true,\"command\":\"" command "\","


/* A JSON object of the members and so many bytes of a last one. */
static char *
with_bytes(const char *members, const char *last, int n)
{
    char *body;

    expect(asprintf(&body, "{%s\"%s\":\"%0*d\"}", members, last, n, 0) > 0);

    return body;
}


/* Input counts while it arrives, and until its command has taken it. */
static void
client_input_share(void)
{
    int fd;
    char *body, *reply, *head;
    static const char memory[] = "\"error\":\"The sandbox is out of memory.\"";
    static const char part[] = EXEC AUTH "Content-Length: 250000\r\n\r\n";

    /* a body that is too much, and one whose input is besides */
    body = with_bytes(WITH_SHELL("wc -c"), "stdin", 400000);
    answers(EXEC AUTH, body, 503, memory);
    answers(EXEC AUTH, body, 503, "Retry-After: 1\r\n");
    free(body);
    body = with_bytes(WITH_SHELL("wc -c"), "stdin", 200000);
    answers(EXEC AUTH, body, 503, memory);

    /* half a body */
    fd = dial();
    transmit(fd, part, sizeof(part) - 1);
    transmit(fd, body, 200000);
    answers_soon(INPUT, "", "{\"left\":116384}");
    answers(EXEC AUTH, body, 503, memory);
    answers(EXEC AUTH, SHELL("echo a"), 200, "\"stdout\":\"a\\n\"");
    close(fd);
    free(body);
    answers_soon(INPUT, "", "{\"left\":300000}");

    body = with_bytes(WITH_SHELL("wc -c"), "stdin", 120000);
    answers(EXEC AUTH, body, 200, "\"stdout\":\"120000\\n\"");
    free(body);
    answers(INPUT, "", 200, "{\"left\":300000}");

    /* a command that does not read, and one that has read */
    fd = dial();
    body = with_bytes(WITH_SHELL("exec sleep 4323"), "stdin", 120000);
    request(fd, EXEC AUTH, body);
    answers_soon(INPUT, "", "{\"left\":196128}");
    free(body);
    close(fd);
    answers_soon(INPUT, "", "{\"left\":300000}");

    fd = dial();
    body = with_bytes(WITH_SHELL("cat >/dev/null; exec sleep 4323"), "stdin",
                      120000);
    request(fd, EXEC AUTH, body);
    answers_soon(EXEC AUTH,
                 "{\"command\":\"pgrep\",\"args\":[\"-f\",\"^sleep 4323\"]}",
                 "{\"exit_code\":0,");
    answers(INPUT, "", 200, "{\"left\":300000}");
    free(body);
    close(fd);

    reply = ask(EXEC AUTH, BACKGROUND("exec sleep 4323"));
    expect(strstr(reply, "{\"pid\":") != NULL);
    expect(asprintf(&head, "POST /v1/sandboxes/a/processes/%ld/stdin" HEAD,
                    strtol(strstr(reply, "{\"pid\":") + 7, NULL, 10))
           > 0);
    free(reply);
    body = with_bytes("", "data", 200000);
    answers(head, body, 503, memory);
    free(body);
    free(head);
    answers(EXEC AUTH,
            "{\"command\":\"pkill\",\"args\":[\"-f\",\"^sleep 4323\"]}", 200,
            "{\"exit_code\":0,");
}


static void
test_input_share(void **state)
{
    size_t taken;

    (void) state;
    taken = agent_memory_left(AGENT_MEMORY_INPUT) - INPUT_LEFT;
    assert_int_equal(agent_memory_take(AGENT_MEMORY_INPUT, taken), 0);

    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_input_share);
    agent_http_stop();
    assert_int_equal(agent_memory_left(AGENT_MEMORY_INPUT), INPUT_LEFT);
    agent_memory_give(AGENT_MEMORY_INPUT, taken);
}


/* A command whose input cannot be queued is refused, and does not go on. */
static void
client_no_input(void)
{
    size_t i;
    static const char *const bodies[] = {
        "{" WITH_SHELL("exec sleep 43.25") "\"stdin\":\"a\"}",
        "{" WITH_SHELL("exec sleep 43.25") "\"stdin\":\"a\","
                                           "\"background\":true}",
    };

    for (i = 0; i < COUNT(bodies); i++) {
        answers(EXEC AUTH, bodies[i], 503, "memory is out");
        answers_soon(EXEC AUTH,
                     "{\"command\":\"pgrep\","
                     "\"args\":[\"-f\",\"^sleep 43.25\"]}",
                     "\"exit_code\":1");
    }
}


static void
test_no_input(void **state)
{
    (void) state;
    spared = 0;
    refused = EPOLLOUT;
    refusal = ENOMEM;
    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_no_input);
    agent_http_stop();
    refused = 0;
}


static void
client_timeout(void)
{
    int64_t start;

    start = sandbox_time_monotonic_ms();
    answers(EXEC AUTH,
            "{\"command\":\"sleep 4321 | sleep 4321\",\"shell\":true,"
            "\"timeout_secs\":1}",
            504, "\"code\":\"exec_timeout\"");
    expect(sandbox_time_monotonic_ms() - start < 3000);
    answers(EXEC AUTH,
            "{\"command\":\"pgrep\",\"args\":[\"-f\",\"^sleep "
            "4321\"]}",
            200, "{\"exit_code\":1,\"stdout\":\"\"");
}


static void
test_timeout(void **state)
{
    (void) state;
    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_timeout);
    agent_http_stop();
}


static void
client_later(void)
{
    int i;
    int64_t start;

    for (i = 0; i < 5; i++) {
        start = sandbox_time_monotonic_ms();
        answers("POST /v1/sandboxes/a/later HTTP/1.1\r\nHost: x\r\n" AUTH, "",
                200, "{}");
        expect(sandbox_time_monotonic_ms() - start < 2000);
    }
}


static void
test_later(void **state)
{
    (void) state;
    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_later);
    agent_http_stop();
}


static void
client_disconnect(void)
{
    int fd;
    static const char find[] =
        "{\"command\":\"pgrep\",\"args\":[\"-f\",\"^sleep 4322\"]}";

    fd = dial();
    request(fd, EXEC AUTH, "{\"command\":\"sleep 4322; true\",\"shell\":true}");
    answers_soon(EXEC AUTH, find, "{\"exit_code\":0,");

    close(fd);
    answers_soon(EXEC AUTH, find, "\"exit_code\":1,");
}


static void
test_disconnect(void **state)
{
    (void) state;
    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_disconnect);
    agent_http_stop();
}


static void
client_parallel(void)
{
    int i;
    int fd[100];
    char *reply;
    int64_t start;

    start = sandbox_time_monotonic_ms();

    for (i = 0; i < 100; i++) {
        fd[i] = dial();
        request(fd[i], EXEC AUTH,
                "{\"command\":\"sleep 1; echo ok\",\"shell\":true}");
    }

    for (i = 99; i >= 0; i--) {
        reply = receive(fd[i]);
        expect(strstr(reply, "\"stdout\":\"ok\\n\"") != NULL);
        free(reply);
        close(fd[i]);
    }

    expect(sandbox_time_monotonic_ms() - start < 20000);
}


static void
test_parallel(void **state)
{
    (void) state;
    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_parallel);
    agent_http_stop();
}


/* Whoever is not the gateway gets a closed connection and no word. */
static void
client_stranger(void)
{
    int fd;
    char byte;

    fd = dial();
    (void) !send(fd, EXEC AUTH "Content-Length: 2\r\n\r\n{}", 30, MSG_NOSIGNAL);
    expect(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
}


static void
test_stranger(void **state)
{
    (void) state;
    server_start(routes, COUNT(routes), "127.0.0.2");
    scenario(client_stranger);
    agent_http_stop();
}


/* Broken HTTP ends that connection, and harms no other. */
static void
client_garbage(void)
{
    int i, j, fd;
    char block[300];
    struct pollfd pfd;

    srandom(5);

    for (i = 0; i < 300; i++) {
        fd = dial();

        if (i % 3 == 0) {
            (void) !send(fd, EXEC AUTH "Transfer-Encoding: chunked\r\n\r\n",
                         sizeof(EXEC AUTH "Transfer-Encoding: chunked\r\n\r\n")
                             - 1,
                         MSG_NOSIGNAL);
        }

        for (j = 0; j < (int) sizeof(block); j++) {
            block[j] = i % 2 ? "POST / HTTP/1.1\r\n:0f"[random() % 21]
                             : (char) random();
        }

        (void) !send(fd, block, random() % sizeof(block), MSG_NOSIGNAL);
        pfd.fd = fd;
        pfd.events = POLLIN;
        poll(&pfd, 1, 2);
        close(fd);
    }

    answers(EXEC AUTH, "{\"command\":\"true\"}", 200, "\"exit_code\":0");
}


static void
test_garbage(void **state)
{
    (void) state;
    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client_garbage);
    agent_http_stop();
}


static void
restart(void *data)
{
    (void) data;
    server_start(routes, COUNT(routes), "127.0.0.1");
}


/* A new configuration ends the connections and commands of the old one. */
static void
client_restart(void)
{
    int idle, busy;
    char byte;

    idle = dial();
    busy = dial();
    request(busy, EXEC AUTH, "{\"command\":\"sleep\",\"args\":[\"4323\"]}");

    expect(recv(busy, &byte, 1, 0) <= 0);
    expect(recv(idle, &byte, 1, 0) <= 0);

    usleep(200000);
    answers_soon(EXEC AUTH,
                 "{\"command\":\"pgrep\",\"args\":[\"-f\",\"^sleep 4323\"]}",
                 "\"exit_code\":1,");
}


/* A scenario in which handler runs when the client has asked. */
static void
scenario_meanwhile(void (*handler)(void *data), void (*client)(void))
{
    agent_timer_t timer;

    memset(&timer, 0, sizeof(timer));
    timer.handler = handler;
    server_start(routes, COUNT(routes), "127.0.0.1");
    agent_loop_timer(&timer, 400);
    scenario(client);
    agent_http_stop();
}


static void
test_restart(void **state)
{
    (void) state;
    scenario_meanwhile(restart, client_restart);
}


static void
retire(void *data)
{
    (void) data;
    agent_http_retire();
    server_start(routes, COUNT(routes), "127.0.0.1");
}


/*
 * Clients of an earlier life are told nothing, and learn that their connections
 * are over when they send something.  Their commands are ended.
 */
static void
client_retired(void)
{
    int idle, busy;
    char byte;
    struct pollfd pfd;

    idle = dial();
    busy = dial();
    request(busy, EXEC AUTH, "{\"command\":\"sleep\",\"args\":[\"4324\"]}");

    pfd.fd = idle;
    pfd.events = POLLIN;
    expect(poll(&pfd, 1, 1000) == 0);
    pfd.fd = busy;
    expect(poll(&pfd, 1, 0) == 0);

    expect(send(busy, "x", 1, MSG_NOSIGNAL) == 1);
    expect(poll(&pfd, 1, 1000) == 1);
    expect(recv(busy, &byte, 1, 0) == -1 && errno == ECONNRESET);

    answers_soon(EXEC AUTH,
                 "{\"command\":\"pgrep\",\"args\":[\"-f\",\"^sleep 4324\"]}",
                 "\"exit_code\":1,");
    usleep(500000);
}


static void
test_retired(void **state)
{
    (void) state;
    scenario_meanwhile(retire, client_retired);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exec),         cmocka_unit_test(test_environment),
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_request_ids),
        cmocka_unit_test(test_keepalive),    cmocka_unit_test(test_body_limit),
        cmocka_unit_test(test_output_limit), cmocka_unit_test(test_shortened),
        cmocka_unit_test(test_no_room),      cmocka_unit_test(test_unread),
        cmocka_unit_test(test_input_share),  cmocka_unit_test(test_no_input),
        cmocka_unit_test(test_timeout),      cmocka_unit_test(test_later),
        cmocka_unit_test(test_disconnect),   cmocka_unit_test(test_parallel),
        cmocka_unit_test(test_stranger),     cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_restart),      cmocka_unit_test(test_retired),
        cmocka_unit_test(test_head),         cmocka_unit_test(test_start),
    };

    if (check_init() == -1) {
        return 1;
    }

    return cmocka_run_group_tests_name("agent http", tests, NULL, NULL);
}
