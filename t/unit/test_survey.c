/* Verdicts on what Redis, libvirt and the disks say of one id. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "sandbox_survey.h"

#define NOW 1000000
#define PATIENCE 75000
#define SOON (NOW + 15000)
#define LATER (NOW + 3600000)


static void
test_verdicts(void **state)
{
    size_t i;
    sandbox_survey_entry_t e;
    static const struct {
        const char *what;
        sandbox_verdict_t verdict;
        sandbox_survey_entry_t entry;
    } cases[] = {
        { "as it should be",
          SANDBOX_SURVEY_FINE,
          { .guest = 1,
            .agenda = 1,
            .agenda_at = LATER,
            .domain = 1,
            .ours = 1,
            .recorded = 1,
            .running = 1,
            .timeout_at = LATER } },
        { "a domain alone", SANDBOX_SURVEY_ORPHAN, { .domain = 1, .ours = 1 } },
        { "a domain of another node alone",
          SANDBOX_SURVEY_FINE,
          { .domain = 1 } },
        { "an overlay alone", SANDBOX_SURVEY_ORPHAN, { .overlay = 1 } },
        { "an address alone", SANDBOX_SURVEY_ORPHAN, { .guest = 1 } },
        { "a create before its record",
          SANDBOX_SURVEY_FINE,
          { .guest = 1, .agenda = 1, .agenda_at = SOON } },
        { "a record that was lost, its deadline not",
          SANDBOX_SURVEY_ORPHAN,
          { .guest = 1,
            .agenda = 1,
            .agenda_at = LATER,
            .domain = 1,
            .ours = 1 } },
        { "an overlay of another node",
          SANDBOX_SURVEY_FINE,
          { .overlay = 1, .recorded = 1, .elsewhere = 1, .running = 1 } },
        { "a domain here, its record elsewhere",
          SANDBOX_SURVEY_STRAY,
          { .domain = 1,
            .ours = 1,
            .recorded = 1,
            .elsewhere = 1,
            .running = 1 } },
        { "the machine has ended",
          SANDBOX_SURVEY_LOST,
          { .guest = 1,
            .agenda = 1,
            .agenda_at = LATER,
            .overlay = 1,
            .recorded = 1,
            .running = 1,
            .timeout_at = LATER } },
        { "the machine ended, and was noted",
          SANDBOX_SURVEY_FINE,
          { .agenda = 1,
            .agenda_at = LATER,
            .recorded = 1,
            .failed = 1,
            .timeout_at = LATER } },
        { "paused", SANDBOX_SURVEY_FINE, { .recorded = 1, .paused = 1 } },
        { "paused, its address is held",
          SANDBOX_SURVEY_REMAINS,
          { .guest = 1, .recorded = 1, .paused = 1 } },
        { "paused, its machine is there",
          SANDBOX_SURVEY_REMAINS,
          { .domain = 1, .ours = 1, .recorded = 1, .paused = 1 } },
        { "hibernating, and its machine has ended",
          SANDBOX_SURVEY_FINE,
          { .guest = 1,
            .agenda = 1,
            .agenda_at = LATER,
            .recorded = 1,
            .leased = 1,
            .lease_at = LATER } },
        { "noted, its overlay is there",
          SANDBOX_SURVEY_REMAINS,
          { .agenda = 1,
            .agenda_at = LATER,
            .overlay = 1,
            .recorded = 1,
            .failed = 1,
            .timeout_at = LATER } },
        { "noted, its address is held",
          SANDBOX_SURVEY_REMAINS,
          { .guest = 1,
            .agenda = 1,
            .agenda_at = LATER,
            .recorded = 1,
            .failed = 1,
            .timeout_at = LATER } },
        { "noted, and nobody will look at its deadline",
          SANDBOX_SURVEY_ADOPT,
          { .recorded = 1, .failed = 1, .timeout_at = LATER } },
        { "runs, and its address is not held",
          SANDBOX_SURVEY_ADOPT,
          { .address = 1,
            .agenda = 1,
            .agenda_at = LATER,
            .domain = 1,
            .ours = 1,
            .recorded = 1,
            .running = 1,
            .timeout_at = LATER } },
        { "runs, and is not on the agenda",
          SANDBOX_SURVEY_ADOPT,
          { .guest = 1,
            .domain = 1,
            .ours = 1,
            .recorded = 1,
            .running = 1,
            .timeout_at = LATER } },
        { "runs, and the agenda is later than its deadline",
          SANDBOX_SURVEY_LATE,
          { .guest = 1,
            .agenda = 1,
            .agenda_at = LATER + 1,
            .domain = 1,
            .ours = 1,
            .recorded = 1,
            .running = 1,
            .timeout_at = LATER } },
        { "a hibernation failed at the deadline, and waits to be repeated",
          SANDBOX_SURVEY_FINE,
          { .guest = 1,
            .agenda = 1,
            .agenda_at = NOW + SANDBOX_SURVEY_RETRY_MS,
            .domain = 1,
            .ours = 1,
            .recorded = 1,
            .running = 1,
            .sleeps = 1,
            .timeout_at = NOW } },
        { "the same, but it would wait for longer than any",
          SANDBOX_SURVEY_LATE,
          { .guest = 1,
            .agenda = 1,
            .agenda_at = NOW + SANDBOX_SURVEY_RETRY_MS + 1,
            .domain = 1,
            .ours = 1,
            .recorded = 1,
            .running = 1,
            .sleeps = 1,
            .timeout_at = NOW } },
        { "a deadline to be destroyed at has passed, the agenda waits",
          SANDBOX_SURVEY_LATE,
          { .guest = 1,
            .agenda = 1,
            .agenda_at = SOON,
            .domain = 1,
            .ours = 1,
            .recorded = 1,
            .running = 1,
            .timeout_at = NOW } },
        { "is being created",
          SANDBOX_SURVEY_FINE,
          { .guest = 1,
            .agenda = 1,
            .agenda_at = SOON,
            .recorded = 1,
            .leased = 1,
            .lease_at = SOON } },
        { "its creator died, the agenda waits",
          SANDBOX_SURVEY_LATE,
          { .guest = 1,
            .agenda = 1,
            .agenda_at = LATER,
            .domain = 1,
            .ours = 1,
            .recorded = 1,
            .leased = 1,
            .lease_at = NOW - 2000 } },
        { "was in state error, and is being destroyed",
          SANDBOX_SURVEY_FINE,
          { .agenda = 1,
            .agenda_at = SOON,
            .recorded = 1,
            .leased = 1,
            .lease_at = SOON } },
        { "a state this node does not know of",
          SANDBOX_SURVEY_FINE,
          { .agenda = 1, .agenda_at = LATER, .recorded = 1 } },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        e = cases[i].entry;
        sandbox_survey_judge(&e, NOW, PATIENCE);

        if (e.verdict != cases[i].verdict) {
            fail_msg("%s: verdict %d, not %d", cases[i].what, e.verdict,
                     cases[i].verdict);
        }
    }
}


static sandbox_survey_entry_t *
add(sandbox_survey_t *s, const char *id)
{
    sandbox_survey_entry_t *e;

    e = sandbox_survey_add(s, id);
    assert_non_null(e);

    return e;
}


static void
test_merge(void **state)
{
    sandbox_survey_t s = { NULL, 0, 0 };

    (void) state;

    sandbox_survey_merge(&s);
    assert_int_equal(s.n, 0);

    add(&s, "sb_b")->guest = 1;
    add(&s, "sb_a")->overlay = 1;
    add(&s, "sb_b")->agenda = 1;
    s.entries[2].agenda_at = 7;
    add(&s, "sb_b")->domain = 1;
    s.entries[3].ours = 1;

    sandbox_survey_merge(&s);

    assert_int_equal(s.n, 2);
    assert_string_equal(s.entries[0].id, "sb_a");
    assert_true(s.entries[0].overlay && !s.entries[0].guest);
    assert_string_equal(s.entries[1].id, "sb_b");
    assert_true(s.entries[1].guest && s.entries[1].agenda && s.entries[1].domain
                && s.entries[1].ours && !s.entries[1].overlay);
    assert_int_equal(s.entries[1].agenda_at, 7);

    sandbox_survey_free(&s);
}


static void
test_grace(void **state)
{
    sandbox_survey_t now = { NULL, 0, 0 };
    sandbox_survey_t before = { NULL, 0, 0 };

    (void) state;

    add(&before, "sb_a")->since_ms = 1000;
    add(&before, "sb_c");

    add(&now, "sb_a")->verdict = SANDBOX_SURVEY_ORPHAN;
    add(&now, "sb_b")->verdict = SANDBOX_SURVEY_STRAY;
    add(&now, "sb_c")->verdict = SANDBOX_SURVEY_ORPHAN;
    add(&now, "sb_d");

    assert_int_equal(sandbox_survey_age(&now, &before, 5000, 4000), 4000);
    assert_true(now.entries[0].ripe);
    assert_int_equal(now.entries[1].since_ms, 5000);
    assert_false(now.entries[1].ripe);
    assert_int_equal(now.entries[2].since_ms, 5000);
    assert_false(now.entries[3].ripe);
    assert_int_equal(now.entries[3].since_ms, 0);

    sandbox_survey_free(&before);
    assert_int_equal(sandbox_survey_age(&now, &before, 6000, 0), -1);
    assert_true(now.entries[1].ripe && now.entries[2].ripe);

    sandbox_survey_free(&now);
}


static sandbox_verdict_t
aged(sandbox_verdict_t verdict, const sandbox_survey_t *before, int suspect,
     int64_t *next)
{
    sandbox_verdict_t result;
    sandbox_survey_t now = { NULL, 0, 0 };

    add(&now, "sb_a")->verdict = verdict;
    now.entries[0].suspect = suspect != 0;
    *next = sandbox_survey_age(&now, before, 5000, 4000);
    assert_int_equal(now.entries[0].found, verdict);
    result = now.entries[0].verdict;
    sandbox_survey_free(&now);

    return result;
}


static void
test_twice(void **state)
{
    int64_t next;
    sandbox_survey_t before = { NULL, 0, 0 };

    (void) state;

    assert_int_equal(aged(SANDBOX_SURVEY_LOST, &before, 0, &next),
                     SANDBOX_SURVEY_FINE);
    assert_in_range(next, 1, 1000);
    assert_int_equal(aged(SANDBOX_SURVEY_LOST, &before, 1, &next),
                     SANDBOX_SURVEY_LOST);
    assert_int_equal(next, -1);
    assert_int_equal(aged(SANDBOX_SURVEY_ADOPT, &before, 1, &next),
                     SANDBOX_SURVEY_FINE);
    assert_int_equal(next, -1);

    add(&before, "sb_a")->found = SANDBOX_SURVEY_LOST;
    assert_int_equal(aged(SANDBOX_SURVEY_LOST, &before, 0, &next),
                     SANDBOX_SURVEY_LOST);
    assert_int_equal(aged(SANDBOX_SURVEY_ADOPT, &before, 0, &next),
                     SANDBOX_SURVEY_FINE);

    before.entries[0].found = SANDBOX_SURVEY_ADOPT;
    assert_int_equal(aged(SANDBOX_SURVEY_ADOPT, &before, 0, &next),
                     SANDBOX_SURVEY_ADOPT);
    assert_int_equal(aged(SANDBOX_SURVEY_LOST, &before, 0, &next),
                     SANDBOX_SURVEY_FINE);
    assert_int_equal(aged(SANDBOX_SURVEY_LATE, &before, 0, &next),
                     SANDBOX_SURVEY_LATE);

    sandbox_survey_free(&before);
}


static void
test_due(void **state)
{
    sandbox_survey_entry_t e;

    (void) state;

    memset(&e, 0, sizeof(e));
    e.timeout_at = LATER;
    assert_int_equal(sandbox_survey_due(&e, NOW), LATER);

    e.leased = 1;
    assert_int_equal(sandbox_survey_due(&e, NOW), NOW);

    e.lease_at = SOON;
    assert_int_equal(sandbox_survey_due(&e, NOW), SOON);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts), cmocka_unit_test(test_merge),
        cmocka_unit_test(test_grace),    cmocka_unit_test(test_twice),
        cmocka_unit_test(test_due),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
