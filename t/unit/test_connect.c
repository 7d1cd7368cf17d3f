/* What TCP_INFO tells of a connection and its attempt, on loopback. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <poll.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "sandbox_connect.h"


/* A socket on a free port of loopback; its address goes to addr. */
static int
bound(struct sockaddr_in *addr)
{
    int fd;
    socklen_t len;

    memset(addr, 0, sizeof(*addr));
    addr->sin_family = AF_INET;
    addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    len = sizeof(*addr);

    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *) addr, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) addr, &len), 0);

    return fd;
}


/* Connects as nginx does, and clears SO_ERROR as nginx does. */
static int
attempt(const struct sockaddr_in *addr)
{
    int fd, error;
    socklen_t len;
    struct pollfd pfd;

    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    (void) connect(fd, (const struct sockaddr *) addr, sizeof(*addr));

    pfd.fd = fd;
    pfd.events = POLLOUT;
    assert_int_equal(poll(&pfd, 1, 5000), 1);

    len = sizeof(error);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);

    return fd;
}


static void
test_refused(void **state)
{
    int fd, taken;
    struct sockaddr_in addr;

    (void) state;

    taken = bound(&addr); /* does not listen */
    fd = attempt(&addr);

    assert_int_equal(sandbox_connect_result(fd), SANDBOX_CONNECT_REFUSED);

    close(fd);
    close(taken);
}


/* Also with the tag of ngx_http_sandbox_peer.c in sin_zero. */
static void
test_done(void **state)
{
    int fd, accepted, listener;
    struct linger reset = { 1, 0 };
    struct pollfd pfd;
    struct sockaddr_in addr;

    (void) state;

    listener = bound(&addr);
    assert_int_equal(listen(listener, 1), 0);
    memset(addr.sin_zero, 0xa5, sizeof(addr.sin_zero));

    fd = attempt(&addr);
    assert_int_equal(sandbox_connect_result(fd), SANDBOX_CONNECT_DONE);

    accepted = accept(listener, NULL, NULL);
    assert_true(accepted >= 0);
    assert_int_equal(
        setsockopt(accepted, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    close(accepted);

    pfd.fd = fd;
    pfd.events = POLLIN;
    assert_int_equal(poll(&pfd, 1, 5000), 1);
    assert_int_equal(sandbox_connect_result(fd), SANDBOX_CONNECT_DONE);

    close(fd);
    close(listener);
}


static void
test_failed(void **state)
{
    int fd;

    (void) state;

    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(sandbox_connect_result(fd), SANDBOX_CONNECT_FAILED);
    close(fd);

    assert_int_equal(sandbox_connect_result(-1), SANDBOX_CONNECT_FAILED);
}


/* What is idle or unanswered, with a peer that is there; it never reads. */
static void
test_silence(void **state)
{
    int i, fd, accepted, listener, on;
    char block[65536];
    socklen_t len;
    struct sockaddr_in addr;

    (void) state;

    listener = bound(&addr);
    assert_int_equal(listen(listener, 1), 0);
    fd = attempt(&addr);
    accepted = accept(listener, NULL, NULL);
    assert_true(accepted >= 0);

    on = 0;
    len = sizeof(on);
    sandbox_connect_watch(fd);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &len), 0);
    assert_int_equal(on, 1);

    usleep(50000);
    assert_int_equal(sandbox_connect_silence(fd), 0);

    memset(block, 'x', sizeof(block));
    for (i = 0; i < 1000 && send(fd, block, sizeof(block), 0) > 0; i++) {
        /* until its window is full */
    }
    assert_in_range(i, 1, 999);
    assert_in_range(sandbox_connect_silence(fd), 0, 10000);

    close(accepted);
    close(fd);
    close(listener);

    assert_int_equal(sandbox_connect_silence(-1), 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_done),
        cmocka_unit_test(test_failed),
        cmocka_unit_test(test_silence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
