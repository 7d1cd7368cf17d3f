/*
 * Watches of the real server over a directory of their own: a client that does
 * not read, commands that change files faster than that can be told, and what
 * is not told at all.
 */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "check_ws.h"
#include "fs.h"
#include "tree.h"
#include "watch.h"
#include "watch_places.h"
#include "ws.h"

#define FLOOD 120000  /* changes: more than sockets and the kernel hold */
#define BUSY_MS 20000 /* of a writer that nobody ends */
#define FAIR_MS 5000  /* in which others have been served beside it */
#define WRITERS 2
#define MANY 300 /* entries: more than are looked at in a turn */

static char top[64];
static const agent_ws_channel_t *const channels[] = { &agent_watch_channel };
static const agent_route_t routes[] = {
    { "ws", "GET", 1, agent_ws_handler },
};


static int refusals; /* of the next watches of events */


/* In place of the C library's, for the agent: a kernel without memory. */
int
epoll_ctl(int epoll, int op, int fd, struct epoll_event *ev)
{
    char link[64], name[64];
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = refusals && op == EPOLL_CTL_ADD ? readlink(link, name, sizeof(name))
                                        : 0;

    if (n > 0 && memmem(name, (size_t) n, "inotify", 7) != NULL) {
        refusals--;
        errno = ENOMEM;
        return -1;
    }

    return (int) syscall(SYS_epoll_ctl, epoll, op, fd, ev);
}


static void
serve(void (*run)(void))
{
    agent_ws_channels(channels, 1);
    server_start(routes, 1, "127.0.0.1");
    scenario(run);
    agent_ws_stop();
    agent_http_stop();
}


/* Opens a socket with a stream that watches path. */
static int
watch(const char *path, int recursive)
{
    int fd;
    char text[256], buf[4096];

    fd = open_socket("?channel=watch");
    snprintf(text, sizeof(text),
             "{\"type\":\"watch_start\",\"stream_id\":\"a\",\"path\":\"%s\","
             "\"recursive\":%s}",
             path, recursive ? "true" : "false");
    say(fd, 0x81, text);
    expect(hear(fd, buf, sizeof(buf)) == AGENT_WS_TEXT);
    expect(strstr(buf, "\"watch_started\"") != NULL);

    return fd;
}


static void
touch(const char *path)
{
    int fd;
    char real[512];

    snprintf(real, sizeof(real), "%s%s", top, path);
    fd = open(real, O_WRONLY | O_CREAT, 0644);
    expect(fd != -1);
    expect(futimens(fd, NULL) == 0);
    close(fd);
}


static void
make_dir(const char *path)
{
    char real[512];

    snprintf(real, sizeof(real), "%s%s", top, path);
    expect(mkdir(real, 0755) == 0);
}


/* Hears until there is part in a message; how many messages came before. */
static int
hear_until(int fd, const char *part, const char *never)
{
    int n;
    static char buf[65536];

    for (n = 0;; n++) {
        expect(hear(fd, buf, sizeof(buf)) == AGENT_WS_TEXT);
        expect(never == NULL || strstr(buf, never) == NULL);

        if (strstr(buf, part) != NULL) {
            return n;
        }
    }
}


/* One who does not read is told that there was more than could be kept. */
static void
client_slow(void)
{
    int dir, fd, i;
    char names[2][201];

    memset(names[0], 'a', 200);
    memset(names[1], 'b', 200);
    names[0][200] = names[1][200] = '\0';

    dir = open(top, O_RDONLY | O_DIRECTORY);
    expect(dir != -1);

    for (i = 0; i < 2; i++) {
        fd = openat(dir, names[i], O_WRONLY | O_CREAT, 0644);
        expect(fd != -1);
        close(fd);
    }

    fd = watch("/", 0);

    for (i = 0; i < FLOOD; i++) {
        expect(utimensat(dir, names[i % 2], NULL, 0) == 0);
    }

    expect(hear_until(fd, "\"overflow\"", NULL) < FLOOD);
    touch("/last");
    hear_until(fd, "\"event\":\"create\",\"path\":\"/last\"", NULL);
    close(fd);
}


static void
test_slow(void **state)
{
    (void) state;
    serve(client_slow);
}


/* Changes two files that have no names, whose events concern nobody. */
static void
writer(void)
{
    int i, fd[2];
    int64_t until;

    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    until = sandbox_time_monotonic_ms() + BUSY_MS;
    fd[0] = open(top, O_TMPFILE | O_WRONLY, 0600);
    fd[1] = open(top, O_TMPFILE | O_WRONLY, 0600);
    expect(fd[0] != -1 && fd[1] != -1);

    for (i = 0; i % 1024 != 0 || sandbox_time_monotonic_ms() < until; i++) {
        expect(pwrite(fd[i % 2], "x", 1, 0) == 1);
    }

    _exit(0);
}


/* Others are served while commands make events without a pause. */
static void
client_busy(void)
{
    int fd, i, other, status;
    char buf[256];
    pid_t pid[WRITERS];
    int64_t start;

    other = open_socket("?channel=watch");
    fd = watch("/", 0);

    for (i = 0; i < WRITERS; i++) {
        pid[i] = fork();
        expect(pid[i] != -1);
        if (pid[i] == 0) {
            writer();
        }
    }

    usleep(300000);
    start = sandbox_time_monotonic_ms();

    for (i = 0; i < 5; i++) {
        say(other, 0x89, "");
        expect(hear(other, buf, sizeof(buf)) == AGENT_WS_PONG);
    }

    expect(sandbox_time_monotonic_ms() - start < FAIR_MS);

    for (i = 0; i < WRITERS; i++) {
        expect(kill(pid[i], SIGKILL) == 0);
        expect(waitpid(pid[i], &status, 0) == pid[i]);
    }

    close(fd);
    close(other);
}


static void
test_busy(void **state)
{
    (void) state;
    serve(client_busy);
}


/* The private directory is as if it were not there. */
static void
client_private(void)
{
    int fd, root;

    root = agent_fs_root();
    expect(mkdirat(root, "workspace", 0755) == 0);
    expect(symlinkat("workspace", root, "link") == 0);

    /* where it is made beside what is watched, also by way of a link */
    fd = watch("/link", 0);
    expect(agent_fs_mkdirs_own(root, AGENT_FS_PRIVATE "/x", 0700) == 0);
    touch("/workspace/seen");
    hear_until(fd, "\"path\":\"/link/seen\"", "nullspace");

    say(fd, 0x81,
        "{\"type\":\"watch_start\",\"stream_id\":\"b\","
        "\"path\":\"/link/.nullspace/x\"}");
    hear_until(fd, "\"code\":\"not_found\"", NULL);
    close(fd);

    /* where it is found in a directory that was made */
    expect(renameat(root, "workspace", root, "old") == 0);
    fd = watch("/", 1);
    expect(agent_fs_mkdirs_own(root, AGENT_FS_PRIVATE "/x", 0700) == 0);
    touch("/workspace/seen");
    hear_until(fd, "\"path\":\"/workspace/seen\"", "/workspace/.nullspace");
    expect(renameat(root, "workspace/.nullspace", root, "moved") == 0);
    hear_until(fd, "\"path\":\"/moved\"", "/workspace/.nullspace");
    close(fd);
    close(root);
}


static void
test_private(void **state)
{
    (void) state;
    serve(client_private);
}


/* Events are told when the kernel has memory for their watch again. */
static void
client_refused(void)
{
    int fd;

    fd = watch("/", 0);
    touch("/a");
    hear_until(fd, "\"event\":\"create\",\"path\":\"/a\"", NULL);
    touch("/b");
    hear_until(fd, "\"event\":\"create\",\"path\":\"/b\"", NULL);
    close(fd);
}


static void
test_refused(void **state)
{
    (void) state;
    refusals = 2;
    serve(client_refused);
    assert_int_equal(refusals, 0);
}


/* The search is over, and nothing is watched but the first place. */
static void
assert_first_only(const agent_places_t *p)
{
    agent_place_t *first;

    first = TAILQ_FIRST(&p->watched);
    assert_non_null(first);
    assert_string_equal(first->path, "/tree");
    assert_null(TAILQ_NEXT(first, link));
    assert_null(p->dir);
    assert_null(p->place);
}


/* A directory that goes while it is searched is forgotten. */
static void
test_searched(void **state)
{
    int i, told;
    char name[64];
    agent_places_t p;

    (void) state;
    make_dir("/tree");
    touch("/tree/file");
    memset(&p, 0, sizeof(p));
    assert_int_equal(agent_places_init(&p, "/tree", 1), 0);
    assert_int_equal(agent_places_step(&p), 0);

    make_dir("/tree/d");
    for (i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "/tree/d/%d", i);
        touch(name);
    }

    for (told = 0; told < 2; told++) {
        agent_places_add(&p, "/tree/d", told);
        assert_int_equal(agent_places_step(&p), 1);
        assert_non_null(p.dir);
        agent_places_forget(&p, "/tree/d");
        assert_first_only(&p);
        assert_int_equal(p.overflow, told);
        p.overflow = 0;
    }

    agent_places_add(&p, "/tree/d", 1);
    assert_int_equal(agent_places_step(&p), 1);
    agent_places_lose(&p, agent_places_find(&p, p.place->wd));
    assert_first_only(&p);
    assert_int_equal(agent_places_step(&p), 0);
    assert_int_equal(p.overflow, 0);
    agent_places_free(&p);
}


/* What cannot be opened is an overflow, unless it is not there. */
static void
test_unopened(void **state)
{
    agent_places_t p;
    struct rlimit few, limit;

    (void) state;
    make_dir("/d");
    touch("/file");
    memset(&p, 0, sizeof(p));
    assert_int_equal(agent_places_init(&p, "/d", 1), 0);
    assert_int_equal(agent_places_step(&p), 0);

    agent_places_add(&p, "/none", 0);
    agent_places_add(&p, "/file/none", 0);
    assert_int_equal(agent_places_step(&p), 0);
    assert_int_equal(p.overflow, 0);

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = limit;
    few.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    agent_places_add(&p, "/d", 0);
    (void) agent_places_step(&p);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(p.overflow, 1);
    agent_places_free(&p);
}


static int
setup(void **state)
{
    (void) state;
    strcpy(top, "/tmp/test-agent-watch-XXXXXX");

    if (mkdtemp(top) == NULL) {
        return -1;
    }

    agent_fs_set_root(top);

    return 0;
}


static int
teardown(void **state)
{
    (void) state;
    agent_fs_set_root("/");

    return agent_tree_remove(AT_FDCWD, top);
}


int
main(void)
{
#define IN_ROOM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_ROOM(test_slow),    IN_ROOM(test_busy),     IN_ROOM(test_private),
        IN_ROOM(test_refused), IN_ROOM(test_searched), IN_ROOM(test_unopened),
    };

    if (check_init() == -1) {
        return 1;
    }

    return cmocka_run_group_tests_name("agent watch", tests, NULL, NULL);
}
