/* Addresses and CIDR blocks. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "sandbox_net.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))


/* Through memory of its own, which ends where the text does. */
static int
parse(sandbox_cidr_t *cidr, const char *text, size_t len, const char **reason)
{
    int rc;
    char *copy;

    copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    *reason = NULL;
    rc = sandbox_cidr_parse(cidr, copy, len, reason);
    free(copy);

    assert_int_equal(rc != 0, *reason != NULL);

    return rc;
}


static void
test_accepted(void **state)
{
    size_t i;
    uint8_t addr[16];
    const char *reason;
    sandbox_cidr_t cidr;
    static const struct {
        const char *text;
        const char *addr;
        int family;
        int prefix;
    } cases[] = {
        { "192.0.2.0/24", "192.0.2.0", AF_INET, 24 },
        { "192.0.2.1", "192.0.2.1", AF_INET, 32 },
        { "192.0.2.1/32", "192.0.2.1", AF_INET, 32 },
        { "192.0.2.128/25", "192.0.2.128", AF_INET, 25 },
        { "128.0.0.0/1", "128.0.0.0", AF_INET, 1 },
        { "0.0.0.0/0", "0.0.0.0", AF_INET, 0 },
        { "255.255.255.255", "255.255.255.255", AF_INET, 32 },
        { "2001:db8::/32", "2001:db8::", AF_INET6, 32 },
        { "2001:DB8::1", "2001:db8::1", AF_INET6, 128 },
        { "::/0", "::", AF_INET6, 0 },
        { "fe80::/10", "fe80::", AF_INET6, 10 },
        { "1:2:3:4:5:6:7:8/128", "1:2:3:4:5:6:7:8", AF_INET6, 128 },
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        memset(addr, 0, sizeof(addr));
        memset(&cidr, 0xff, sizeof(cidr));
        assert_int_equal(inet_pton(cases[i].family, cases[i].addr, addr), 1);
        assert_int_equal(
            parse(&cidr, cases[i].text, strlen(cases[i].text), &reason), 0);
        assert_int_equal(cidr.family, cases[i].family);
        assert_int_equal(cidr.prefix, cases[i].prefix);
        assert_memory_equal(cidr.addr, addr, sizeof(addr));
    }
}


static void
test_refused(void **state)
{
    size_t i;
    const char *reason;
    sandbox_cidr_t cidr;
    static const char *cases[] = {
        "",
        "/",
        "/24",
        "192.0.2.0/",
        "192.0.2.0/33",
        "192.0.2.0/-1",
        "192.0.2.0/+8",
        "192.0.2.0/024",
        "192.0.2.0/ 24",
        "192.0.2.0/24 ",
        "192.0.2.0/24/24",
        "192.0.2.0/255.255.255.0",
        "192.0.2.0/4294967320",
        "192.0.2.1/24",
        "192.0.2.129/25",
        "0.0.0.1/0",
        " 192.0.2.0",
        "192.0.2",
        "192.0.2.0.0",
        "192.0.2.256",
        "192.0.2.010",
        "0x7f.0.0.1",
        "2130706433",
        "localhost",
        "::ffff:10.0.0.0/104",
        "::ffff:10.0.0.1",
        "2001:db8::1/32",
        "2001:db8::/129",
        "2001:db8::1::/64",
        "[2001:db8::]/32",
        "fe80::1%eth0",
        "::1/127",
        ":",
        "1:2:3:4:5:6:7:8:9",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/128",
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        if (parse(&cidr, cases[i], strlen(cases[i]), &reason) == 0) {
            fail_msg("accepted: %s", cases[i]);
        }
    }

    assert_int_equal(parse(&cidr, "192.0.2.0\0/24", 13, &reason), -1);
    assert_int_equal(parse(&cidr, "192.0.2.0/24\0", 13, &reason), -1);
}


static void
test_host_bits(void **state)
{
    char text[64];
    int bit, prefix;
    uint32_t addr;
    const char *reason;
    sandbox_cidr_t cidr;

    (void) state;

    for (prefix = 0; prefix <= 32; prefix++) {
        for (bit = 0; bit < 32; bit++) {
            addr = 1u << (31 - bit);
            (void) snprintf(text, sizeof(text), "%u.%u.%u.%u/%d", addr >> 24,
                            addr >> 16 & 255, addr >> 8 & 255, addr & 255,
                            prefix);
            assert_int_equal(parse(&cidr, text, strlen(text), &reason) == 0,
                             bit < prefix);
        }
    }
}


static void
test_mac(void **state)
{
    char mac[18], other[18];
    unsigned bytes[6], i;

    (void) state;

    sandbox_net_mac(mac, 0x0a580005);
    assert_int_equal(strlen(mac), 17);
    assert_int_equal(sscanf(mac, "%2x:%2x:%2x:%2x:%2x:%2x", &bytes[0],
                            &bytes[1], &bytes[2], &bytes[3], &bytes[4],
                            &bytes[5]),
                     6);

    /* locally administered, and one station, not a group */
    assert_int_equal(bytes[0] & 3, 2);

    for (i = 0; i < 32; i++) {
        sandbox_net_mac(other, 0x0a580005 ^ (1u << i));
        assert_string_not_equal(mac, other);
    }
}


static void
test_ipv4(void **state)
{
    char out[16];

    (void) state;

    sandbox_net_ipv4(out, 0x0a580005);
    assert_string_equal(out, "10.88.0.5");
    sandbox_net_ipv4(out, 0);
    assert_string_equal(out, "0.0.0.0");
    sandbox_net_ipv4(out, 0xffffffff);
    assert_string_equal(out, "255.255.255.255");
}


static void
test_port(void **state)
{
    unsigned port;
    char out[SANDBOX_NET_PORT_SIZE], expected[16];

    (void) state;

    for (port = 0; port <= 65535; port++) {
        (void) snprintf(expected, sizeof(expected), "%u", port);
        assert_int_equal(sandbox_net_port(out, (uint16_t) port),
                         strlen(expected));
        assert_string_equal(out, expected);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_host_bits), cmocka_unit_test(test_mac),
        cmocka_unit_test(test_ipv4),      cmocka_unit_test(test_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
