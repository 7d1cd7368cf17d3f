/* Connections that are used again, to a libvirt of the test's own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <libvirt/virterror.h>

#include "sandbox_hv.h"

#define OLD 7002022
#define NEW 10000003

static const sandbox_hypervisor_conf_t conf = { .uri = "qemu:///system" };

#define CONNECTIONS 16

static int libvirt[CONNECTIONS]; /* what connections point to: 1, it is dead */
static int opens, closes;
static int away; /* no connection can be opened */
static unsigned long version;
static int versions; /* times that it was asked for */
static int deaf;     /* so many times more it is not told */


/* --- libvirt -------------------------------------------------------------- */

int
virInitialize(void)
{
    return 0;
}


void
virSetErrorFunc(void *data, virErrorFunc handler)
{
    (void) data;
    (void) handler;
}


virErrorPtr
virSaveLastError(void)
{
    return NULL;
}


void
virFreeError(virErrorPtr err)
{
    (void) err;
}


const char *
virGetLastErrorMessage(void)
{
    return "";
}


int
virEventRegisterDefaultImpl(void)
{
    return 0;
}


int
virEventRunDefaultImpl(void)
{
    (void) usleep(1000);
    return 0;
}


int
virEventAddTimeout(int ms, virEventTimeoutCallback cb, void *data,
                   virFreeCallback ff)
{
    (void) ms;
    (void) cb;
    (void) data;
    (void) ff;
    return 1;
}


int
virEventRemoveTimeout(int timer)
{
    (void) timer;
    return 0;
}


virConnectPtr
virConnectOpen(const char *uri)
{
    assert_string_equal(uri, conf.uri);
    assert_true(opens < CONNECTIONS);
    return away ? NULL : (virConnectPtr) &libvirt[opens++];
}


int
virConnectClose(virConnectPtr conn)
{
    (void) conn;
    closes++;
    return 0;
}


int
virConnectSetKeepAlive(virConnectPtr conn, int interval, unsigned int count)
{
    (void) conn;
    (void) interval;
    (void) count;
    return 0;
}


int
virConnectIsAlive(virConnectPtr conn)
{
    return !*(int *) conn;
}


char *
virConnectGetDomainCapabilities(virConnectPtr conn, const char *emulator,
                                const char *arch, const char *machine,
                                const char *type, unsigned int flags)
{
    (void) conn;
    (void) emulator;
    (void) arch;
    (void) machine;
    (void) type;
    (void) flags;

    return strdup(version == OLD ? "<domainCapabilities><machine>pc-q35-7.2"
                                   "</machine></domainCapabilities>"
                                 : "<domainCapabilities><machine>pc-q35-10.0"
                                   "</machine></domainCapabilities>");
}


char *
virConnectGetCapabilities(virConnectPtr conn)
{
    (void) conn;
    return strdup("<capabilities/>");
}


int
virConnectGetVersion(virConnectPtr conn, unsigned long *hv)
{
    (void) conn;
    versions++;

    if (deaf) {
        deaf--;
        return -1;
    }

    *hv = version;
    return 0;
}


/* --- tests ---------------------------------------------------------------- */

/* A task begins. */
static sandbox_hv_conn_t *
begin(void)
{
    sandbox_hv_conn_t *conn;
    sandbox_hv_error_t err;

    conn = sandbox_hv_connection(&err);
    assert_non_null(conn);
    assert_int_equal(err.status, SANDBOX_HV_OK);

    return conn;
}


/* QEMU is upgraded; neither libvirtd nor this process begins anew. */
static void
test_upgraded(void **state)
{
    sandbox_hv_conn_t *conn;

    (void) state;
    version = OLD;

    conn = begin();
    assert_int_equal(conn->facts.qemu, OLD);
    assert_string_equal(conn->facts.machine, "pc-q35-7.2");
    sandbox_hypervisor_release();

    version = NEW;
    assert_ptr_equal(begin(), conn);
    assert_int_equal(conn->facts.qemu, NEW);
    assert_string_equal(conn->facts.machine, "pc-q35-10.0");

    /* within a task the facts stay what they are */
    version = OLD;
    versions = 0;
    assert_ptr_equal(begin(), conn);
    assert_int_equal(conn->facts.qemu, NEW);
    assert_int_equal(versions, 0);
    sandbox_hypervisor_release();

    assert_int_equal(opens, 1);
    assert_int_equal(closes, 0);
}


/* A connection that does not tell is not used again. */
static void
test_deaf(void **state)
{
    sandbox_hv_conn_t *conn;
    sandbox_hv_error_t err;

    (void) state;
    deaf = 1;
    assert_null(sandbox_hv_connection(&err));
    assert_int_equal(err.status, SANDBOX_HV_FAILED);

    conn = begin();
    assert_int_equal(conn->facts.qemu, version);
    assert_int_equal(opens, 2);
    assert_int_equal(closes, 1);
    sandbox_hypervisor_release();
}


/* libvirtd is restarted. */
static void
restart(void)
{
    int i;

    for (i = 0; i < opens; i++) {
        libvirt[i] = 1;
    }
}


/* A verb goes on with a connection that has died while others take its place.
 */
static void
test_died(void **state)
{
    int closed;
    sandbox_hv_conn_t *first, *second, *third;
    sandbox_hv_error_t err;

    (void) state;
    closed = closes;
    first = begin();
    restart();

    away = 1;
    assert_null(sandbox_hv_connection(&err));
    assert_int_equal(err.status, SANDBOX_HV_UNAVAILABLE);
    assert_int_equal(first->facts.qemu, version);
    away = 0;

    second = begin();
    assert_ptr_not_equal(second, first);
    assert_ptr_equal(begin(), second);
    restart();
    third = begin();
    assert_ptr_not_equal(third, second);

    assert_int_equal(first->facts.qemu, version);
    assert_int_equal(second->facts.qemu, version);
    assert_int_equal(virConnectIsAlive(first->virt), 0);
    assert_int_equal(closes, closed);

    /* the task ends, and the next one begins with the one that lives */
    sandbox_hypervisor_release();
    assert_int_equal(closes, closed + 2);
    assert_ptr_equal(begin(), third);
    sandbox_hypervisor_release();
    assert_int_equal(closes, closed + 2);
}


static void *
leave(void *data)
{
    (void) data;
    (void) begin();
    restart();
    (void) begin();
    return NULL;
}


/* A thread that ends without giving its connection back. */
static void
test_thread(void **state)
{
    int before;
    pthread_t thread;

    (void) state;
    before = closes;
    assert_int_equal(sandbox_hv_thread(&thread, leave, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(closes, before + 2);
}


static int
setup(void **state)
{
    (void) state;
    return sandbox_hypervisor_start(&conf, NULL);
}


static int
teardown(void **state)
{
    (void) state;
    sandbox_hypervisor_stop();
    return opens == closes ? 0 : -1;
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upgraded),
        cmocka_unit_test(test_deaf),
        cmocka_unit_test(test_died),
        cmocka_unit_test(test_thread),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
