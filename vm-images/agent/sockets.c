/*
 * Ends connections by the kernel's socket diagnosis: one netlink socket lists
 * them, another ends them one by one.  Must not know why they are to end.
 *
 * To end a connection while others are being listed may hide these from the
 * list, so the list is made again until it has none that is to be ended.  The
 * kernel may refuse to end a connection that no process holds any more: that is
 * tried, but not waited for.
 */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sockets.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ROUNDS_MAX 16
#define TCP_STATES_NONE (1 << TCP_CLOSE | 1 << TCP_LISTEN | 1 << TCP_TIME_WAIT)

typedef struct {
    struct nlmsghdr head;
    struct inet_diag_req_v2 body;
} sockets_request_t;

typedef struct {
    int list;
    int end;
    const char *device;
    struct ifaddrs *addresses; /* read when a connection asks for them */
    unsigned ended;            /* connections ended in this round */
} sockets_t;

/* Connections; of UDP sockets those that have a peer. */
static const struct {
    uint8_t family;
    uint8_t protocol;
    uint32_t states;
} sockets_kinds[] = {
    { AF_INET, IPPROTO_TCP, ~(uint32_t) TCP_STATES_NONE },
    { AF_INET6, IPPROTO_TCP, ~(uint32_t) TCP_STATES_NONE },
    { AF_INET, IPPROTO_UDP, 1 << TCP_ESTABLISHED },
    { AF_INET6, IPPROTO_UDP, 1 << TCP_ESTABLISHED },
};


static int
sockets_ask(int fd, sockets_request_t *r, uint16_t type, uint16_t flags)
{
    struct sockaddr_nl kernel;

    memset(&kernel, 0, sizeof(kernel));
    kernel.nl_family = AF_NETLINK;

    r->head.nlmsg_len = sizeof(*r);
    r->head.nlmsg_type = type;
    r->head.nlmsg_flags = NLM_F_REQUEST | flags;

    return sendto(fd, r, sizeof(*r), 0, (struct sockaddr *) &kernel,
                  sizeof(kernel))
                   == (ssize_t) sizeof(*r)
               ? 0
               : -1;
}


/* 1 if another interface than the device has the address; -1: unknown. */
static int
sockets_address_stays(sockets_t *s, int family, const void *address)
{
    const struct ifaddrs *i;
    const struct sockaddr_in *v4;
    const struct sockaddr_in6 *v6;

    if (s->addresses == NULL && getifaddrs(&s->addresses) == -1) {
        return -1;
    }

    for (i = s->addresses; i != NULL; i = i->ifa_next) {
        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != family
            || strcmp(i->ifa_name, s->device) == 0)
        {
            continue;
        }

        v4 = (const void *) i->ifa_addr;
        v6 = (const void *) i->ifa_addr;

        if (family == AF_INET ? memcmp(&v4->sin_addr, address, 4) == 0
                              : memcmp(&v6->sin6_addr, address, 16) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* 1 if the connection is to stay, 0 if not, -1 with errno set. */
static int
sockets_stays(sockets_t *s, const struct inet_diag_msg *m)
{
    int family;
    const void *address;

    family = m->idiag_family;
    address = m->id.idiag_src;

    if (family == AF_INET6
        && IN6_IS_ADDR_V4MAPPED((const struct in6_addr *) address))
    {
        family = AF_INET;
        address = &m->id.idiag_src[3];
    }

    if (family == AF_INET && *(const uint8_t *) address == IN_LOOPBACKNET) {
        return 1;
    }

    return sockets_address_stays(s, family, address);
}


/*
 * Ends a connection; 0, also if it has ended by itself or no process holds it,
 * or -1 with errno set.
 */
static int
sockets_end_one(sockets_t *s, const struct inet_diag_msg *m, uint8_t protocol)
{
    ssize_t n;
    sockets_request_t r;
    struct {
        struct nlmsghdr head;
        struct nlmsgerr body;
        char rest[256];
    } answer;

    memset(&r, 0, sizeof(r));
    r.body.sdiag_family = m->idiag_family;
    r.body.sdiag_protocol = protocol;
    r.body.idiag_states = ~0U;
    r.body.id = m->id;

    if (sockets_ask(s->end, &r, SOCK_DESTROY, NLM_F_ACK) == -1) {
        return -1;
    }

    n = recv(s->end, &answer, sizeof(answer), 0);

    if (n < (ssize_t) (sizeof(answer.head) + sizeof(answer.body.error))
        || answer.head.nlmsg_type != NLMSG_ERROR)
    {
        errno = EBADMSG;
        return -1;
    }

    if (answer.body.error == -ENOENT || m->idiag_inode == 0) {
        return 0;
    }

    if (answer.body.error != 0) {
        errno = -answer.body.error;
        return -1;
    }

    s->ended++;

    return 0;
}


/* 1 at the end of the list, 0 before, -1 with errno set. */
static int
sockets_message(sockets_t *s, const struct nlmsghdr *h, uint8_t protocol)
{
    int stays;
    const struct nlmsgerr *error;
    const struct inet_diag_msg *m;

    if (h->nlmsg_type == NLMSG_DONE) {
        return 1;
    }

    if (h->nlmsg_type == NLMSG_ERROR) {
        error = NLMSG_DATA(h);
        errno = -error->error;
        return -1;
    }

    if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m))) {
        return 0;
    }

    m = NLMSG_DATA(h);

    stays = sockets_stays(s, m);

    return stays == 0 ? sockets_end_one(s, m, protocol) : stays == 1 ? 0 : -1;
}


static int
sockets_round(sockets_t *s, size_t kind)
{
    int rc, n;
    ssize_t len;
    const struct nlmsghdr *h;
    sockets_request_t r;
    static char buf[32768] __attribute__((aligned(8)));

    memset(&r, 0, sizeof(r));
    r.body.sdiag_family = sockets_kinds[kind].family;
    r.body.sdiag_protocol = sockets_kinds[kind].protocol;
    r.body.idiag_states = sockets_kinds[kind].states;

    if (sockets_ask(s->list, &r, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP) == -1) {
        return -1;
    }

    for (rc = 0; rc == 0; /* void */) {
        len = recv(s->list, buf, sizeof(buf), 0);
        if (len <= 0) {
            return -1;
        }

        n = (int) len;
        for (h = (const void *) buf; rc == 0 && NLMSG_OK(h, (unsigned) n);
             h = NLMSG_NEXT(h, n))
        {
            rc = sockets_message(s, h, sockets_kinds[kind].protocol);
        }
    }

    return rc == 1 ? 0 : -1;
}


static int
sockets_kind(sockets_t *s, size_t kind)
{
    int round;

    for (round = 0; round < ROUNDS_MAX; round++) {
        s->ended = 0;

        if (sockets_round(s, kind) == -1) {
            return -1;
        }

        if (s->ended == 0) {
            return 0;
        }
    }

    errno = EBUSY;

    return -1;
}


static int
sockets_open(void)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
}


int
agent_sockets_end(const char *device)
{
    int rc, err;
    size_t i;
    sockets_t s;

    memset(&s, 0, sizeof(s));
    s.device = device;
    s.list = sockets_open();
    s.end = sockets_open();

    rc = s.list == -1 || s.end == -1 ? -1 : 0;

    for (i = 0; rc == 0 && i < COUNT(sockets_kinds); i++) {
        rc = sockets_kind(&s, i);
    }

    err = errno;

    freeifaddrs(s.addresses);
    if (s.list != -1) {
        close(s.list);
    }

    if (s.end != -1) {
        close(s.end);
    }

    errno = err;

    return rc;
}
