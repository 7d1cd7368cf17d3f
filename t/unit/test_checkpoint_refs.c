/* Who needs which file: domains and states of the test's own, some of which
 * come and go between the looks. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint_world.h"

static sandbox_hv_conn_t conn;


static sandbox_checkpoint_refs_t
look(void)
{
    sandbox_hv_error_t err;
    sandbox_checkpoint_refs_t refs;

    memset(&refs, 0, sizeof(refs));
    assert_int_equal(sandbox_checkpoint_refs(&conn, &refs, &err),
                     SANDBOX_HV_OK);
    return refs;
}


static const char *
by(const sandbox_checkpoint_refs_t *refs, const char *file)
{
    const sandbox_checkpoint_ref_t *ref;

    ref = sandbox_checkpoint_refs_file(refs, file);
    return ref ? ref->by : "";
}


/* --- tests ---------------------------------------------------------------- */

static void
test_who(void **state)
{
    sandbox_checkpoint_refs_t refs;
    char a[] = "snap_a.state", t[] = "snap_t.state";
    char *names[] = { a, t };

    (void) state;

    world_domain("sb_z", 1, "snap_a.x.ram", "snap_a.x.qcow2", "boot_l.x.qcow2");
    world_domain("sb_b", 2, "snap_ab.x.ram", "snap_ab.x.qcow2",
                 "boot_m.x.qcow2");
    world_domain("snap_m", 3, "snap_m.x.ram", "boot_m.x.qcow2", "");
    world_checkpoint("snap_a", "boot_l.x.qcow2");
    world_checkpoint("snap_c", "snap_g.x.qcow2");
    refs = look();

    assert_string_equal(by(&refs, "snap_a.x.ram"), "sb_z"); /* who runs first */
    assert_string_equal(by(&refs, "boot_l.x.qcow2"), "sb_z");
    assert_string_equal(by(&refs, "snap_c.x.ram"), "snap_c");
    assert_string_equal(by(&refs, "snap_g.x.qcow2"), "snap_c");
    assert_string_equal(by(&refs, "snap_g.x.ram"), "");
    assert_string_equal(by(&refs, ""), "");

    assert_string_equal(sandbox_checkpoint_refs_id(&refs, "snap_a", 1)->by,
                        "sb_z");
    assert_string_equal(sandbox_checkpoint_refs_id(&refs, "snap_g", 0)->by,
                        "snap_c");
    assert_null(sandbox_checkpoint_refs_id(&refs, "snap_g", 1));
    assert_null(sandbox_checkpoint_refs_id(&refs, "snap_c", 0));
    assert_null(sandbox_checkpoint_refs_id(&refs, "snap_", 0));

    assert_true(sandbox_checkpoint_refs_domain(&refs, "sb_b"));
    assert_false(sandbox_checkpoint_refs_domain(&refs, "snap_a"));
    assert_true(sandbox_checkpoint_refs_read(&refs, "snap_a"));
    assert_false(sandbox_checkpoint_refs_read(&refs, "sb_b"));

    assert_int_equal(sandbox_checkpoint_refs_needed(&refs, names, 2, "boot_l",
                                                    "boot_l.x.qcow2"),
                     SANDBOX_CHECKPOINT_NEEDED);
    assert_int_equal(sandbox_checkpoint_refs_needed(&refs, names, 2, "snap_m",
                                                    "snap_m.y.qcow2"),
                     SANDBOX_CHECKPOINT_MAKING);
    assert_int_equal(sandbox_checkpoint_refs_needed(&refs, names, 2, "snap_t",
                                                    "snap_t.x.qcow2"),
                     SANDBOX_CHECKPOINT_UNREAD);
    assert_int_equal(sandbox_checkpoint_refs_needed(&refs, names, 2, "snap_a",
                                                    "snap_a.y.qcow2"),
                     SANDBOX_CHECKPOINT_SPARE);
    assert_int_equal(sandbox_checkpoint_refs_needed(&refs, names, 2, "snap_q",
                                                    "snap_q.x.qcow2"),
                     SANDBOX_CHECKPOINT_SPARE);
    assert_false(refs.unsettled);
    sandbox_checkpoint_refs_free(&refs);
}


/* A domain is read once, unless it is another one or was just starting. */
static void
test_domains_once(void **state)
{
    struct _virDomain *d;
    sandbox_hv_error_t err;
    sandbox_checkpoint_refs_t refs;

    (void) state;

    world_domain("sb_a", 1, "snap_a.x.ram", "snap_a.x.qcow2", "");
    d = world_domain("sb_b", 2, "snap_b.x.ram", "", "");
    refs = look();
    assert_int_equal(world.xmls,
                     3); /* sb_b says nothing of what it stands on */

    (void) snprintf(d->layers[1], sizeof(d->layers[1]), "snap_b.x.qcow2");
    assert_int_equal(sandbox_checkpoint_refs_domains(&conn, &refs, &err), 0);
    assert_int_equal(world.xmls, 4);
    assert_string_equal(by(&refs, "snap_b.x.qcow2"), "sb_b");

    d->id = 7; /* taken, and started again */
    (void) snprintf(d->layers[1], sizeof(d->layers[1]), "snap_c.x.qcow2");
    world_domain("sb_d", 8, "snap_d.x.ram", "snap_d.x.qcow2", "");
    world_domain("sb_e", 9, "snap_e.x.ram", "snap_e.x.qcow2", "")->gone = 1;
    assert_int_equal(sandbox_checkpoint_refs_domains(&conn, &refs, &err), 0);
    assert_int_equal(world.xmls, 7);
    assert_string_equal(by(&refs, "snap_c.x.qcow2"), "sb_b");
    assert_string_equal(by(&refs, "snap_b.x.qcow2"), "sb_b");
    assert_string_equal(by(&refs, "snap_d.x.ram"), "sb_d");
    assert_string_equal(by(&refs, "snap_e.x.ram"), "");

    world.ndomains = 0; /* what was seen stays */
    assert_int_equal(sandbox_checkpoint_refs_domains(&conn, &refs, &err), 0);
    assert_string_equal(by(&refs, "snap_a.x.ram"), "sb_a");
    sandbox_checkpoint_refs_free(&refs);
}


static void
test_memories(void **state)
{
    sandbox_hv_error_t err;
    sandbox_checkpoint_refs_t refs;

    (void) state;

    world_domain("sb_a", 1, "snap_a.x.ram", "snap_a.x.qcow2", "");
    memset(&refs, 0, sizeof(refs));
    refs.memories = 1;
    assert_int_equal(sandbox_checkpoint_refs_domains(&conn, &refs, &err), 0);
    assert_string_equal(by(&refs, "snap_a.x.ram"), "sb_a");
    assert_string_equal(by(&refs, "snap_a.x.qcow2"), "");
    sandbox_checkpoint_refs_free(&refs);
}


static void
test_read_once(void **state)
{
    int i;
    sandbox_checkpoint_refs_t refs;

    (void) state;

    world_checkpoint("snap_a", "boot_l.x.qcow2");

    /* one that was made just now is not kept */
    for (i = 1; i <= 2; i++) {
        refs = look();
        assert_int_equal(world.reads, i);
        sandbox_checkpoint_refs_free(&refs);
    }

    world.age = 60000;

    for (i = 0; i < 3; i++) {
        refs = look();
        assert_int_equal(world.reads, 3);
        assert_string_equal(by(&refs, "snap_a.x.ram"), "snap_a");
        assert_string_equal(by(&refs, "boot_l.x.qcow2"), "snap_a");
        sandbox_checkpoint_refs_free(&refs);
    }

    /* another of its name */
    world.nstates = 0;
    free(world.states[0].text);
    world_checkpoint("snap_a", "boot_longer.x.qcow2");
    refs = look();
    assert_int_equal(world.reads, 4);
    assert_string_equal(by(&refs, "boot_l.x.qcow2"), "");
    assert_string_equal(by(&refs, "boot_longer.x.qcow2"), "snap_a");
    sandbox_checkpoint_refs_free(&refs);
}


static void
goes(int times)
{
    if (times == 1) {
        /* paused anew, and the one it was woken from is discarded */
        world_checkpoint("snap_b", "boot_l.x.qcow2");
        free(world.states[0].text);
        world.states[0].text = NULL;

    } else if (world.states[0].text == NULL) {
        world.states[0] = world.states[--world.nstates];
    }
}


/* One that goes between the listing and the reading hides no successor. */
static void
test_successor(void **state)
{
    sandbox_checkpoint_refs_t refs;

    (void) state;

    world_checkpoint("snap_a", "boot_l.x.qcow2");
    world.at_list = goes;
    refs = look();
    assert_int_equal(world.listed, 4); /* the second listing has it still */
    assert_string_equal(by(&refs, "boot_l.x.qcow2"), "snap_b");
    assert_false(refs.unsettled);
    sandbox_checkpoint_refs_free(&refs);
}


static void
comes(int times)
{
    if (times == 1) {
        world_checkpoint("snap_b", "boot_m.x.qcow2");
    }
}


/* One that is not listed yet, of a domain that is gone before it is seen. */
static void
test_late(void **state)
{
    sandbox_checkpoint_refs_t refs;

    (void) state;

    world_checkpoint("snap_a", "boot_l.x.qcow2");
    world.at_list = comes;
    refs = look();
    assert_int_equal(world.listed, 3);
    assert_string_equal(by(&refs, "boot_l.x.qcow2"), "snap_a");
    assert_string_equal(by(&refs, "boot_m.x.qcow2"), "snap_b");
    assert_false(refs.unsettled);
    sandbox_checkpoint_refs_free(&refs);
}


static void
test_unsettled(void **state)
{
    sandbox_checkpoint_refs_t refs;

    (void) state;

    /* one is always gone */
    world_checkpoint("snap_a", "boot_l.x.qcow2");
    free(world.states[0].text);
    world.states[0].text = NULL;
    refs = look();
    assert_true(refs.unsettled);
    sandbox_checkpoint_refs_free(&refs);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_who, world_end),
        cmocka_unit_test_teardown(test_domains_once, world_end),
        cmocka_unit_test_teardown(test_memories, world_end),
        cmocka_unit_test_teardown(test_read_once, world_end),
        cmocka_unit_test_teardown(test_successor, world_end),
        cmocka_unit_test_teardown(test_late, world_end),
        cmocka_unit_test_teardown(test_unsettled, world_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
