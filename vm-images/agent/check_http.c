/* Clients of the HTTP server for tests; see the header. */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "check_http.h"
#include "loop.h"
#include "reap.h"
#include "sandbox_json.h"

#define REPLY_MAX (64 * 1024 * 1024)

static in_port_t port;
static agent_child_t client;
static int client_status;


void
server_start(const agent_route_t *routes, size_t n, const char *peer)
{
    agent_http_conf_t conf;

    inet_pton(AF_INET, "127.0.0.1", &conf.address);
    inet_pton(AF_INET, peer, &conf.peer);
    conf.port = port;
    conf.token = TOKEN;
    conf.routes = routes;
    conf.nroutes = n;
    assert_int_equal(agent_http_start(&conf), 0);
}


static void
client_exited(void *data, int status)
{
    (void) data;
    client_status = status;
    agent_loop_stop();
}


/* Runs a client to its end, with the server beside it. */
void
scenario(void (*run)(void))
{
    fflush(stdout);
    client.exited = client_exited;
    client.pid = fork();
    assert_int_not_equal(client.pid, -1);

    if (client.pid == 0) {
        agent_reap_reset_signals();
        alarm(60);
        run();
        _exit(0);
    }

    agent_reap_watch(&client);
    assert_int_equal(agent_loop_run(), 0);
    assert_true(WIFEXITED(client_status));
    assert_int_equal(WEXITSTATUS(client_status), 0);
}


int
dial(void)
{
    int fd;
    struct sockaddr_in sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    expect(fd != -1);
    expect(connect(fd, (struct sockaddr *) &sin, sizeof(sin)) == 0);

    return fd;
}


void
transmit(int fd, const char *data, size_t len)
{
    ssize_t n;

    while (len > 0) {
        n = send(fd, data, len, MSG_NOSIGNAL);
        expect(n > 0);
        data += n;
        len -= n;
    }
}


/* Reads one answer with its body; the caller frees it. */
char *
receive(int fd)
{
    char *reply, *body, *length;
    size_t len, want;
    ssize_t n;

    reply = calloc(1, REPLY_MAX);
    expect(reply != NULL);
    len = 0;
    want = SIZE_MAX;

    while (len < want) {
        n = recv(fd, reply + len, REPLY_MAX - 1 - len, 0);
        expect(n > 0);
        len += n;

        body = memmem(reply, len, "\r\n\r\n", 4);
        if (body != NULL) {
            length = strcasestr(reply, "\r\nContent-Length: ");
            expect(length != NULL && length < body);
            want = body + 4 - reply + strtoul(length + 18, NULL, 10);
        }
    }

    expect(len == want);

    return reply;
}


void
request(int fd, const char *head, const char *body)
{
    char *text;

    expect(asprintf(&text, "%sContent-Length: %zu\r\n\r\n%s", head,
                    strlen(body), body)
           > 0);
    transmit(fd, text, strlen(text));
    free(text);
}


/* One request on a connection of its own. */
char *
ask(const char *head, const char *body)
{
    int fd;
    char *reply;

    fd = dial();
    request(fd, head, body);
    reply = receive(fd);
    close(fd);

    return reply;
}


void
answers_soon(const char *head, const char *body, const char *part)
{
    int i, found;
    char *reply;

    for (i = found = 0; i < 100 && !found; i++) {
        if (i) {
            usleep(100000);
        }

        reply = ask(head, body);
        found = strstr(reply, part) != NULL;
        free(reply);
    }

    expect(found);
}


void
answers(const char *head, const char *body, int status, const char *part)
{
    char *reply;
    sandbox_json_t doc;
    sandbox_json_error_t err;

    reply = ask(head, body);

    if (strtol(reply + sizeof("HTTP/1.1 ") - 1, NULL, 10) != status
        || strstr(reply, part) == NULL)
    {
        fprintf(stderr, "expected %d and %s, got: %.2000s\n", status, part,
                reply);
        _exit(1);
    }

    body = strstr(reply, "\r\n\r\n") + 4;
    expect(sandbox_json_parse(&doc, body, strlen(body), &err) == 0);
    expect(status < 300
           || (sandbox_json_member(&doc, &doc.nodes[0], "error") != NULL
               && sandbox_json_member(&doc, &doc.nodes[0], "code") != NULL
               && sandbox_json_member(&doc, &doc.nodes[0], "request_id") != NULL
               && strstr(body, status == 503 ? "\"retryable\":true"
                                             : "\"retryable\":false")
                      != NULL));
    sandbox_json_free(&doc);
    free(reply);
}


/* A port nobody listens on. */
static int
find_port(void)
{
    int fd, rc;
    socklen_t len;
    struct sockaddr_in sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    len = sizeof(sin);

    fd = socket(AF_INET, SOCK_STREAM, 0);
    rc = -1;
    if (fd != -1 && bind(fd, (struct sockaddr *) &sin, len) == 0) {
        rc = getsockname(fd, (struct sockaddr *) &sin, &len);
    }

    close(fd);
    port = ntohs(sin.sin_port);

    return rc;
}


int
check_init(void)
{
    return prctl(PR_SET_CHILD_SUBREAPER, 1) == -1 || agent_loop_init() == -1
                   || agent_reap_init() == -1 || find_port() == -1
               ? -1
               : 0;
}
