/* Requests by libmnl; see the header. */

#include "sandbox_network_netlink.h"

#include <errno.h>
#include <string.h>
#include <time.h>


struct nlmsghdr *
network_netlink_message(char *buf, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *m;

    memset(buf, 0, NETWORK_NETLINK_SIZE);
    m = mnl_nlmsg_put_header(buf);
    m->nlmsg_type = type;
    m->nlmsg_flags = (uint16_t) (NLM_F_REQUEST | flags);
    m->nlmsg_seq = (uint32_t) time(NULL);

    return m;
}


int
network_netlink_talk(int bus, const struct nlmsghdr *m, mnl_cb_t read,
                     void *data)
{
    int rc, error;
    ssize_t n;
    char answer[4096];
    struct mnl_socket *s;

    s = mnl_socket_open2(bus, SOCK_CLOEXEC);
    if (s == NULL) {
        return -1;
    }

    rc = -1;

    if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) == 0
        && mnl_socket_sendto(s, m, m->nlmsg_len) > 0)
    {
        n = mnl_socket_recvfrom(s, answer, sizeof(answer));

        if (n > 0
            && mnl_cb_run(answer, (size_t) n, m->nlmsg_seq,
                          mnl_socket_get_portid(s), read, data)
                   >= 0)
        {
            rc = 0;
        }
    }

    error = errno;
    (void) mnl_socket_close(s);
    errno = error;

    return rc;
}
