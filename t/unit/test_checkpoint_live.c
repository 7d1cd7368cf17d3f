/* The source's memory, which QEMU 8 and later is made to read before a take,
 * and a reading that takes too long; all else is the test's. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <fcntl.h>

#include "sandbox_checkpoint_take.h"
#include "sandbox_memory.h"
#include "sandbox_qmp.h"
#include "sandbox_time.h"

static sandbox_hv_conn_t conn;
static sandbox_checkpoint_take_t take;
static sandbox_taking_t t;
static int pipes; /* with a name */
static int whole; /* QEMU reads all of the memory */


/* --- the rest of the room ------------------------------------------------- */

int
sandbox_monitor_touch(sandbox_hv_conn_t *c, virDomainPtr domain,
                      int64_t memory_mb, int64_t deadline_ms, const int *stop)
{
    (void) c;
    (void) domain;
    assert_int_equal(memory_mb, 256);

    while (!whole && !__atomic_load_n(stop, __ATOMIC_RELAXED)
           && sandbox_time_monotonic_ms() < deadline_ms)
    {
        (void) usleep(1000);
    }

    return whole;
}


sandbox_hv_status_t
sandbox_monitor_fd(sandbox_hv_conn_t *c, virDomainPtr domain, const char *name,
                   int fd, sandbox_hv_error_t *err)
{
    (void) c;
    (void) domain;
    assert_string_equal(name, SANDBOX_TAKING_READER);
    assert_int_not_equal(fd, -1);
    return sandbox_hv_ok(err);
}


sandbox_hv_status_t
sandbox_taking_source(sandbox_taking_t *source, int fd, sandbox_hv_error_t *err)
{
    assert_ptr_equal(source, &t);
    assert_int_not_equal(fd, -1);
    return sandbox_hv_ok(err);
}


sandbox_hv_status_t
sandbox_monitor_capability(sandbox_hv_conn_t *c, virDomainPtr domain,
                           const char *name, int on, sandbox_hv_error_t *err)
{
    (void) c;
    (void) domain;
    assert_string_equal(name, SANDBOX_MONITOR_LIVE);
    assert_int_equal(on, 1);
    return sandbox_hv_ok(err);
}


sandbox_hv_status_t
sandbox_monitor_migrate(sandbox_hv_conn_t *c, virDomainPtr domain, int incoming,
                        const char *uri, sandbox_hv_error_t *err)
{
    (void) c;
    (void) domain;
    (void) incoming;
    (void) uri;
    return sandbox_hv_set(err, SANDBOX_HV_FAILED, "not before the pause");
}


sandbox_hv_status_t
sandbox_taking_stands(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    (void) t;
    return sandbox_hv_set(err, SANDBOX_HV_FAILED, "not before the pause");
}


sandbox_hv_status_t
sandbox_monitor_begins(sandbox_hv_conn_t *c, virDomainPtr domain, int *begins,
                       sandbox_hv_error_t *err)
{
    (void) c;
    (void) domain;
    *begins = 0;
    return sandbox_hv_ok(err);
}


sandbox_hv_status_t
sandbox_monitor_query(sandbox_hv_conn_t *c, virDomainPtr domain,
                      const char *what, char **answer, sandbox_hv_error_t *err)
{
    (void) c;
    (void) domain;
    (void) what;
    *answer = NULL;
    return sandbox_hv_set(err, SANDBOX_HV_FAILED, "%s", "");
}


int
sandbox_memory_fifo(const char *id, int create, int ends[3])
{
    int fds[2];

    assert_string_equal(id, take.id);
    assert_int_equal(create, 1);
    assert_int_equal(pipe(fds), 0);
    ends[0] = fds[1];
    ends[1] = fds[0];
    ends[2] = dup(fds[0]);
    pipes++;

    return 0;
}


void
sandbox_memory_fifo_remove(const char *id)
{
    assert_string_equal(id, take.id);
    pipes--;
}


const char *
sandbox_memory_name(const char *path)
{
    return path;
}


int
sandbox_memory_hold(const char *name, int64_t mb, int64_t ms, char *path)
{
    (void) name;
    (void) mb;
    (void) ms;
    (void) path;
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}


sandbox_hv_status_t
sandbox_memory_reserve(sandbox_hv_conn_t *c, int fd, int64_t mb,
                       sandbox_hv_error_t *err)
{
    (void) c;
    (void) fd;
    (void) mb;
    return sandbox_hv_ok(err);
}


size_t
sandbox_copy_pages(sandbox_copy_t *c)
{
    (void) c;
    return 100000;
}


void
sandbox_copy_mapped(sandbox_copy_t *c, int64_t ms)
{
    (void) c;
    (void) ms;
}


sandbox_hv_status_t
sandbox_taking_direct_looked(sandbox_taking_t *source, sandbox_hv_error_t *err)
{
    (void) source;
    return sandbox_hv_ok(err);
}


sandbox_hv_status_t
sandbox_taking_direct_start(sandbox_taking_t *source, sandbox_hv_error_t *err)
{
    (void) source;
    return sandbox_hv_ok(err);
}


int
sandbox_taking_direct_broken(const sandbox_taking_t *source)
{
    (void) source;
    return 0;
}


int
sandbox_qmp_sends(const char *answer)
{
    (void) answer;
    return 0;
}


int
virDomainGetState(virDomainPtr domain, int *state, int *reason, unsigned flags)
{
    (void) domain;
    (void) state;
    (void) reason;
    (void) flags;
    return -1;
}


int
virDomainResume(virDomainPtr domain)
{
    (void) domain;
    return -1;
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
    (void) usleep((useconds_t) ms * 1000);
}


int
sandbox_hv_thread(pthread_t *thread, void *(*run)(void *data), void *data)
{
    return pthread_create(thread, NULL, run, data) == 0 ? 0 : -1;
}


/* --- tests ---------------------------------------------------------------- */

/* A take of a machine with much memory of its own has begun. */
static void
begin(int64_t ms)
{
    sandbox_hv_error_t err;
    static char ram[] = "snap_b.x.ram";

    memset(&take, 0, sizeof(take));
    take.id = "snap_a";
    take.keep = 1;
    take.deadline_ms = sandbox_time_monotonic_ms() + ms;

    memset(&t, 0, sizeof(t));
    conn.facts.qemu = 10000000;
    t.take = &take;
    t.conn = &conn;
    t.kind.memory_mb = 256;
    t.ram = ram;
    t.copy = (sandbox_copy_t *) &conn;
    t.held = -1;
    t.pipe.ends[0] = t.pipe.ends[1] = t.pipe.ends[2] = -1;
    pipes = 0;

    sandbox_taking_live(&t);
    assert_int_equal(t.live, 1);
    assert_int_equal(sandbox_taking_live_begin(&t, &err), SANDBOX_HV_OK);
    assert_int_equal(pipes, 1);
}


static void
test_whole(void **state)
{
    (void) state;
    whole = 1;

    begin(60000);
    sandbox_taking_live_ready(&t);
    assert_int_equal(t.live, 1);
    assert_int_equal(pipes, 1);
    assert_int_not_equal(t.pipe.ends[0], -1);
    assert_int_not_equal(t.held, -1);
    sandbox_taking_live_close(&t);
}


/* The source is copied while it stands still: there is time left for that. */
static void
test_late(void **state)
{
    (void) state;
    whole = 0;

    begin(2000);
    sandbox_taking_live_ready(&t);
    assert_true(sandbox_time_monotonic_ms() < take.deadline_ms);
    assert_int_equal(t.live, 0);
    assert_int_equal(pipes, 0);
    assert_int_equal(t.pipe.ends[0], -1);
    assert_int_equal(t.held, -1);
    sandbox_taking_live_close(&t);
}


/* A take that fails meanwhile does not wait for the reading. */
static void
test_closed(void **state)
{
    (void) state;
    whole = 0;

    begin(60000);
    sandbox_taking_live_close(&t);
    assert_true(sandbox_time_monotonic_ms() < take.deadline_ms - 30000);
    assert_int_equal(t.touching, 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
