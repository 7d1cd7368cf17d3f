/* The path form of public traffic. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_edge.h"

#define BODY "aabcdefghijklmnop234"
#define ID "sb_" BODY
#define HEAD "/__ns-edge/sandboxes/"


static void
test_accepted(void **state)
{
    size_t i, prefix;
    sandbox_host_t host;
    static const struct {
        const char *target;
        unsigned port;
        const char *rest;
    } cases[] = {
        { HEAD ID "/ports/8000/", 8000, "/" },
        { HEAD "sb-" BODY "/ports/8000/a/b?c=d", 8000, "/a/b?c=d" },
        { HEAD ID "/ports/1", 1, "" },
        { HEAD ID "/ports/65535?q", 65535, "?q" },
        { HEAD ID "/ports/80//x", 80, "//x" },
        { HEAD ID "/ports/80/%2e%2e/x", 80, "/%2e%2e/x" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(sandbox_edge_parse(&host, &prefix, cases[i].target,
                                            strlen(cases[i].target)),
                         0);
        assert_string_equal(host.id, ID);
        assert_int_equal(host.port, cases[i].port);
        assert_string_equal(cases[i].target + prefix, cases[i].rest);
    }
}


static void
test_refused(void **state)
{
    size_t i, prefix;
    sandbox_host_t host;
    static const char *const cases[] = {
        "",
        "/",
        "/__ns-edge/",
        HEAD,
        HEAD ID,
        HEAD ID "/",
        HEAD ID "/ports",
        HEAD ID "/ports/",
        HEAD ID "/ports//",
        HEAD ID "/ports/0/",
        HEAD ID "/ports/08/",
        HEAD ID "/ports/65536/",
        HEAD ID "/ports/800000/",
        HEAD ID "/ports/80x/",
        HEAD ID "/ports/+80/",
        HEAD ID "/ports/-80/",
        HEAD ID "/port/80/",
        HEAD "/ports/80/",
        HEAD "sb_short/ports/80/",
        HEAD "sb%5f" BODY "/ports/80/",
        HEAD ID "x/ports/80/",
        HEAD ID "?/ports/80/",
        "/__NS-edge/sandboxes/" ID "/ports/80/",
        "//__ns-edge/sandboxes/" ID "/ports/80/",
        "http://h" HEAD ID "/ports/80/",
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        host.port = 7;
        assert_int_equal(
            sandbox_edge_parse(&host, &prefix, cases[i], strlen(cases[i])), -1);
        assert_int_equal(host.port, 7);
    }
}


/* Every beginning of a good target, as if the rest had been cut off. */
static void
test_cut_off(void **state)
{
    int rc;
    size_t len, prefix;
    sandbox_host_t host;
    static const char target[] = HEAD ID "/ports/8000/x";
    const size_t whole = sizeof(HEAD ID "/ports/8") - 1;

    (void) state;

    for (len = 0; len < sizeof(target); len++) {
        rc = sandbox_edge_parse(&host, &prefix, target, len);
        assert_int_equal(rc, len < whole ? -1 : 0);
        assert_true(rc != 0 || prefix <= len);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cut_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
