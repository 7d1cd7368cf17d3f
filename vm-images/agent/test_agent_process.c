/*
 * Real processes under the real loop: exit codes, output, time limits, and
 * that nothing of a session outlives them.
 */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "check.h"
#include "flush.h"
#include "loop.h"
#include "proc.h"
#include "process.h"
#include "reap.h"
#include "sandbox_time.h"

#define OUTPUT_MAX 4096

typedef struct {
    char out[2][OUTPUT_MAX];
    size_t kept[2];
    size_t seen[2];
    int code;
    int timed_out;
    int done;
    int64_t ms;
    agent_process_t *process;
} run_t;

static agent_user_t user;


static void
run_output(void *data, agent_stream_t stream, const char *buf, size_t len)
{
    size_t n;
    run_t *r = data;

    n = OUTPUT_MAX - 1 - r->kept[stream];
    n = n < len ? n : len;
    memcpy(r->out[stream] + r->kept[stream], buf, n);
    r->kept[stream] += n;
    r->seen[stream] += len;
}


static void
run_done(void *data, const agent_exit_t *e)
{
    run_t *r = data;

    r->code = e->code;
    r->timed_out = e->timed_out;
    r->done++;
    agent_loop_stop();
}


static void
run_start(run_t *r, char *const argv[], int64_t timeout_ms, int sig)
{
    agent_process_spec_t spec;
    agent_process_owner_t owner;
    static char *const envp[] = { "PATH=/usr/bin:/bin", "X=y", NULL };

    memset(r, 0, sizeof(*r));
    memset(&spec, 0, sizeof(spec));
    spec.argv = argv;
    spec.envp = envp;
    spec.cwd = "/tmp";
    spec.user = &user;
    spec.timeout_ms = timeout_ms;
    spec.timeout_signal = sig;
    owner.output = run_output;
    owner.done = run_done;
    owner.data = r;

    r->process = agent_process_start(&spec, &owner);
    assert_non_null(r->process);
}


static void
run(run_t *r, char *const argv[], int64_t timeout_ms, int sig)
{
    int64_t start;

    start = sandbox_time_monotonic_ms();
    run_start(r, argv, timeout_ms, sig);
    assert_int_equal(agent_loop_run(), 0);
    assert_int_equal(r->done, 1);
    r->ms = sandbox_time_monotonic_ms() - start;
}


/*
 * Runs into a time limit a command that writes at its start, and returns the
 * limit.  On a busy machine it may expire before the command was there at all,
 * which shows nothing: that is done again with a longer one.
 */
static int64_t
run_expired(run_t *r, char *const argv[], int sig)
{
    int64_t limit_ms;

    for (limit_ms = 300; limit_ms < 10000; limit_ms *= 3) {
        run(r, argv, limit_ms, sig);
        assert_int_equal(r->timed_out, 1);

        if (r->kept[AGENT_STDOUT] > 0) {
            return limit_ms;
        }
    }

    fail_msg("the command wrote nothing in %d ms", (int) limit_ms / 3);

    return 0;
}


static void
shell(run_t *r, const char *command)
{
    char *argv[] = { "/bin/sh", "-c", (char *) command, NULL };

    run(r, argv, 30000, SIGKILL);
}


/* Orphans of a killed session are reaped in the turns after it is gone. */
static int
alive(const char *out)
{
    idle(50);

    return kill((pid_t) strtol(out, NULL, 10), 0) == 0 || errno != ESRCH;
}


static void
test_output(void **state)
{
    run_t r;

    (void) state;

    shell(&r, "echo out; echo err >&2; pwd; echo $X; exit 3");
    assert_int_equal(r.code, 3);
    assert_int_equal(r.timed_out, 0);
    assert_string_equal(r.out[AGENT_STDOUT], "out\n/tmp\ny\n");
    assert_string_equal(r.out[AGENT_STDERR], "err\n");
}


static void
test_codes(void **state)
{
    run_t r;
    char *absent[] = { "no-such-command", NULL };
    char *path[] = { "/no/such/file", NULL };
    char *data[] = { "/etc/passwd", NULL };
    char *dir[] = { "/tmp", NULL };

    (void) state;

    shell(&r, "kill -TERM $$");
    assert_int_equal(r.code, 128 + SIGTERM);

    run(&r, absent, 0, SIGKILL);
    assert_int_equal(r.code, 127);
    assert_string_equal(r.out[AGENT_STDERR],
                        "no-such-command: command not found\n");

    run(&r, path, 0, SIGKILL);
    assert_int_equal(r.code, 127);

    run(&r, data, 0, SIGKILL);
    assert_int_equal(r.code, 126);

    run(&r, dir, 0, SIGKILL);
    assert_int_equal(r.code, 126);
}


/* A child finds signals, descriptors and standard input as is usual. */
static void
test_surroundings(void **state)
{
    run_t r;

    (void) state;

    shell(&r, "grep -E '^Sig(Blk|Ign)' /proc/self/status |"
              "sed 's/:.*\\(.\\{7\\}\\)$/:\\1/';"
              "ls /proc/self/fd | tr '\\n' ' '; cat; ulimit -Sn;"
              "test $(ps -o sid= -p $$) = $$ && echo leader");
    assert_string_equal(r.out[AGENT_STDOUT], "SigBlk:0000000\n"
                                             "SigIgn:0000000\n"
                                             "0 1 2 3 1024\nleader\n");
}


static void
test_large_output(void **state)
{
    run_t r;

    (void) state;

    shell(&r, "head -c 5000000 /dev/zero; head -c 3000000 /dev/zero >&2;"
              "exit 9");
    assert_int_equal(r.code, 9);
    assert_int_equal(r.seen[AGENT_STDOUT], 5000000);
    assert_int_equal(r.seen[AGENT_STDERR], 3000000);
}


static void
test_timeout(void **state)
{
    run_t r;
    int64_t limit_ms;
    char *argv[] = { "/bin/sh", "-c",
                     "sleep 100 & echo $!; sleep 100 | sleep 100", NULL };

    (void) state;

    limit_ms = run_expired(&r, argv, SIGKILL);
    assert_in_range(r.ms, limit_ms - 10, limit_ms + 2000);
    assert_false(alive(r.out[AGENT_STDOUT]));
}


/* Groups of its own do not save a process, only a session of its own does. */
static void
test_timeout_groups(void **state)
{
    run_t r;
    char *argv[] = { "/bin/bash", "-c", "set -m; sleep 100 & echo $!; wait",
                     NULL };

    (void) state;

    run_expired(&r, argv, SIGKILL);
    assert_false(alive(r.out[AGENT_STDOUT]));
}


static void
test_timeout_signal(void **state)
{
    run_t r;
    int64_t limit_ms;
    char *polite[] = { "/bin/sh", "-c",
                       "trap 'echo bye; exit 0' TERM; sleep 100 & echo $$;"
                       "wait",
                       NULL };
    char *deaf[] = { "/bin/sh", "-c",
                     "trap '' TERM; echo $$; while :; do sleep 0.05; done",
                     NULL };

    (void) state;

    limit_ms = run_expired(&r, polite, SIGTERM);
    if (strstr(r.out[AGENT_STDOUT], "bye") == NULL) {
        fail_msg("after %d ms, code %d: \"%s\"", (int) r.ms, r.code,
                 r.out[AGENT_STDOUT]);
    }
    assert_in_range(r.ms, limit_ms - 10, limit_ms + 1700);

    limit_ms = run_expired(&r, deaf, SIGTERM);
    assert_in_range(r.ms, limit_ms + 1900, limit_ms + 4700);
    assert_false(alive(r.out[AGENT_STDOUT]));
}


static void
test_fork_bomb(void **state)
{
    run_t r;
    char *argv[] = { "/bin/sh", "-c",
                     "f() { sleep 0.02; f & f & wait; }; ulimit -u 400; f",
                     NULL };

    (void) state;

    run(&r, argv, 400, SIGKILL);
    assert_int_equal(r.timed_out, 1);
    assert_in_range(r.ms, 390, 10000);
}


/* The answer does not wait for a server, nor does it kill the server. */
static void
test_leftover(void **state)
{
    run_t r;

    (void) state;

    shell(&r, "(for i in 1 2 3 4 5 6; do sleep 0.1; echo more || exit; done;"
              "touch /tmp/agent-leftover.$$) & echo $! $$");
    assert_int_equal(r.code, 0);
    assert_true(alive(r.out[AGENT_STDOUT]));
    wait_for(!alive(r.out[AGENT_STDOUT]));

    char *name;

    assert_true(asprintf(&name, "/tmp/agent-leftover.%s",
                         strchr(r.out[AGENT_STDOUT], ' ') + 1)
                > 0);
    name[strcspn(name, "\n")] = '\0';
    assert_int_equal(unlink(name), 0);
    free(name);
}


static void
test_abandon(void **state)
{
    run_t r;
    char *argv[] = { "/bin/sh", "-c", "sleep 100 & echo $!; sleep 100", NULL };

    (void) state;

    run_start(&r, argv, 0, SIGKILL);
    wait_for(r.kept[AGENT_STDOUT] > 0);
    assert_true(alive(r.out[AGENT_STDOUT]));

    agent_process_abandon(r.process);
    wait_for(!alive(r.out[AGENT_STDOUT]));
    assert_int_equal(r.done, 0);
}


/* Even before the child had time to become a session. */
static void
test_abandon_at_once(void **state)
{
    int pid;
    run_t r;
    char *argv[] = { "/bin/sleep", "100", NULL };

    (void) state;

    run_start(&r, argv, 0, SIGKILL);
    pid = (int) agent_process_pid(r.process);
    agent_process_abandon(r.process);
    wait_for(kill(pid, 0) == -1);
    assert_int_equal(r.done, 0);
}


static int
children(void)
{
    int any;
    FILE *f;
    char path[64], line[256];

    snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
    f = fopen(path, "r");
    assert_non_null(f);
    any = fgets(line, sizeof(line), f) != NULL;
    fclose(f);

    return any;
}


/* Orphans end up here as they do with the first process, and are reaped. */
static void
test_orphans(void **state)
{
    int i;
    run_t r;

    (void) state;

    for (i = 0; i < 20; i++) {
        shell(&r, "(sleep 0.05 >/dev/null 2>&1 &) ; (exit 7) & exit 4");
        assert_int_equal(r.code, 4);
    }

    wait_for(!children());
}


static void
test_user(void **state)
{
    run_t r;
    agent_user_t root;

    (void) state;

    if (geteuid() != 0) {
        skip();
    }

    root = user;
    assert_int_equal(agent_user_find(&user, "nobody"), 0);
    shell(&r, "id -u; id -un; id -G");
    assert_string_equal(r.out[AGENT_STDOUT], "65534\nnobody\n65534\n");

    assert_int_equal(agent_user_find(&user, "4242"), 0);
    assert_string_equal(user.home, "/");
    shell(&r, "id -u; id -G");
    assert_string_equal(r.out[AGENT_STDOUT], "4242\n4242\n");

    assert_int_equal(agent_user_find(&user, "no-such-user"), -1);
    assert_int_equal(agent_user_find(&user, "99999999999"), -1);
    assert_int_equal(agent_user_find(&user, "4294967295"), -1);
    assert_int_equal(agent_user_find(&user, ""), -1);
    user = root;
}


/* Those of what has ended are closed in the turns after it. */
static int
newest_descriptor(void)
{
    int fd;

    idle(50);
    fd = dup(0);
    close(fd);

    return fd;
}


static void
test_descriptors(void **state)
{
    int i, first, last;
    run_t r;

    (void) state;

    shell(&r, "true");
    first = newest_descriptor();

    for (i = 0; i < 50; i++) {
        shell(&r, "true");
    }

    last = newest_descriptor();
    assert_int_equal(first, last);
}


static void
flush_done(void *data, int err)
{
    *(int *) data = err;
    agent_loop_stop();
}


/* A process of the agent's own: it has none of its descriptors. */
static void
test_flush(void **state)
{
    int err;

    (void) state;

    err = -1;
    assert_int_equal(agent_flush(flush_done, &err), 0);
    assert_int_equal(agent_loop_run(), 0);
    assert_int_equal(err, 0);
}


static void
test_proc(void **state)
{
    int status;
    pid_t pid;
    agent_proc_t p;

    (void) state;

    assert_int_equal(agent_proc_read(getpid(), &p), 0);
    assert_int_equal(p.state, 'R');
    assert_int_equal(p.session, getsid(0));

    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_NAME, "x) R 1 (");
        setsid();
        pause();
        _exit(0);
    }

    do {
        usleep(1000);
        assert_int_equal(agent_proc_read(pid, &p), 0);
    } while (p.session != pid || p.state != 'S');

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(agent_proc_read(pid, &p), -1);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_surroundings),
        cmocka_unit_test(test_large_output),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_timeout_groups),
        cmocka_unit_test(test_timeout_signal),
        cmocka_unit_test(test_fork_bomb),
        cmocka_unit_test(test_leftover),
        cmocka_unit_test(test_abandon),
        cmocka_unit_test(test_abandon_at_once),
        cmocka_unit_test(test_orphans),
        cmocka_unit_test(test_user),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_flush),
        cmocka_unit_test(test_proc),
    };

    if (prctl(PR_SET_CHILD_SUBREAPER, 1) == -1 || agent_loop_init() == -1
        || agent_reap_init() == -1 || agent_user_find(&user, "root") == -1)
    {
        return 1;
    }

    return cmocka_run_group_tests_name("agent process", tests, NULL, NULL);
}
