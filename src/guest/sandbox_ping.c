/* One request to a guest's agent; see the header. */

#include "sandbox_ping.h"

#include "sandbox_time.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/socket.h>


static const char ping_request[] = "GET / HTTP/1.0\r\n\r\n";


/* 0 when fd is ready for what events says. */
static int
ping_wait(int fd, short events, int64_t deadline_ms)
{
    int n;
    int64_t left;
    struct pollfd p = { fd, events, 0 };

    do {
        left = deadline_ms - sandbox_time_monotonic_ms();

        if (left <= 0) {
            return -1;
        }

        n = poll(&p, 1, (int) left);
    } while (n == -1 && errno == EINTR);

    return n == 1 ? 0 : -1;
}


/* 0 if the answer begins as one of HTTP. */
static int
ping_answer(int fd, int64_t deadline_ms)
{
    char buf[sizeof("HTTP/1.") - 1];
    size_t len;
    ssize_t n;

    for (len = 0; len < sizeof(buf); len += (size_t) n) {
        if (ping_wait(fd, POLLIN, deadline_ms) != 0) {
            return -1;
        }

        n = recv(fd, buf + len, sizeof(buf) - len, 0);

        if (n <= 0) {
            return -1;
        }
    }

    return memcmp(buf, "HTTP/1.", sizeof(buf)) == 0 ? 0 : -1;
}


static int
ping_talk(int fd, const struct sockaddr_in *sin, int64_t deadline_ms)
{
    ssize_t n;

    if ((connect(fd, (const struct sockaddr *) sin, sizeof(*sin)) != 0
         && errno != EINPROGRESS)
        || ping_wait(fd, POLLOUT, deadline_ms) != 0)
    {
        return -1;
    }

    /* fits into an empty buffer; fails if the connection did */
    n = send(fd, ping_request, sizeof(ping_request) - 1, MSG_NOSIGNAL);

    return n == sizeof(ping_request) - 1 ? ping_answer(fd, deadline_ms) : -1;
}


int
sandbox_ping(uint32_t address, uint16_t port, int64_t deadline_ms)
{
    int fd, rc;
    struct sockaddr_in sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(address);
    sin.sin_port = htons(port);

    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return -1;
    }

    rc = ping_talk(fd, &sin, deadline_ms);
    (void) close(fd);

    return rc;
}
