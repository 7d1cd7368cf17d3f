/* Addresses and CIDR blocks.  Any thread. */

#ifndef SANDBOX_NET_H
#define SANDBOX_NET_H

#include <stddef.h>
#include <stdint.h>

/* Characters of network.mask_request_host. */
#define SANDBOX_MASK_HOST_MAX 127

typedef struct {
    int family;       /* AF_INET or AF_INET6 */
    uint8_t addr[16]; /* network order, host bits cleared */
    uint8_t prefix;
} sandbox_cidr_t;

/*
 * "192.0.2.0/24", "2001:db8::/32", or a bare address (a /32 or /128).
 * 0, or -1 with *reason (static) set; set host bits are refused.
 */
int sandbox_cidr_parse(sandbox_cidr_t *cidr, const char *text, size_t len,
                       const char **reason);

/* A locally administered MAC that is unique per IPv4 address (host order). */
void sandbox_net_mac(char out[18], uint32_t ipv4);

#define SANDBOX_NET_IPV4_SIZE sizeof("255.255.255.255")
#define SANDBOX_NET_PORT_SIZE sizeof("65535")

/* Dotted quad of a host-order address. */
void sandbox_net_ipv4(char out[SANDBOX_NET_IPV4_SIZE], uint32_t ipv4);

/* The number of characters, without the NUL. */
size_t sandbox_net_port(char out[SANDBOX_NET_PORT_SIZE], uint16_t port);

#endif
