/* Channels, by a libvirt of the test's own whose loop turns when it is told. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <pthread.h>

#include "sandbox_guest.h"
#include "sandbox_hv.h"
#include "sandbox_time.h"

#define KB 1024
#define BURST (64 * KB) /* that a guest which floods sends in a turn */
#define MOST (512 * KB) /* that libvirt may ever have to queue */
#define REST_MS 50      /* the channel's */

/* What libvirt has read off the wire, and what it was told to do. */
static struct {
    pthread_mutex_t mutex; /* as libvirt's own: never held in a callback */
    char queue[16 * 1024 * KB];
    size_t queued, most;
    int eof;
    int floods;
    int floods_send; /* the loop turns while a message is sent */
    int active;
    int aborted, freed;
    int touched; /* calls for the stream once it was ended */
    char sent[256];
    int64_t clock_ms; /* 0: the time passes */
    int events;
    virStreamEventCallback event, last_event;
    void *data, *last_data;
    virEventTimeoutCallback bury;
    void *buried;
} world = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static sandbox_hv_conn_t conn;
static sandbox_channel_t *ch;


/* --- libvirt -------------------------------------------------------------- */

static void
arrives(const char *data, size_t len)
{
    (void) pthread_mutex_lock(&world.mutex);
    assert_true(world.queued + len <= sizeof(world.queue));
    memcpy(world.queue + world.queued, data, len);
    world.queued += len;

    if (world.queued > world.most) {
        world.most = world.queued;
    }

    (void) pthread_mutex_unlock(&world.mutex);
}


/* 1 if the callback was called. */
static int
turn(void)
{
    int ready;
    char noise[BURST];
    virStreamEventCallback event;

    if (world.floods && !world.aborted) {
        memset(noise, '\n', sizeof(noise));
        arrives(noise, sizeof(noise));
    }

    (void) pthread_mutex_lock(&world.mutex);
    event = world.event;
    ready = event && (world.events & VIR_STREAM_EVENT_READABLE)
            && (world.queued || world.eof);
    (void) pthread_mutex_unlock(&world.mutex);

    if (ready) {
        event((virStreamPtr) &world, VIR_STREAM_EVENT_READABLE, world.data);
    }

    return ready;
}


static void
turns(int n)
{
    while (n-- > 0) {
        (void) turn();
    }
}


virStreamPtr
virStreamNew(virConnectPtr virt, unsigned flags)
{
    (void) virt;
    assert_int_equal(flags, VIR_STREAM_NONBLOCK);

    return (virStreamPtr) &world;
}


int
virDomainOpenChannel(virDomainPtr domain, const char *name, virStreamPtr stream,
                     unsigned flags)
{
    (void) domain;
    (void) name;
    (void) stream;
    (void) flags;
    return 0;
}


int
virStreamRecv(virStreamPtr stream, char *data, size_t size)
{
    size_t n;

    (void) stream;
    assert_true(size > 0);
    (void) pthread_mutex_lock(&world.mutex);
    world.touched += world.aborted;

    n = size < world.queued ? size : world.queued;
    memcpy(data, world.queue, n);
    world.queued -= n;
    memmove(world.queue, world.queue + n, world.queued);
    (void) pthread_mutex_unlock(&world.mutex);

    return n ? (int) n : world.eof ? 0 : -2;
}


int
virStreamSend(virStreamPtr stream, const char *data, size_t len)
{
    (void) stream;
    world.touched += world.aborted;

    if (world.floods_send) {
        turns(world.floods_send);
        assert_int_equal(world.aborted, 0);
    }

    assert_true(strlen(world.sent) + len < sizeof(world.sent));
    strncat(world.sent, data, len);

    return (int) len;
}


int
virStreamAbort(virStreamPtr stream)
{
    (void) stream;
    world.aborted++;
    return 0;
}


int
virStreamFree(virStreamPtr stream)
{
    (void) stream;
    world.freed++;
    return 0;
}


int
virStreamEventAddCallback(virStreamPtr stream, int events,
                          virStreamEventCallback event, void *data,
                          virFreeCallback ff)
{
    (void) stream;
    (void) ff;
    world.event = world.last_event = event;
    world.data = world.last_data = data;
    world.events = events;

    return 0;
}


int
virStreamEventUpdateCallback(virStreamPtr stream, int events)
{
    (void) stream;
    (void) pthread_mutex_lock(&world.mutex);
    world.touched += world.aborted;
    world.events = events;
    (void) pthread_mutex_unlock(&world.mutex);
    return 0;
}


int
virStreamEventRemoveCallback(virStreamPtr stream)
{
    (void) stream;
    world.event = NULL;
    return 0;
}


int
virDomainRef(virDomainPtr domain)
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


int
virDomainIsActive(virDomainPtr domain)
{
    (void) domain;
    return world.active;
}


int
virEventAddTimeout(int ms, virEventTimeoutCallback cb, void *data,
                   virFreeCallback ff)
{
    (void) ms;
    (void) ff;
    world.bury = cb;
    world.buried = data;
    return 1;
}


int
virEventRemoveTimeout(int timer)
{
    (void) timer;
    return 0;
}


virDomainPtr
sandbox_domain_of(sandbox_hv_conn_t **c, const char *id,
                  sandbox_hv_error_t *err)
{
    (void) id;
    *c = &conn;
    (void) sandbox_hv_ok(err);
    return (virDomainPtr) &world;
}


int64_t __real_sandbox_time_monotonic_ms(void);
int64_t __wrap_sandbox_time_monotonic_ms(void);


int64_t
__wrap_sandbox_time_monotonic_ms(void)
{
    return world.clock_ms ? world.clock_ms : __real_sandbox_time_monotonic_ms();
}


void
sandbox_hv_sleep_ms(int ms)
{
    (void) usleep((useconds_t) ms * 1000);
}


/* --- tests ---------------------------------------------------------------- */

static int
setup(void **state)
{
    sandbox_hv_error_t err;

    (void) state;
    world.queued = world.most = 0;
    world.eof = world.floods = world.floods_send = 0;
    world.active = 1;
    world.aborted = world.freed = world.touched = 0;
    world.sent[0] = '\0';
    world.clock_ms = 0;
    world.event = NULL;

    return sandbox_channel_open(&ch, "sb_a", &err) == SANDBOX_HV_OK ? 0 : -1;
}


static int
teardown(void **state)
{
    (void) state;
    sandbox_channel_close(ch);
    world.bury(1, world.buried);
    assert_int_equal(world.freed, 1);

    return 0;
}


static int
write_to(const char *text)
{
    return sandbox_channel_write(ch, text, strlen(text),
                                 sandbox_time_monotonic_ms() + 1000);
}


static int64_t
read_from(char *data, size_t size, int64_t ms)
{
    return sandbox_channel_read(ch, data, size,
                                sandbox_time_monotonic_ms() + ms);
}


/* Reads until there is no more: the bytes; *n is what ended it. */
static size_t
read_all(int64_t *n)
{
    size_t sum;
    char data[4096];

    for (sum = 0; (*n = read_from(data, sizeof(data), 0)) > 0; sum += *n) {
        /* void */
    }

    return sum;
}


static void
test_talk(void **state)
{
    char data[8];

    (void) state;

    arrives("before", 6);
    assert_int_equal(write_to("ask"), 0);
    arrives("after", 5);
    turns(1);

    assert_int_equal(read_from(data, 8, 0), 8);
    assert_memory_equal(data, "beforeaf", 8);
    assert_int_equal(read_from(data, 8, 0), 3);
    assert_memory_equal(data, "ter", 3);
    assert_int_equal(read_from(data, 8, 20), 0);
    assert_string_equal(world.sent, "ask");
    assert_int_equal(turn(), 0);
}


/* Of a guest that sends while nobody waits little is kept, and its end. */
static void
test_unasked(void **state)
{
    int64_t n;
    size_t sum;

    (void) state;
    world.floods = 1;
    turns(100);

    assert_in_range(world.most, 1, MOST);
    assert_int_equal(world.aborted, 1);
    assert_null(world.event);
    assert_int_equal(write_to("ask"), -1);
    assert_string_equal(world.sent, "");

    sum = read_all(&n);
    assert_in_range(sum, SANDBOX_GUEST_NOISE_MAX + SANDBOX_GUEST_LINE_MAX,
                    MOST);
    assert_int_equal(n, -1);
    assert_int_equal(world.touched, 0);
}


/* Much, but read, is not too much. */
static void
test_much(void **state)
{
    int i;
    int64_t n;

    (void) state;
    world.floods = 1;

    for (i = 0; i < 100; i++) {
        turns(1);
        assert_int_equal(read_all(&n), BURST);
        assert_int_equal(n, 0);
    }

    assert_int_equal(world.aborted, 0);
}


/* The stream is not ended under a message, nor right behind it. */
static void
test_message(void **state)
{
    int64_t n;

    (void) state;
    world.floods = 1;
    world.floods_send = 100;
    world.clock_ms = sandbox_time_monotonic_ms();

    assert_int_equal(write_to("ask"), 0);
    turns(1);
    world.clock_ms += REST_MS - 1;
    turns(1);
    assert_int_equal(world.aborted, 0);
    assert_in_range(world.most, 1, MOST);

    world.clock_ms++;
    turns(1);
    assert_int_equal(world.aborted, 1);
    (void) read_all(&n);
    assert_int_equal(n, -1);
    assert_int_equal(write_to("ask"), -1);
    assert_int_equal(world.touched, 0);
}


static void
test_end(void **state)
{
    char data[8];

    (void) state;

    arrives("last", 4);
    world.eof = 1;
    turns(2);
    assert_int_equal(turn(), 0);

    assert_int_equal(read_from(data, 8, 1000), 4);
    assert_int_equal(read_from(data, 8, 1000), -1);
    assert_int_equal(write_to("ask"), -1);
    assert_string_equal(world.sent, "");
}


/* What libvirtd has said of the stream counts before the loop has turned. */
static void
test_ended(void **state)
{
    (void) state;
    world.eof = 1;

    assert_int_equal(write_to("ask"), -1);
    assert_string_equal(world.sent, "");
    assert_int_equal(turn(), 0);
}


static void
test_domain_ended(void **state)
{
    int64_t now;
    char data[8];

    (void) state;
    world.active = 0;
    now = sandbox_time_monotonic_ms();

    assert_int_equal(write_to("ask"), -1);
    assert_string_equal(world.sent, "");
    assert_int_equal(read_from(data, 8, 60000), -1);
    assert_in_range(sandbox_time_monotonic_ms() - now, 0, 10000);
}


static void *
later(void *data)
{
    (void) data;
    sandbox_hv_sleep_ms(50);
    arrives("late", 4);
    turns(1);

    return NULL;
}


static void
test_waits(void **state)
{
    char data[8];
    pthread_t thread;

    (void) state;

    assert_int_equal(pthread_create(&thread, NULL, later, NULL), 0);
    assert_int_equal(read_from(data, 8, 60000), 4);
    assert_memory_equal(data, "late", 4);
    assert_int_equal(pthread_join(thread, NULL), 0);
}


/* A callback that libvirt had already begun leaves the stream alone. */
static void
test_closed(void **state)
{
    (void) state;

    arrives("late", 4);
    sandbox_channel_close(ch);
    world.last_event((virStreamPtr) &world, VIR_STREAM_EVENT_READABLE,
                     world.last_data);
    assert_int_equal(world.touched, 0);
    assert_int_equal(world.aborted, 1);
    world.bury(1, world.buried);
    assert_int_equal(setup(state), 0);
}


#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)


int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_talk),         TEST(test_unasked), TEST(test_much),
        TEST(test_message),      TEST(test_end),     TEST(test_ended),
        TEST(test_domain_ended), TEST(test_waits),   TEST(test_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
