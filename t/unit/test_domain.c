/* The end of a domain, and of one whose start never ends.  libvirt has at most
 * one domain, which the test changes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <libvirt/virterror.h>
#include <string.h>

#include "sandbox_checkpoint_parts.h"
#include "sandbox_hv.h"
#include "sandbox_memory.h"

#define UUID "8766e684-09fd-8723-b98a-c3573aaeb920"

static sandbox_hv_conn_t conn;

static struct {
    int there;
    int state; /* -1: it cannot be told */
    int reason;
    int stuck;     /* 1: it cannot be ended */
    int destroyed; /* how often that was tried */
    virError error;
} world;


/* --- libvirt -------------------------------------------------------------- */

virDomainPtr
virDomainLookupByUUIDString(virConnectPtr virt, const char *uuid)
{
    (void) virt;
    assert_string_equal(uuid, UUID);
    world.error.code = VIR_ERR_NO_DOMAIN;
    return world.there ? (virDomainPtr) &world : NULL;
}


int
virDomainGetState(virDomainPtr domain, int *state, int *reason,
                  unsigned int flags)
{
    (void) domain;
    (void) flags;
    *state = world.state;

    if (reason) {
        *reason = world.reason;
    }

    return world.state == -1 ? -1 : 0;
}


int
virDomainDestroy(virDomainPtr domain)
{
    (void) domain;
    world.destroyed++;

    if (world.stuck) {
        world.error.code = VIR_ERR_OPERATION_TIMEOUT;
        return -1;
    }

    world.there = 0;
    return 0;
}


int
virDomainIsPersistent(virDomainPtr domain)
{
    (void) domain;
    return 0;
}


int
virDomainUndefine(virDomainPtr domain)
{
    (void) domain;
    return 0;
}


int
virDomainFree(virDomainPtr domain)
{
    (void) domain;
    return 0;
}


virDomainPtr
virDomainCreateXML(virConnectPtr virt, const char *xml, unsigned int flags)
{
    (void) virt;
    (void) xml;
    (void) flags;
    return NULL;
}


virErrorPtr
virGetLastError(void)
{
    return &world.error;
}


int
virGetLastErrorCode(void)
{
    return world.error.code;
}


/* --- the rest of the room ------------------------------------------------- */

const sandbox_hypervisor_conf_t *
sandbox_hv_conf(void)
{
    return NULL;
}


int
sandbox_hv_is_local(void)
{
    return 0;
}


void
sandbox_hv_log(int level, const char *fmt, ...)
{
    (void) level;
    (void) fmt;
}


void
sandbox_hv_sleep_ms(int ms)
{
    (void) ms;
}


sandbox_hv_conn_t *
sandbox_hv_connection(sandbox_hv_error_t *err)
{
    (void) err;
    return &conn;
}


sandbox_hv_status_t
sandbox_hypervisor_accel(sandbox_accel_t *accel, sandbox_hv_error_t *err)
{
    *accel = SANDBOX_ACCEL_TCG;
    return sandbox_hv_ok(err);
}


sandbox_hv_status_t
sandbox_disk_create(sandbox_hv_conn_t *c, const char *stem, const char *backing,
                    int64_t mb, char *path, int *replaced,
                    sandbox_hv_error_t *err)
{
    (void) c;
    (void) stem;
    (void) backing;
    (void) mb;
    (void) path;
    (void) replaced;
    return sandbox_hv_ok(err);
}


sandbox_hv_status_t
sandbox_disk_delete(sandbox_hv_conn_t *c, const char *id,
                    sandbox_hv_error_t *err)
{
    (void) c;
    (void) id;
    return sandbox_hv_ok(err);
}


sandbox_hv_status_t
sandbox_domain_run(sandbox_hv_conn_t *c, virDomainPtr domain,
                   const sandbox_domain_spec_t *spec, sandbox_hv_error_t *err)
{
    (void) c;
    (void) domain;
    (void) spec;
    return sandbox_hv_ok(err);
}


int
sandbox_checkpoint_drain(const char *sandbox, int64_t deadline)
{
    (void) sandbox;
    (void) deadline;
    return 1;
}


void
sandbox_memory_fifo_remove(const char *id)
{
    (void) id;
}


/* --- tests ---------------------------------------------------------------- */

static sandbox_hv_status_t
end_domain(void)
{
    sandbox_hv_error_t err;

    world.destroyed = 0;
    return sandbox_domain_end(&conn, UUID, &err);
}


static int
is_lost(void)
{
    return sandbox_domain_is_lost((virDomainPtr) &world, UUID);
}


/* A domain whose start never ends: it is tried once, and counts as gone. */
static void
lose(void)
{
    memset(&world, 0, sizeof(world));
    world.there = 1;
    world.state = VIR_DOMAIN_PAUSED;
    world.reason = VIR_DOMAIN_PAUSED_STARTING_UP;
    assert_false(is_lost());

    world.stuck = 1;
    assert_int_equal(end_domain(), SANDBOX_HV_OK);
    assert_int_equal(world.destroyed, 1);
    assert_int_equal(end_domain(), SANDBOX_HV_OK);
    assert_int_equal(world.destroyed, 0);
    assert_true(is_lost());
}


/* It was purged, and the same is started anew, so that it can be seen. */
static void
test_anew(void **state)
{
    (void) state;

    lose();
    world.stuck = 0;
    world.state = VIR_DOMAIN_RUNNING;
    world.reason = VIR_DOMAIN_RUNNING_BOOTED;
    assert_false(is_lost());
    assert_int_equal(end_domain(), SANDBOX_HV_OK);
    assert_int_equal(world.destroyed, 1);
    assert_false(world.there);
}


static void
test_anew_unseen(void **state)
{
    (void) state;

    lose();
    world.stuck = 0;
    world.state = VIR_DOMAIN_PAUSED;
    world.reason = VIR_DOMAIN_PAUSED_USER;
    assert_int_equal(end_domain(), SANDBOX_HV_OK);
    assert_int_equal(world.destroyed, 1);
    assert_false(world.there);
}


/* It was purged: what is starting later is another. */
static void
test_purged(void **state)
{
    (void) state;

    lose();
    world.there = 0;
    assert_int_equal(end_domain(), SANDBOX_HV_OK);

    world.there = 1;
    world.stuck = 0;
    assert_false(is_lost());
    assert_int_equal(end_domain(), SANDBOX_HV_OK);
    assert_int_equal(world.destroyed, 1);
}


/* What cannot be told is not taken for lost, and not forgotten. */
static void
test_untold(void **state)
{
    (void) state;

    lose();
    world.state = -1;
    assert_false(is_lost());
    world.state = VIR_DOMAIN_PAUSED;
    assert_true(is_lost());

    world.there = 0;
    assert_int_equal(end_domain(), SANDBOX_HV_OK);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_anew),
        cmocka_unit_test(test_anew_unseen),
        cmocka_unit_test(test_purged),
        cmocka_unit_test(test_untold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
