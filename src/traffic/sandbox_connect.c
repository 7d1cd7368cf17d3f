/*
 * Reading TCP_INFO; see the header.  In a file of its own because the
 * kernel's struct tcp_info, unlike the C library's, has the counters, and the
 * two cannot be included together.
 */

#include "sandbox_connect.h"

#include <stddef.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <linux/tcp.h>

/* The C library's TCP_CLOSE is beyond reach here; states are the kernel's. */
#define SANDBOX_TCP_CLOSE 7

/* Idle time before the first keepalive probe, and between two. */
#define SANDBOX_CONNECT_ASK_S 10

/* Unanswered probes after which the kernel gives up; the most it takes. */
#define SANDBOX_CONNECT_QUESTIONS 127


static int
connect_info(int fd, struct tcp_info *info)
{
    socklen_t len;

    memset(info, 0, sizeof(*info));
    len = sizeof(*info);

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) != 0
        || len < offsetof(struct tcp_info, tcpi_segs_in)
                     + sizeof(info->tcpi_segs_in))
    {
        return -1;
    }

    return 0;
}


sandbox_connect_e
sandbox_connect_result(int fd)
{
    struct tcp_info info;

    if (connect_info(fd, &info) != 0) {
        return SANDBOX_CONNECT_FAILED;
    }

    /* the SYN counts as a byte: acknowledged, it was accepted */

    if (info.tcpi_bytes_acked > 0) {
        return SANDBOX_CONNECT_DONE;
    }

    return info.tcpi_state == SANDBOX_TCP_CLOSE && info.tcpi_segs_in > 0
               ? SANDBOX_CONNECT_REFUSED
               : SANDBOX_CONNECT_FAILED;
}


void
sandbox_connect_watch(int fd)
{
    int on, seconds, count;

    on = 1;
    seconds = SANDBOX_CONNECT_ASK_S;
    count = SANDBOX_CONNECT_QUESTIONS;

    /* without keepalive, silence shows only where data waits */
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds,
                      sizeof(seconds));
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
    (void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}


unsigned
sandbox_connect_silence(int fd)
{
    struct tcp_info info;

    if (connect_info(fd, &info) != 0) {
        return 0;
    }

    return info.tcpi_unacked || info.tcpi_probes ? info.tcpi_last_ack_recv : 0;
}
