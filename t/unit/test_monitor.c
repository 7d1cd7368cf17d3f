/* Having QEMU read a machine's memory, by a libvirt of the test's own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>

#include "sandbox_hv.h"
#include "sandbox_time.h"

#define MB 4096
#define READS (MB / 8)

static sandbox_hv_conn_t conn;
static int reads;    /* that were asked for */
static int stops_at; /* the read at which stop is set; 0: none */
static int stop;
static int takes_ms; /* each read */
static int refuses;
static long long last;


/* --- the rest ------------------------------------------------------------- */

int
virDomainQemuMonitorCommand(virDomainPtr domain, const char *command,
                            char **answer, unsigned flags)
{
    const char *at;

    (void) domain;
    (void) flags;
    assert_non_null(strstr(command, "\"pmemsave\""));
    at = strstr(command, "\"val\":");
    assert_non_null(at);
    last = atoll(at + 6);

    if (++reads == stops_at) {
        stop = 1;
    }

    (void) usleep((useconds_t) takes_ms * 1000);
    *answer =
        strdup(refuses ? "{\"error\":{\"desc\":\"no\"}}" : "{\"return\":{}}");

    return 0;
}


int
virDomainQemuMonitorCommandWithFiles(virDomainPtr domain, const char *command,
                                     unsigned n, int *files, unsigned *nout,
                                     int **out, char **answer, unsigned flags)
{
    (void) domain;
    (void) command;
    (void) n;
    (void) files;
    (void) nout;
    (void) out;
    (void) answer;
    (void) flags;
    return -1;
}


virErrorPtr
virGetLastError(void)
{
    return NULL;
}


void
sandbox_hv_sleep_ms(int ms)
{
    (void) usleep((useconds_t) ms * 1000);
}


/* --- tests ---------------------------------------------------------------- */

static int
touch(int64_t ms)
{
    return sandbox_monitor_touch(&conn, NULL, MB,
                                 sandbox_time_monotonic_ms() + ms, &stop);
}


static int
setup(void **state)
{
    (void) state;
    reads = 0;
    stops_at = 0;
    stop = 0;
    takes_ms = 0;
    refuses = 0;
    last = -1;

    return 0;
}


/* All of it, and what is above 2 GiB where q35 has it. */
static void
test_all(void **state)
{
    (void) state;

    assert_int_equal(touch(60000), 1);
    assert_int_equal(reads, READS);
    assert_true(last == (2048 - 8 + 4096) * 1048576LL);
}


static void
test_refused(void **state)
{
    (void) state;
    refuses = 1;

    assert_int_equal(touch(60000), 1);
    assert_int_equal(reads, 1);
}


static void
test_stopped(void **state)
{
    (void) state;
    stops_at = 3;

    assert_int_equal(touch(60000), 0);
    assert_int_equal(reads, 3);
}


static void
test_deadline(void **state)
{
    (void) state;
    takes_ms = 20;

    assert_int_equal(touch(100), 0);
    assert_in_range(reads, 1, 6);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_all, setup),
        cmocka_unit_test_setup(test_refused, setup),
        cmocka_unit_test_setup(test_stopped, setup),
        cmocka_unit_test_setup(test_deadline, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
