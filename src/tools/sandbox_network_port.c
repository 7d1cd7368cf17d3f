/* Ports of a bridge, by rtnetlink; see the header. */

#include "sandbox_network_port.h"

#include "sandbox_network_netlink.h"

#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/ether.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* From <net/if.h>, which conflicts with <linux/if.h>. */
unsigned int if_nametoindex(const char *name);


static int
port_settle(unsigned int tap)
{
    char buf[NETWORK_NETLINK_SIZE];
    struct nlattr *port;
    struct nlmsghdr *m;
    struct ifinfomsg *link;

    m = network_netlink_message(buf, RTM_SETLINK, NLM_F_ACK);
    link = mnl_nlmsg_put_extra_header(m, sizeof(*link));
    link->ifi_family = AF_BRIDGE;
    link->ifi_index = (int) tap;

    port = mnl_attr_nest_start(m, IFLA_PROTINFO);
    mnl_attr_put_u8(m, IFLA_BRPORT_LEARNING, 0);
    mnl_attr_put_u8(m, IFLA_BRPORT_UNICAST_FLOOD, 0);
    mnl_attr_nest_end(m, port);

    return network_netlink_talk(NETLINK_ROUTE, m, NULL, NULL);
}


static int
port_entry(unsigned int tap, const struct ether_addr *mac)
{
    char buf[NETWORK_NETLINK_SIZE];
    struct ndmsg *entry;
    struct nlmsghdr *m;

    m = network_netlink_message(buf, RTM_NEWNEIGH,
                                NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
    entry = mnl_nlmsg_put_extra_header(m, sizeof(*entry));
    entry->ndm_family = AF_BRIDGE;
    entry->ndm_ifindex = (int) tap;
    entry->ndm_state = NUD_NOARP;
    entry->ndm_flags = NTF_MASTER;
    mnl_attr_put(m, NDA_LLADDR, sizeof(*mac), mac);

    return network_netlink_talk(NETLINK_ROUTE, m, NULL, NULL);
}


/* Best effort: a host may be without IPv6. */
static void
port_without_ipv6(const char *tap)
{
    int fd;
    char path[64];

    (void) snprintf(path, sizeof(path),
                    "/proc/sys/net/ipv6/conf/%.15s/disable_ipv6", tap);
    fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd != -1) {
        (void) !write(fd, "1", 1);
        (void) close(fd);
    }
}


int
network_port_own(const char *tap, const char *mac)
{
    unsigned int index;
    struct ether_addr address;

    if (ether_aton_r(mac, &address) == NULL) {
        errno = EINVAL;

    } else if ((index = if_nametoindex(tap)) != 0 && port_settle(index) == 0
               && port_entry(index, &address) == 0)
    {
        port_without_ipv6(tap);
        return 0;
    }

    (void) fprintf(stderr,
                   "sandbox-network: the port \"%s\" cannot be set: %s\n", tap,
                   strerror(errno));
    return -1;
}


void
network_bridge_set(const char *bridge, int up)
{
    char buf[NETWORK_NETLINK_SIZE];
    struct nlmsghdr *m;
    struct ifinfomsg *link;

    m = network_netlink_message(buf, RTM_NEWLINK, NLM_F_ACK);
    link = mnl_nlmsg_put_extra_header(m, sizeof(*link));
    link->ifi_index = (int) if_nametoindex(bridge);
    link->ifi_flags = up ? IFF_UP : 0;
    link->ifi_change = IFF_UP;

    if (link->ifi_index
        && network_netlink_talk(NETLINK_ROUTE, m, NULL, NULL) != 0) {
        (void) fprintf(stderr,
                       "sandbox-network: \"%s\" cannot be taken %s: %s\n",
                       bridge, up ? "up" : "down", strerror(errno));
    }
}
