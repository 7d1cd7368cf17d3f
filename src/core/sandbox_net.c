/* Addresses and CIDR blocks; see the header. */

#include "sandbox_net.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>


/* The prefix length after the slash; -1 if it is no number up to max. */
static int
sandbox_cidr_prefix(const char *text, size_t len, int max)
{
    int n;
    size_t i;

    if (len == 0 || len > 3 || (len > 1 && text[0] == '0')) {
        return -1;
    }

    n = 0;

    for (i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        n = n * 10 + (text[i] - '0');
    }

    return n <= max ? n : -1;
}


/* 1 if all bits of addr behind the prefix are 0. */
static int
sandbox_cidr_clean(const uint8_t *addr, int bytes, int prefix)
{
    int i, bits;

    for (i = 0; i < bytes; i++) {
        bits = prefix - i * 8;

        if (bits >= 8) {
            continue;
        }

        if (bits < 0) {
            bits = 0;
        }

        if (addr[i] & (0xff >> bits)) {
            return 0;
        }
    }

    return 1;
}


int
sandbox_cidr_parse(sandbox_cidr_t *cidr, const char *text, size_t len,
                   const char **reason)
{
    int prefix, bytes;
    char addr[INET6_ADDRSTRLEN];
    size_t n;
    const char *slash;
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

    memset(cidr, 0, sizeof(sandbox_cidr_t));

    slash = len ? memchr(text, '/', len) : NULL;
    n = slash ? (size_t) (slash - text) : len;

    if (n == 0 || n >= sizeof(addr) || memchr(text, '\0', n)) {
        *reason = "is not an IPv4 or IPv6 address";
        return -1;
    }

    memcpy(addr, text, n);
    addr[n] = '\0';

    cidr->family = strchr(addr, ':') ? AF_INET6 : AF_INET;
    bytes = cidr->family == AF_INET ? 4 : 16;

    if (inet_pton(cidr->family, addr, cidr->addr) != 1) {
        *reason = "is not an IPv4 or IPv6 address";
        return -1;
    }

    if (bytes == 16 && memcmp(cidr->addr, mapped, sizeof(mapped)) == 0) {
        /* such packets are IPv4: the block would match nothing */
        *reason = "is an IPv4 address in IPv6 form";
        return -1;
    }

    prefix = bytes * 8;

    if (slash) {
        prefix = sandbox_cidr_prefix(slash + 1, len - n - 1, bytes * 8);

        if (prefix == -1) {
            *reason = bytes == 4 ? "has no prefix length of 0 to 32"
                                 : "has no prefix length of 0 to 128";
            return -1;
        }
    }

    if (!sandbox_cidr_clean(cidr->addr, bytes, prefix)) {
        *reason = "has bits set behind its prefix length";
        return -1;
    }

    cidr->prefix = (uint8_t) prefix;

    return 0;
}


void
sandbox_net_mac(char out[18], uint32_t ipv4)
{
    (void) snprintf(out, 18, "02:5b:%02x:%02x:%02x:%02x", ipv4 >> 24,
                    ipv4 >> 16 & 0xff, ipv4 >> 8 & 0xff, ipv4 & 0xff);
}


void
sandbox_net_ipv4(char out[16], uint32_t ipv4)
{
    (void) snprintf(out, 16, "%u.%u.%u.%u", ipv4 >> 24, ipv4 >> 16 & 0xff,
                    ipv4 >> 8 & 0xff, ipv4 & 0xff);
}


/* "00" to "99" */
static const char sandbox_net_pairs[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334"
    "3536373839404142434445464748495051525354555657585960616263646566676869"
    "707172737475767778798081828384858687888990919293949596979899";


/* Called for each proxied request: snprintf() takes twenty times as long. */
size_t
sandbox_net_port(char out[SANDBOX_NET_PORT_SIZE], uint16_t port)
{
    char *p;
    unsigned n;

    p = out;
    n = port;

    if (n > 9999) {
        *p++ = (char) ('0' + n / 10000);
        n %= 10000;
    }

    if (port > 999) {
        memcpy(p, sandbox_net_pairs + n / 100 * 2, 2);
        p += 2;
        n %= 100;

    } else if (n > 99) {
        *p++ = (char) ('0' + n / 100);
        n %= 100;
    }

    if (port > 9) {
        memcpy(p, sandbox_net_pairs + n * 2, 2);
        p += 2;

    } else {
        *p++ = (char) ('0' + n);
    }

    *p = '\0';

    return (size_t) (p - out);
}
