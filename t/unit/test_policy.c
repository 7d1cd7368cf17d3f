/* Egress policies: lists of blocks and their text. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_policy.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))


static void
test_text(void **state)
{
    size_t i;
    sandbox_text_t t;
    sandbox_cidrs_t list;
    static const struct {
        const char *from;
        const char *to;
    } cases[] = {
        { "", "" },
        { "192.0.2.1", "192.0.2.1/32" },
        { "192.0.2.0/24,10.0.0.0/8", "10.0.0.0/8,192.0.2.0/24" },
        { "10.0.0.0/8,10.0.0.0/8", "10.0.0.0/8" },
        { "10.0.0.0/9,10.0.0.0/8", "10.0.0.0/8,10.0.0.0/9" },
        { "::/0,2001:DB8:0:0::/32,0.0.0.0/0", "0.0.0.0/0,::/0,2001:db8::/32" },
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        memset(&t, 0, sizeof(t));
        assert_int_equal(sandbox_cidrs_parse(&list, cases[i].from), 0);
        sandbox_cidrs_format(&t, &list);
        assert_false(sandbox_text_failed(&t));
        assert_string_equal(t.data, cases[i].to);
        sandbox_text_free(&t);
    }
}


static void
test_no_list(void **state)
{
    size_t i;
    sandbox_cidrs_t list;
    static const char *const bad[] = { ",",           "10.0.0.0/8,",
                                       ",10.0.0.0/8", "10.0.0.0/8 ",
                                       "x",           "10.0.0.1/8" };

    (void) state;

    for (i = 0; i < COUNT(bad); i++) {
        assert_int_equal(sandbox_cidrs_parse(&list, bad[i]), -1);
    }
}


static void
test_full(void **state)
{
    int i;
    sandbox_cidr_t cidr;
    sandbox_cidrs_t list;

    (void) state;

    memset(&list, 0, sizeof(list));
    memset(&cidr, 0, sizeof(cidr));
    cidr.family = 2;
    cidr.prefix = 32;

    /* from the last to the first, so that each one is put before the others */
    for (i = SANDBOX_POLICY_CIDRS; i > 0; i--) {
        cidr.addr[3] = (uint8_t) i;
        assert_int_equal(sandbox_cidrs_add(&list, &cidr), 0);
    }

    assert_int_equal(list.n, SANDBOX_POLICY_CIDRS);
    assert_int_equal(list.cidr[0].addr[3], 1);

    /* one that is there still goes in, another one does not */
    assert_int_equal(sandbox_cidrs_add(&list, &cidr), 0);
    cidr.addr[3] = 0;
    assert_int_equal(sandbox_cidrs_add(&list, &cidr), -1);
}


static void
test_covers(void **state)
{
    size_t i;
    const char *reason;
    sandbox_cidr_t a, b;
    static const struct {
        const char *a;
        const char *b;
        int covers;
    } cases[] = {
        { "10.0.0.0/8", "10.1.0.0/16", 1 },
        { "10.1.0.0/16", "10.0.0.0/8", 0 },
        { "10.0.0.0/8", "10.0.0.0/8", 1 },
        { "0.0.0.0/0", "255.255.255.255", 1 },
        { "0.0.0.0/0", "::/0", 0 },
        { "10.64.0.0/10", "10.128.0.0/16", 0 },
        { "10.64.0.0/10", "10.127.255.255", 1 },
        { "2001:db8::/33", "2001:db8:8000::/34", 0 },
        { "2001:db8::/33", "2001:db8:7fff::/48", 1 },
        { "192.0.2.1", "192.0.2.1", 1 },
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        assert_int_equal(
            sandbox_cidr_parse(&a, cases[i].a, strlen(cases[i].a), &reason), 0);
        assert_int_equal(
            sandbox_cidr_parse(&b, cases[i].b, strlen(cases[i].b), &reason), 0);
        assert_int_equal(sandbox_cidr_covers(&a, &b), cases[i].covers);
    }
}


static void
test_json(void **state)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    (void) state;

    sandbox_cidrs_json(&t, NULL);
    sandbox_cidrs_json(&t, "");
    sandbox_cidrs_json(&t, "10.0.0.0/8");
    sandbox_cidrs_json(&t, "10.0.0.0/8,::/0");
    assert_string_equal(t.data,
                        "[][][\"10.0.0.0/8\"][\"10.0.0.0/8\",\"::/0\"]");
    sandbox_text_free(&t);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text), cmocka_unit_test(test_no_list),
        cmocka_unit_test(test_full), cmocka_unit_test(test_covers),
        cmocka_unit_test(test_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
