/* The client of the memory broker against one that is a thread of this test:
 * what it makes of answers, and that it keeps no descriptor of a wrong one. */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* in the directory that the test has made and works in */
#define SANDBOX_BROKER_SOCKET "socket"
#include "../../src/hypervisor/sandbox_broker.c"

#define FDS_MAX 200

static char base[] = "/tmp/sandbox-test-XXXXXX";

/* What the broker of this test answers; text NULL: it hangs up. */
static struct {
    int server;
    int silent;
    const char *text;
    const char *path; /* of the descriptors */
    size_t fds;
    char request[SANDBOX_RIGHTS_TEXT];
    ino_t ino; /* of the descriptor that came with it, or 0 */
    pthread_t thread;
} broker;


/* --- what the client needs of the rest of its room ------------------------ */

/* --- the broker ------------------------------------------------------------
 */

static void
hear(int fd)
{
    int got;
    ssize_t n;
    struct stat st;
    struct msghdr msg;
    struct iovec iov;
    struct cmsghdr *cmsg;
    char room[CMSG_SPACE(sizeof(int))];

    memset(&msg, 0, sizeof(msg));
    iov.iov_base = broker.request;
    iov.iov_len = sizeof(broker.request) - 1;
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    msg.msg_control = room;
    msg.msg_controllen = sizeof(room);

    n = recvmsg(fd, &msg, 0);
    assert_true(n > 0);
    broker.request[n] = '\0';
    cmsg = CMSG_FIRSTHDR(&msg);
    broker.ino = 0;

    if (cmsg) {
        memcpy(&got, CMSG_DATA(cmsg), sizeof(got));
        assert_int_equal(fstat(got, &st), 0);
        broker.ino = st.st_ino;
        (void) close(got);
    }
}


static void
say(int fd)
{
    size_t i;
    int fds[FDS_MAX];
    struct msghdr msg;
    struct iovec iov;
    struct cmsghdr *cmsg;
    static char room[CMSG_SPACE(FDS_MAX * sizeof(int))];

    memset(&msg, 0, sizeof(msg));
    iov.iov_base = (void *) (uintptr_t) broker.text;
    iov.iov_len = strlen(broker.text);
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;

    for (i = 0; i < broker.fds; i++) {
        fds[i] = open(broker.path, O_RDONLY);
        assert_true(fds[i] != -1);
    }

    if (broker.fds) {
        msg.msg_control = room;
        msg.msg_controllen = CMSG_SPACE(broker.fds * sizeof(int));
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(broker.fds * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, broker.fds * sizeof(int));
    }

    assert_true(sendmsg(fd, &msg, MSG_NOSIGNAL) != -1);

    while (i) {
        (void) close(fds[--i]);
    }
}


static void *
serve(void *data)
{
    int fd;
    char end;

    fd = accept(broker.server, NULL, NULL);
    assert_true(fd != -1);
    hear(fd);

    if (broker.silent) {
        assert_int_equal(read(fd, &end, 1), 0);

    } else if (broker.text) {
        say(fd);
    }

    (void) close(fd);
    return data;
}


/* One that answers once. */
static void
begin(const char *text, const char *path, size_t fds)
{
    broker.text = text;
    broker.path = path;
    broker.fds = fds;
    assert_int_equal(pthread_create(&broker.thread, NULL, serve, NULL), 0);
}


static void
end(void)
{
    assert_int_equal(pthread_join(broker.thread, NULL), 0);
}


static int
descriptors(void)
{
    int n;
    DIR *dir;

    dir = opendir("/proc/self/fd");
    assert_non_null(dir);

    for (n = 0; readdir(dir); n++) {
        /* void */
    }

    (void) closedir(dir);
    return n;
}


/* Answered so, the descriptors of a machine are refused. */
static void
refused(const char *text, const char *path, size_t n,
        sandbox_hv_status_t status, const char *words)
{
    int before, fds[SANDBOX_BROKER_FILES] = { 7, 7, 7 };
    sandbox_hv_error_t err;

    before = descriptors();
    begin(text, path, n);
    assert_int_equal(sandbox_broker_open("sb_a", fds, &err), status);
    end();

    assert_int_equal(err.status, status);
    assert_non_null(strstr(err.message, words));
    assert_int_equal(fds[0], -1);
    assert_int_equal(fds[1], -1);
    assert_int_equal(fds[2], -1);
    assert_int_equal(descriptors(), before);
}


/* --- tests ------------------------------------------------------------------
 */

static void
test_open(void **state)
{
    int i, fds[SANDBOX_BROKER_FILES];
    sandbox_hv_error_t err;

    (void) state;

    begin("ok", "/proc/self/maps", SANDBOX_BROKER_FILES);
    assert_int_equal(sandbox_broker_open("sb_a", fds, &err), SANDBOX_HV_OK);
    end();

    assert_string_equal(broker.request, "open sb_a");

    for (i = 0; i < SANDBOX_BROKER_FILES; i++) {
        assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        (void) close(fds[i]);
    }
}


static void
test_wrong(void **state)
{
    char longer[2 * SANDBOX_RIGHTS_TEXT];

    (void) state;

    refused("error: no such machine", NULL, 0, SANDBOX_HV_FAILED,
            "refuses: no such machine");
    refused("error: but", "/proc/self/maps", 3, SANDBOX_HV_FAILED, "but");
    refused("ok", NULL, 0, SANDBOX_HV_FAILED, "not understood");
    refused("ok", "/proc/self/maps", 2, SANDBOX_HV_FAILED, "not understood");
    refused("ok", "/proc/self/maps", 4, SANDBOX_HV_FAILED, "not understood");
    refused("ok", "/proc/self/maps", 5, SANDBOX_HV_FAILED, "not understood");
    refused("ok", "/proc/self/maps", FDS_MAX, SANDBOX_HV_FAILED,
            "not understood");
    refused("okay", "/proc/self/maps", 3, SANDBOX_HV_FAILED, "not understood");
    refused("ok", "/dev/null", 3, SANDBOX_HV_FAILED, "other files");
    refused(NULL, NULL, 0, SANDBOX_HV_UNAVAILABLE, "does not answer");

    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    refused(longer, "/proc/self/maps", 3, SANDBOX_HV_FAILED, "not understood");
    memcpy(longer, "error: ", sizeof("error: ") - 1);
    refused(longer, NULL, 0, SANDBOX_HV_FAILED, "refuses: xxx");
}


static void
test_silent(void **state)
{
    int64_t began, took;

    (void) state;

    broker.silent = 1;
    began = sandbox_time_monotonic_ms();
    refused(NULL, NULL, 0, SANDBOX_HV_UNAVAILABLE, "does not answer");
    took = sandbox_time_monotonic_ms() - began;
    broker.silent = 0;

    assert_true(took >= BROKER_WAIT_MS && took < BROKER_WAIT_MS + 1000);
}


static void
test_drain(void **state)
{
    int ends[2];
    struct stat st;
    sandbox_hv_error_t err;

    (void) state;

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fstat(ends[0], &st), 0);

    begin("ok", NULL, 0);
    assert_int_equal(sandbox_broker_drain(ends[0], &err), SANDBOX_HV_OK);
    end();
    assert_string_equal(broker.request, "drain");
    assert_true(broker.ino == st.st_ino);
    assert_int_equal(fcntl(ends[0], F_GETFD), 0);

    begin("error: too many", NULL, 0);
    assert_int_equal(sandbox_broker_drain(ends[0], &err), SANDBOX_HV_FAILED);
    end();
    assert_non_null(strstr(err.message, "too many"));

    begin("ok", "/proc/self/maps", 1);
    assert_int_equal(sandbox_broker_drain(ends[0], &err), SANDBOX_HV_FAILED);
    end();

    (void) close(ends[0]);
    (void) close(ends[1]);

    /* what is open no more cannot be sent */
    assert_int_equal(sandbox_broker_drain(-1, &err), SANDBOX_HV_FAILED);
}


static void
test_none(void **state)
{
    int fds[SANDBOX_BROKER_FILES];
    char id[2 * SANDBOX_RIGHTS_TEXT];
    sandbox_hv_error_t err;

    (void) state;

    memset(id, 'a', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    assert_int_equal(sandbox_broker_open(id, fds, &err), SANDBOX_HV_FAILED);
    assert_int_equal(fds[2], -1);

    /* of a dead one, and none */
    (void) close(broker.server);
    assert_int_equal(sandbox_broker_open("sb_a", fds, &err),
                     SANDBOX_HV_UNAVAILABLE);
    assert_int_equal(unlink("socket"), 0);
    assert_int_equal(sandbox_broker_open("sb_a", fds, &err),
                     SANDBOX_HV_UNAVAILABLE);
    assert_int_equal(fds[0], -1);
}


static int
set_up(void **state)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX,
                                   .sun_path = SANDBOX_BROKER_SOCKET };

    (void) state;

    if (mkdtemp(base) == NULL || chdir(base) == -1) {
        return -1;
    }

    broker.server = socket(AF_UNIX, SOCK_SEQPACKET, 0);

    return bind(broker.server, (struct sockaddr *) &address, sizeof(address))
                       == -1
                   || listen(broker.server, 1) == -1
               ? -1
               : 0;
}


static int
tear_down(void **state)
{
    (void) state;

    return chdir("/") == -1 || rmdir(base) == -1 ? -1 : 0;
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),   cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_silent), cmocka_unit_test(test_drain),
        cmocka_unit_test(test_none), /* the last one: it ends the broker */
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
