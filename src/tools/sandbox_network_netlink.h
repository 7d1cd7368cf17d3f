/*
 * One request to the kernel by netlink, and its answer.
 *
 * Any thread; waits for the kernel's answer only.
 */

#ifndef SANDBOX_NETWORK_NETLINK_H
#define SANDBOX_NETWORK_NETLINK_H

#include <libmnl/libmnl.h>

#define NETWORK_NETLINK_SIZE 256

/*
 * Begins a message in buf, of NETWORK_NETLINK_SIZE bytes; the caller appends
 * headers and attributes.
 */
struct nlmsghdr *
network_netlink_message(char *buf, uint16_t type, uint16_t flags);

/*
 * Sends m on a bus such as NETLINK_ROUTE.  0, or -1 with the kernel's errno.
 * read, unless NULL, gets each message of the answer that is no
 * acknowledgement.
 */
int network_netlink_talk(int bus, const struct nlmsghdr *m, mnl_cb_t read,
                         void *data);

#endif
