/* Asking a guest's agent for a sign of life. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "sandbox_ping.h"
#include "sandbox_time.h"

#define LOOPBACK 0x7f000001


/* A listener at a port of the kernel's choice. */
static int
listen_there(uint16_t *port)
{
    int fd;
    socklen_t len;
    struct sockaddr_in sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(LOOPBACK);

    len = sizeof(sin);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &sin, sizeof(sin)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &sin, &len), 0);
    *port = ntohs(sin.sin_port);

    return fd;
}


/* What a ping says of one who accepts and answers this (NULL: not at all). */
static int
ping_of(const char *answer, int64_t ms)
{
    int fd, peer, rc, status;
    char buf[64];
    pid_t pid;
    uint16_t port;

    fd = listen_there(&port);
    pid = fork();
    assert_true(pid >= 0);

    if (pid == 0) {
        peer = accept(fd, NULL, NULL);
        rc = read(peer, buf, sizeof(buf)) > 0;

        if (answer == NULL) {
            rc = read(peer, buf, sizeof(buf)) == 0;
        } else {
            rc &=
                write(peer, answer, strlen(answer)) == (ssize_t) strlen(answer);
        }

        _exit(!rc);
    }

    rc = sandbox_ping(LOOPBACK, port, sandbox_time_monotonic_ms() + ms);

    assert_int_equal(close(fd), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);

    return rc;
}


static void
test_answers(void **state)
{
    (void) state;

    assert_int_equal(ping_of("HTTP/1.1 401 Unauthorized\r\n\r\n", 10000), 0);
    assert_int_equal(ping_of("SSH-2.0-x\r\n", 10000), -1);
    assert_int_equal(ping_of("HTTP", 10000), -1);
    assert_int_equal(ping_of(NULL, 100), -1);
}


static void
test_nobody(void **state)
{
    int fd;
    uint16_t port;

    (void) state;

    fd = listen_there(&port);
    assert_int_equal(close(fd), 0);
    assert_int_equal(
        sandbox_ping(LOOPBACK, port, sandbox_time_monotonic_ms() + 10000), -1);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
