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


sandbox_connect_e
sandbox_connect_result(int fd)
{
    socklen_t len;
    struct tcp_info info;

    memset(&info, 0, sizeof(info));
    len = sizeof(info);

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0
        || len < offsetof(struct tcp_info, tcpi_segs_in)
                     + sizeof(info.tcpi_segs_in))
    {
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
