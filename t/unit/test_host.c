/* Host names of public traffic: "{port}-{id}.{domain}". */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_host.h"

#define DOMAIN "sandbox.example.com"
#define BODY "aabcdefghijklmnop234"
#define ID "sb_" BODY


static int
parse(sandbox_host_t *host, const char *text)
{
    return sandbox_host_parse(host, DOMAIN, strlen(DOMAIN), text, strlen(text));
}


static void
test_accepted(void **state)
{
    size_t i;
    sandbox_host_t host;
    static const struct {
        const char *text;
        unsigned port;
    } cases[] = {
        { "8000-sb-" BODY "." DOMAIN, 8000 },
        { "8000-sb_" BODY "." DOMAIN, 8000 },
        { "1-sb-" BODY "." DOMAIN, 1 },
        { "65535-sb-" BODY "." DOMAIN, 65535 },
        { "8000-sb-" BODY "." DOMAIN ".", 8000 },
        { "8000-sb-" BODY "." DOMAIN ":8443", 8000 },
        { "8000-sb-" BODY "." DOMAIN ".:8443", 8000 },
        { "8000-SB-AABCDEFGHIJKLMNOP234.Sandbox.EXAMPLE.com", 8000 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(&host, 0xff, sizeof(host));
        assert_int_equal(parse(&host, cases[i].text), 0);
        assert_int_equal(host.port, cases[i].port);
        assert_string_equal(host.id, ID);
    }
}


static void
test_refused(void **state)
{
    size_t i;
    sandbox_host_t host, before;
    static const char *cases[] = {
        "",
        ".",
        ":",
        "-",
        DOMAIN,
        "." DOMAIN,
        "-." DOMAIN,
        "8000." DOMAIN,
        "8000-." DOMAIN,
        "-sb-" BODY "." DOMAIN,
        "sb-" BODY "." DOMAIN,
        "0-sb-" BODY "." DOMAIN,
        "00-sb-" BODY "." DOMAIN,
        "080-sb-" BODY "." DOMAIN,
        "65536-sb-" BODY "." DOMAIN,
        "99999-sb-" BODY "." DOMAIN,
        "100000-sb-" BODY "." DOMAIN,
        "4294967376-sb-" BODY "." DOMAIN,
        "+80-sb-" BODY "." DOMAIN,
        " 80-sb-" BODY "." DOMAIN,
        "0x50-sb-" BODY "." DOMAIN,
        "80--sb-" BODY "." DOMAIN,
        "80-sb-" BODY "a." DOMAIN,
        "80-sb-" BODY "." DOMAIN "..",
        "80-sb-" BODY "." DOMAIN ":",
        "80-sb-" BODY "." DOMAIN ":8443.",
        "80-sb-" BODY "." DOMAIN ".evil.com",
        "80-sb-" BODY "x" DOMAIN,
        "80-sb-" BODY ".example.com",
        "80-sb-" BODY,
        "x.80-sb-" BODY "." DOMAIN,
        "80-sb-" BODY ".x." DOMAIN,
        "80-sb-aabcdefghijklmnop23." DOMAIN,
        "80-sb-aabcdefghijklmnop230." DOMAIN,
        "80-sb-aabcdefghijklmnop23/." DOMAIN,
        "80-snap-" BODY "." DOMAIN,
        "[::1]:80",
        "127.0.0.1:80",
    };

    (void) state;

    memset(&before, 0x5a, sizeof(before));

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        host = before;
        if (parse(&host, cases[i]) != -1) {
            fail_msg("\"%s\" was accepted", cases[i]);
        }
        assert_memory_equal(&host, &before, sizeof(host));
    }
}


/* The text need not end in NUL, and bytes behind it do not count. */
static void
test_bounds(void **state)
{
    size_t i, len;
    sandbox_host_t host;
    const char text[] = "8000-sb-" BODY "." DOMAIN ".and more";

    (void) state;

    len = strlen("8000-sb-" BODY "." DOMAIN);

    for (i = 0; i < sizeof(text); i++) {
        assert_int_equal(
            sandbox_host_parse(&host, DOMAIN, strlen(DOMAIN), text, i),
            i == len || i == len + 1 ? 0 : -1);
    }
}


static void
test_domains(void **state)
{
    char text[256];
    sandbox_host_t host;

    (void) state;

    snprintf(text, sizeof(text), "80-sb-%s.x", BODY);

    assert_int_equal(sandbox_host_parse(&host, "x", 1, text, strlen(text)), 0);
    assert_int_equal(sandbox_host_parse(&host, "X.", 2, text, strlen(text)), 0);
    assert_int_equal(sandbox_host_parse(&host, "", 0, text, strlen(text)), -1);
    assert_int_equal(sandbox_host_parse(&host, ".", 1, text, strlen(text)), -1);

    memset(text, 'a', sizeof(text));
    assert_int_equal(sandbox_host_parse(&host, "a", 1, text, sizeof(text)), -1);
    memset(text, '1', sizeof(text));
    assert_int_equal(sandbox_host_parse(&host, "1", 1, text, sizeof(text)), -1);
}


static void
test_ports(void **state)
{
    size_t i;
    static const unsigned refused[] = { 22, 891, 5900, 5901, 5999 };
    static const unsigned allowed[] = { 1,   21,   23,   80,   443,  890,
                                        892, 5899, 6000, 8000, 65535 };

    (void) state;

    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_false(sandbox_host_port_allowed(refused[i]));
    }

    for (i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        assert_true(sandbox_host_port_allowed(allowed[i]));
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounds),   cmocka_unit_test(test_domains),
        cmocka_unit_test(test_ports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
