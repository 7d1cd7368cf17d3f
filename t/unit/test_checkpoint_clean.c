/* What is removed while others start from it, or discard it and die: domains
 * and files are the test's own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "checkpoint_world.h"
#include "sandbox_memory.h"

static sandbox_hv_conn_t conn;
static void (*at_remove)(const char *name);


/* --- the rest of the room ------------------------------------------------- */

sandbox_hv_conn_t *
sandbox_hv_connection(sandbox_hv_error_t *err)
{
    (void) sandbox_hv_ok(err);
    return &conn;
}


void
sandbox_hv_log(int level, const char *fmt, ...)
{
    (void) level;
    (void) fmt;
}


void
sandbox_domain_enter(sandbox_domain_turn_t *turn, const char *id)
{
    turn->id = id;
}


void
sandbox_domain_leave(sandbox_domain_turn_t *turn)
{
    (void) turn;
}


sandbox_hv_status_t
sandbox_domain_end(sandbox_hv_conn_t *c, const char *uuid,
                   sandbox_hv_error_t *err)
{
    (void) c;
    (void) uuid;
    return sandbox_hv_ok(err);
}


sandbox_hv_status_t
sandbox_disk_remove(sandbox_hv_conn_t *c, const char *name,
                    sandbox_hv_error_t *err)
{
    (void) c;
    world_lose(name);

    if (at_remove) {
        at_remove(name);
    }

    return sandbox_hv_ok(err);
}


void
sandbox_memory_remove(const char *id)
{
    (void) id;
}


int
sandbox_checkpoint_is_shape(const char *id)
{
    (void) id;
    return 0;
}


int
sandbox_checkpoint_lock(int64_t deadline_ms, sandbox_hv_error_t *err)
{
    (void) deadline_ms;
    (void) err;
    fail();
    return -1;
}


/* --- tests ---------------------------------------------------------------- */

/* Its memory and disk, on a layer, whether or not there is a state. */
static void
files(const char *id, const char *layer)
{
    char name[64];

    (void) snprintf(name, sizeof(name), "%s.x.ram", id);
    world_file(name);
    (void) snprintf(name, sizeof(name), "%s.x.qcow2", id);
    world_file(name);
    world_file(layer);
    world.age = SANDBOX_CHECKPOINT_GRACE_MS;
}


static void
collect(void)
{
    sandbox_hv_error_t err;

    assert_int_equal(sandbox_checkpoint_clean(&conn, NULL, &err),
                     SANDBOX_HV_OK);
}


static int
end(void **state)
{
    at_remove = NULL;
    return world_end(state);
}


static void
test_left(void **state)
{
    (void) state;

    files("snap_a", "snap_l.x.qcow2");
    collect();
    assert_int_equal(world.nfiles, 0);
}


static void
discarder_dies(int times)
{
    if (times == 1) {
        world_lose("snap_a.state");
    }
}


/* Who starts from it has read its state and has no domain yet. */
static void
test_going(void **state)
{
    (void) state;

    world_checkpoint("snap_a", "snap_l.x.qcow2");
    files("snap_a", "snap_l.x.qcow2");
    world_file("snap_b.x.qcow2");
    world.at_list = discarder_dies;
    collect();
    assert_int_equal(world.nstates, 0);
    assert_int_equal(world.nfiles, 4);

    world_domain("sb_a", 1, "snap_a.x.ram", "snap_a.x.qcow2", "snap_l.x.qcow2");
    collect();
    assert_int_equal(world.nfiles, 3);
    assert_false(world_has("snap_b.x.qcow2"));
}


static void
starter_shows(const char *name)
{
    if (strcmp(name, "snap_a.x.ram") == 0) {
        world_domain("sb_a", 1, "snap_a.x.ram", "snap_a.x.qcow2",
                     "snap_l.x.qcow2");
    }
}


/* The same of one that was gone before: its QEMU has the memory open. */
static void
test_gone(void **state)
{
    (void) state;

    files("snap_a", "snap_l.x.qcow2");
    world_file("snap_b.x.qcow2");
    at_remove = starter_shows;
    collect();
    assert_true(world_has("snap_a.x.qcow2"));
    assert_true(world_has("snap_l.x.qcow2"));
    assert_false(world_has("snap_b.x.qcow2"));
}


/* While another is discarded, which is all that goes. */
static void
test_discard(void **state)
{
    sandbox_hv_error_t err;

    (void) state;

    world_checkpoint("snap_a", "snap_l.x.qcow2");
    files("snap_a", "snap_l.x.qcow2");
    world_checkpoint("snap_b", "snap_m.x.qcow2");
    files("snap_b", "snap_m.x.qcow2");
    world.at_list = discarder_dies;
    assert_int_equal(sandbox_checkpoint_discard("snap_b", &err), SANDBOX_HV_OK);
    assert_int_equal(world.nstates, 0);
    assert_false(world_has("snap_b.x.ram"));
    assert_false(world_has("snap_b.x.qcow2"));
    assert_int_equal(world.nfiles, 4);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_left, end),
        cmocka_unit_test_teardown(test_going, end),
        cmocka_unit_test_teardown(test_gone, end),
        cmocka_unit_test_teardown(test_discard, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
