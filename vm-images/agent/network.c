/*
 * The network step: one Ethernet interface with one IPv4 address, by the
 * kernel's own calls.
 *
 * An earlier execution of the same memory left an address.  Taking away the
 * last one of an interface drops its routes and neighbours, too; while it has
 * none the connections are ended, so that nothing is sent for them.  (IPv6, if
 * commands turned that on, and routes by nexthop objects are left.)  The
 * link stays up: to close the card and open it again is most of the work that
 * the kernel would have, and with some kernels costs it its carrier.
 */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "sandbox_text.h"
#include "small_file.h"
#include "sockets.h"
#include "steps.h"

#define NET_DIR "/sys/class/net"
#define NET_IPV6 "/proc/sys/net/ipv6/conf"
#define NET_PATH_MAX 320
#define NET_ADDRESSES_MAX 16 /* looked at, of all interfaces */
#define NET_WAIT_MS 5000
#define NET_STEP_MS 5

static int network_lived; /* the step has run: there may be connections */
static char network_name[IFNAMSIZ]; /* of the interface, once it was found */


static void
network_request(struct ifreq *ifr, const char *name)
{
    memset(ifr, 0, sizeof(*ifr));
    memcpy(ifr->ifr_name, name, strnlen(name, IFNAMSIZ - 1));
}


static int
network_is_ethernet(int fd, const char *name)
{
    struct ifreq ifr;

    network_request(&ifr, name);

    return ioctl(fd, SIOCGIFHWADDR, &ifr) == 0
           && ifr.ifr_hwaddr.sa_family == ARPHRD_ETHER;
}


/* 1 if it has a device behind it, and is not a bridge or a veth. */
static int
network_is_card(int fd, const char *name)
{
    char path[NET_PATH_MAX];

    snprintf(path, sizeof(path), NET_DIR "/%s/device", name);

    return access(path, F_OK) == 0 && strlen(name) < IFNAMSIZ
           && network_is_ethernet(fd, name);
}


/*
 * The first interface that is a card, or the one of before, unless that was
 * renamed.  0 if network_name has it, or -1.
 */
static int
network_find(int fd)
{
    DIR *dir;
    struct dirent *entry;

    if (network_name[0] != '\0' && network_is_card(fd, network_name)) {
        return 0;
    }

    dir = opendir(NET_DIR);
    if (dir == NULL) {
        return -1;
    }

    network_name[0] = '\0';

    while (network_name[0] == '\0' && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' && network_is_card(fd, entry->d_name)) {
            memcpy(network_name, entry->d_name, strlen(entry->d_name) + 1);
        }
    }

    closedir(dir);

    return network_name[0] == '\0' ? -1 : 0;
}


static int
network_flags(int fd, const char *name, short set, short clear)
{
    struct ifreq ifr;

    network_request(&ifr, name);

    if (ioctl(fd, SIOCGIFFLAGS, &ifr) == -1) {
        return -1;
    }

    ifr.ifr_flags = (short) ((ifr.ifr_flags | set) & ~clear);

    return ioctl(fd, SIOCSIFFLAGS, &ifr);
}


static int
network_mac(int fd, const char *name, const uint8_t mac[6])
{
    struct ifreq ifr;

    network_request(&ifr, name);
    ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(ifr.ifr_hwaddr.sa_data, mac, 6);

    return ioctl(fd, SIOCSIFHWADDR, &ifr);
}


static void
network_sockaddr(struct sockaddr *sa, struct in_addr addr)
{
    struct sockaddr_in sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr = addr;
    memcpy(sa, &sin, sizeof(sin));
}


/* 0.0.0.0 takes the address away. */
static int
network_address(int fd, const char *name, struct in_addr addr)
{
    struct ifreq ifr;

    network_request(&ifr, name);
    network_sockaddr(&ifr.ifr_addr, addr);

    return ioctl(fd, SIOCSIFADDR, &ifr);
}


static int
network_prefix(int fd, const char *name, int prefix)
{
    struct ifreq ifr;
    struct in_addr mask;

    mask.s_addr = htonl(~0U << (32 - prefix));

    network_request(&ifr, name);
    network_sockaddr(&ifr.ifr_netmask, mask);

    return ioctl(fd, SIOCSIFNETMASK, &ifr);
}


static int
network_route(int fd, char *name, struct in_addr gateway)
{
    struct rtentry rt;
    struct in_addr any = { 0 };

    memset(&rt, 0, sizeof(rt));
    network_sockaddr(&rt.rt_dst, any);
    network_sockaddr(&rt.rt_genmask, any);
    network_sockaddr(&rt.rt_gateway, gateway);
    rt.rt_flags = RTF_UP | RTF_GATEWAY;
    rt.rt_dev = name;

    return ioctl(fd, SIOCADDRT, &rt);
}


static int
network_resolver(const agent_config_t *c)
{
    int rc;
    size_t i;
    char address[INET_ADDRSTRLEN];
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    for (i = 0; i < c->ndns; i++) {
        inet_ntop(AF_INET, &c->dns[i], address, sizeof(address));
        sandbox_text_fmt(&t, "nameserver %s\n", address);
    }

    rc = -1;
    errno = ENOMEM;
    if (!sandbox_text_failed(&t)) {
        rc = agent_small_file_replace(AGENT_RESOLVER, t.len ? t.data : "",
                                      t.len);
    }

    sandbox_text_free(&t);

    return rc;
}


/* 1 if the interface has one IPv4 address or none; 0 if more, or it may. */
static int
network_is_single(int fd, const char *name)
{
    int i, n, own;
    size_t len;
    struct ifreq all[NET_ADDRESSES_MAX];
    struct ifconf conf = { .ifc_len = sizeof(all), .ifc_req = all };

    memset(all, 0, sizeof(all));

    if (ioctl(fd, SIOCGIFCONF, &conf) == -1
        || conf.ifc_len >= (int) sizeof(all)) {
        return 0;
    }

    own = 0;
    len = strlen(name);
    n = conf.ifc_len / (int) sizeof(all[0]);

    for (i = 0; i < n; i++) {
        if (strncmp(all[i].ifr_name, name, len) != 0) {
            continue;
        }

        /* a label of its own, which SIOCSIFADDR does not find by the name */
        if (all[i].ifr_name[len] != '\0') {
            return 0;
        }

        own++;
    }

    return own <= 1;
}


/*
 * Drops what an earlier execution left: its address, and with that routes and
 * neighbours.  If commands gave the interface others, which stay, these keep
 * the routes: then the link is taken down.
 */
static int
network_forget(int fd, const char *name)
{
    struct in_addr any = { 0 };

    return network_is_single(fd, name) ? network_address(fd, name, any)
                                       : network_flags(fd, name, 0, IFF_UP);
}


/* NULL, or what could not be done; errno says why. */
static const char *
network_set(int fd, char *name, const agent_config_t *c)
{
    if (network_flags(fd, "lo", IFF_UP, 0) == -1) {
        return "The loopback interface could not be brought up";
    }

    if (network_lived && network_forget(fd, name) == -1) {
        return "The address of before could not be taken away";
    }

    if (network_lived && agent_sockets_end(name) == -1) {
        return "The connections of before could not be ended";
    }

    network_lived = 1;

    if (network_mac(fd, name, c->mac) == -1) {
        return "The MAC address could not be set";
    }

    if (network_address(fd, name, c->address) == -1
        || network_prefix(fd, name, c->prefix) == -1)
    {
        return "The address could not be set";
    }

    if (network_flags(fd, name, IFF_UP, 0) == -1) {
        return "The interface could not be brought up";
    }

    if (network_route(fd, name, c->gateway) == -1 && errno != EEXIST) {
        return "The default route could not be set";
    }

    return NULL;
}


/* Turns IPv6 off; a kernel without it has no such file. */
static void
network_no_ipv6(const char *name)
{
    int fd;
    char path[NET_PATH_MAX];

    snprintf(path, sizeof(path), NET_IPV6 "/%s/disable_ipv6", name);

    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd != -1) {
        (void) !write(fd, "1", 1);
        close(fd);
    }
}


void
agent_network_init(void)
{
    int fd;

    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return;
    }

    (void) network_flags(fd, "lo", IFF_UP, 0);

    if (network_find(fd) == 0) {
        network_no_ipv6(network_name);
    }

    close(fd);
}


int
agent_step_network(const agent_config_t *c, char *error, size_t size)
{
    int fd, waited;
    const char *failed;
    struct timespec step = { 0, NET_STEP_MS * 1000000L };

    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd == -1) {
        snprintf(error, size, "There is no IPv4: %s.", strerror(errno));
        return -1;
    }

    for (waited = 0; network_find(fd) == -1; waited += NET_STEP_MS) {
        if (waited >= NET_WAIT_MS) {
            snprintf(error, size, "There is no network interface.");
            close(fd);
            return -1;
        }

        nanosleep(&step, NULL);
    }

    failed = network_set(fd, network_name, c);
    if (failed != NULL) {
        snprintf(error, size, "%s: %s.", failed, strerror(errno));
    }

    close(fd);

    if (failed != NULL) {
        return -1;
    }

    return network_resolver(c) == 0
               ? 0
               : agent_step_unmade(c, AGENT_RESOLVER " could not be written",
                                   error, size);
}
