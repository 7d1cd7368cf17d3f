/* Who enters a pool, who waits, and in which order. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_gate.h"

#define SHARE 3
#define ROOM 4
#define ENTRIES 64


/* As a caller: enters or waits; the answer. */
static sandbox_gate_answer_t
come(sandbox_gate_t *gate, sandbox_gate_entry_t *entry, const char *tenant)
{
    sandbox_gate_answer_t answer;

    entry->tenant = tenant;
    answer = sandbox_gate_ask(gate, tenant);

    if (answer == SANDBOX_GATE_OPEN) {
        sandbox_gate_enter(gate, entry);

    } else if (answer == SANDBOX_GATE_WAIT) {
        sandbox_gate_wait(gate, entry);
    }

    return answer;
}


/* Leaves; whoever may enter then, NULL if nobody, has passed. */
static sandbox_gate_entry_t *
go(sandbox_gate_t *gate, sandbox_gate_entry_t *entry)
{
    sandbox_gate_entry_t *next;

    sandbox_gate_leave(gate, entry);
    next = sandbox_gate_next(gate);

    if (next) {
        sandbox_gate_pass(gate, next);
    }

    return next;
}


static void
test_share(void **state)
{
    int i;
    sandbox_gate_entry_t a[SHARE + 1], b[SHARE + 1];
    sandbox_gate_t gate = { .share = SHARE, .room = ROOM };

    (void) state;
    assert_null(sandbox_gate_next(&gate));

    for (i = 0; i < SHARE; i++) {
        assert_int_equal(come(&gate, &a[i], "a"), SANDBOX_GATE_OPEN);
    }

    assert_int_equal(come(&gate, &a[SHARE], "a"), SANDBOX_GATE_WAIT);

    /* others have shares of their own */
    for (i = 0; i < SHARE; i++) {
        assert_int_equal(come(&gate, &b[i], "b"), SANDBOX_GATE_OPEN);
    }

    assert_int_equal(come(&gate, &b[SHARE], "b"), SANDBOX_GATE_WAIT);
    assert_null(sandbox_gate_next(&gate));

    /* each place goes to the tenant that gives it back */
    assert_ptr_equal(go(&gate, &b[1]), &b[SHARE]);
    assert_ptr_equal(go(&gate, &a[0]), &a[SHARE]);
    assert_null(go(&gate, &a[SHARE]));
    assert_null(go(&gate, &b[0]));
    assert_int_equal(come(&gate, &a[0], "a"), SANDBOX_GATE_OPEN);
}


static void
test_order(void **state)
{
    int i;
    sandbox_gate_entry_t e[SHARE + ROOM], late;
    sandbox_gate_t gate = { .share = SHARE, .room = ROOM };

    (void) state;

    for (i = 0; i < SHARE + ROOM; i++) {
        assert_int_equal(come(&gate, &e[i], "a"),
                         i < SHARE ? SANDBOX_GATE_OPEN : SANDBOX_GATE_WAIT);
    }

    /* the pool takes nobody at the moment: who comes now does not overtake */
    sandbox_gate_leave(&gate, &e[0]);
    assert_ptr_equal(sandbox_gate_next(&gate), &e[SHARE]);
    assert_int_equal(sandbox_gate_ask(&gate, "a"), SANDBOX_GATE_FULL);
    sandbox_gate_pass(&gate, &e[SHARE]);
    assert_int_equal(come(&gate, &late, "a"), SANDBOX_GATE_WAIT);

    for (i = 1; i < ROOM; i++) {
        assert_ptr_equal(go(&gate, &e[i]), &e[SHARE + i]);
    }

    assert_ptr_equal(go(&gate, &e[SHARE + 1]), &late);
}


static void
test_room(void **state)
{
    int i;
    sandbox_gate_entry_t a[SHARE + ROOM + 1], b;
    sandbox_gate_t gate = { .share = SHARE, .room = ROOM };
    sandbox_gate_t none = { .share = 1 };

    (void) state;

    for (i = 0; i < SHARE + ROOM; i++) {
        assert_int_not_equal(come(&gate, &a[i], "a"), SANDBOX_GATE_FULL);
    }

    assert_int_equal(come(&gate, &a[i], "a"), SANDBOX_GATE_FULL);
    assert_int_equal(come(&gate, &b, "b"), SANDBOX_GATE_OPEN);

    /* there is room again when one has passed */
    assert_ptr_equal(go(&gate, &a[0]), &a[SHARE]);
    assert_int_equal(come(&gate, &a[i], "a"), SANDBOX_GATE_WAIT);

    /* without any room */
    assert_int_equal(come(&none, &a[0], "a"), SANDBOX_GATE_OPEN);
    assert_int_equal(come(&none, &a[1], "a"), SANDBOX_GATE_FULL);
}


/* Whatever comes and goes: nobody has more than the share, or waits idly. */
static void
test_random(void **state)
{
    int i, n, inside[3];
    sandbox_gate_answer_t answer;
    sandbox_gate_entry_t e[ENTRIES], *next;
    enum { OUT, IN, WAITS } at[ENTRIES] = { OUT };
    sandbox_gate_t gate = { .share = 2, .room = ROOM };
    static const char *const tenants[] = { "a", "b", "" };

    (void) state;
    srandom(1);

    for (n = 0; n < 20000; n++) {
        i = (int) (random() % ENTRIES);

        if (at[i] == OUT) {
            answer = come(&gate, &e[i], tenants[i % 3]);
            at[i] = answer == SANDBOX_GATE_OPEN   ? IN
                    : answer == SANDBOX_GATE_WAIT ? WAITS
                                                  : OUT;

        } else if (at[i] == IN) {
            next = go(&gate, &e[i]);
            at[i] = OUT;

            if (next) {
                assert_int_equal(at[next - e], WAITS);
                assert_string_equal(next->tenant, tenants[i % 3]);
                at[next - e] = IN;
            }
        }

        memset(inside, 0, sizeof(inside));

        for (i = 0; i < ENTRIES; i++) {
            inside[i % 3] += at[i] == IN;
        }

        for (i = 0; i < ENTRIES; i++) {
            assert_true(inside[i % 3] <= 2);
            assert_true(at[i] != WAITS || inside[i % 3] == 2);
        }

        assert_null(sandbox_gate_next(&gate));
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
