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

static int libvirt; /* what connections point to */
static int opens, closes;
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
    opens++;
    return (virConnectPtr) &libvirt;
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
    (void) conn;
    return 1;
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
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
