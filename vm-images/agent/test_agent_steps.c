/*
 * Steps that need no machine of their own, in a child with its own mounts and
 * names: nothing of the host changes.  Network, clock, randomness and disk are
 * seen only in a real guest.
 */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "boot.h"
#include "check.h"
#include "fs.h"
#include "small_file.h"
#include "sockets.h"
#include "steps.h"
#include "user.h"


/* Runs in an empty root file system. */
static void
in_room(void (*run)(void))
{
    int status;
    pid_t pid;
    char dir[] = "/tmp/agent-steps.XXXXXX";

    if (geteuid() != 0) {
        skip();
    }

    assert_non_null(mkdtemp(dir));
    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        expect(unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWNET) == 0);
        expect(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
        expect(mount("tmpfs", dir, "tmpfs", 0, NULL) == 0);
        expect(chdir(dir) == 0 && chroot(".") == 0);
        run();
        _exit(0);
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(rmdir(dir), 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}


static void
expect_file(const char *path, const char *text)
{
    char *s;

    s = agent_small_file_read(path, 4096);
    expect(s != NULL);

    if (strcmp(s, text) != 0) {
        fprintf(stderr, "%s is: %s\n", path, s);
        _exit(1);
    }

    free(s);
}


static void
room_hostname(void)
{
    char name[80], error[256];
    struct stat st;
    agent_config_t c;

    memset(&c, 0, sizeof(c));
    strcpy(c.hostname, "sb-first");
    c.address.s_addr = inet_addr("10.88.0.5");

    /* In an empty root. */
    expect(agent_step_hostname(&c, error, sizeof(error)) == 0);
    expect(gethostname(name, sizeof(name)) == 0);
    expect(strcmp(name, "sb-first") == 0);
    expect_file("/etc/hostname", "sb-first\n");
    expect_file("/etc/hosts", "127.0.0.1 localhost\n"
                              "::1 localhost ip6-localhost\n"
                              "10.88.0.5       sb-first # sandbox-agent\n");

    /* What others wrote stays, what an earlier life wrote goes. */
    expect(agent_small_file_replace("/etc/hosts",
                                    "1.2.3.4 mine\n"
                                    "10.88.0.5 sb-first # sandbox-agent\n"
                                    "5.6.7.8 last",
                                    61)
           == 0);
    strcpy(c.hostname, "sb-second");
    c.address.s_addr = inet_addr("10.88.0.6");
    expect(agent_step_hostname(&c, error, sizeof(error)) == 0);
    expect_file("/etc/hosts", "1.2.3.4 mine\n5.6.7.8 last\n"
                              "10.88.0.6       sb-second # sandbox-agent\n");

    /* One that is too large for us stays whole. */
    expect(truncate("/etc/hosts", 65537) == 0);
    expect(agent_step_hostname(&c, error, sizeof(error)) == -1);
    expect(strcmp(error, "/etc/hosts could not be written: File too large.")
           == 0);
    expect(stat("/etc/hosts", &st) == 0 && st.st_size == 65537);

    /* No directory can be made below a file: a sentence, not a crash. */
    expect(unlink("/etc/hosts") == 0 && unlink("/etc/hostname") == 0);
    expect(rmdir("/etc") == 0);
    expect(agent_small_file_replace("/etc", "x", 1) == 0);
    expect(agent_step_hostname(&c, error, sizeof(error)) == -1);
    expect(strstr(error, "/etc/hostname could not be written: ") == error);

    /* What the guest itself has made of its files does not end it. */
    c.lived = 1;
    strcpy(c.hostname, "sb-third");
    strcpy(c.cwd, "/etc/below");
    expect(agent_step_hostname(&c, error, sizeof(error)) == 0);
    expect(gethostname(name, sizeof(name)) == 0);
    expect(strcmp(name, "sb-third") == 0);
    expect(agent_step_cwd(&c, error, sizeof(error)) == 0);
    c.lived = 0;
    expect(agent_step_cwd(&c, error, sizeof(error)) == -1);
    expect(strcmp(error,
                  "The working directory could not be made: Not a directory.")
           == 0);
}


static void
test_hostname(void **state)
{
    (void) state;
    in_room(room_hostname);
}


static void
room_identity(void)
{
    char *first, *second;
    char error[256];
    struct stat st;
    agent_config_t c;

    memset(&c, 0, sizeof(c));
    strcpy(c.hostname, "sb-first");
    expect(agent_step_identity(&c, error, sizeof(error)) == 0);
    first = agent_small_file_read("/etc/machine-id", 4096);
    expect(first != NULL && strlen(first) == 33);
    expect(strspn(first, "0123456789abcdef") == 32 && first[32] == '\n');
    expect(first[12] == '4' && strchr("89ab", first[16]) != NULL);
    expect(lstat("/var", &st) == -1);

    /* Repeated in one execution: the same, in a copy of D-Bus as well. */
    expect(unlink("/etc/machine-id") == 0);
    expect(agent_small_file_replace("/var/lib/dbus/machine-id", "old\n", 4)
           == 0);
    expect(agent_step_identity(&c, error, sizeof(error)) == 0);
    expect_file("/etc/machine-id", first);
    expect_file("/var/lib/dbus/machine-id", first);

    /* In another one: another, and a link stays one. */
    expect(unlink("/var/lib/dbus/machine-id") == 0);
    expect(symlink("/etc/machine-id", "/var/lib/dbus/machine-id") == 0);
    strcpy(c.hostname, "sb-second");
    expect(agent_step_identity(&c, error, sizeof(error)) == 0);
    second = agent_small_file_read("/etc/machine-id", 4096);
    expect(second != NULL && strcmp(first, second) != 0);
    expect(lstat("/var/lib/dbus/machine-id", &st) == 0 && S_ISLNK(st.st_mode));

    expect(unlink("/etc/machine-id") == 0 && rmdir("/etc") == 0);
    expect(agent_small_file_replace("/etc", "x", 1) == 0);
    expect(agent_step_identity(&c, error, sizeof(error)) == -1);
    expect(strstr(error, "The machine id could not be written: ") == error);

    free(first);
    free(second);
}


static void
test_identity(void **state)
{
    (void) state;
    in_room(room_identity);
}


static void
room_cwd(void)
{
    char error[256];
    struct stat st;
    agent_config_t c;

    memset(&c, 0, sizeof(c));

    strcpy(c.cwd, "/");
    expect(agent_step_cwd(&c, error, sizeof(error)) == 0);

    strcpy(c.cwd, "/job/deep/er");
    expect(agent_step_cwd(&c, error, sizeof(error)) == 0);
    expect(agent_step_cwd(&c, error, sizeof(error)) == 0);
    expect(stat("/job/deep/er", &st) == 0 && S_ISDIR(st.st_mode));

    expect(agent_small_file_replace("/job/file", "x", 1) == 0);
    strcpy(c.cwd, "/job/file");
    expect(agent_step_cwd(&c, error, sizeof(error)) == -1);
    strcpy(c.cwd, "/job/file/below");
    expect(agent_step_cwd(&c, error, sizeof(error)) == -1);
}


static void
test_cwd(void **state)
{
    (void) state;
    in_room(room_cwd);
}


static void
room_files(void)
{
    char *s;
    struct stat st;
    agent_user_t user;
    agent_fs_names_t names;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    /* A dangling link, as images have for resolv.conf, is replaced. */
    expect(mkdir("/etc", 0755) == 0);
    expect(symlink("../run/no/such", "/etc/resolv.conf") == 0);
    expect(
        agent_small_file_replace("/etc/resolv.conf", "nameserver 1.1.1.1\n", 19)
        == 0);
    expect(lstat("/etc/resolv.conf", &st) == 0 && S_ISREG(st.st_mode));
    expect((st.st_mode & 07777) == 0644);
    expect_file("/etc/resolv.conf", "nameserver 1.1.1.1\n");

    /* Not a regular file, absent, or longer than is wanted. */
    expect(mkfifo("/fifo", 0600) == 0);
    expect(agent_small_file_read("/fifo", 10) == NULL);
    expect(agent_small_file_read("/etc", 10) == NULL);
    expect(agent_small_file_read("/absent", 10) == NULL);
    s = agent_small_file_read("/etc/resolv.conf", 10);
    expect(s != NULL && strcmp(s, "nameserver") == 0);
    free(s);

    /* Whatever is in the place of what is warmed, nobody waits for it. */
    expect(mkdir("/bin", 0755) == 0 && mkfifo("/bin/sh", 0700) == 0);
    expect(mkfifo("/etc/hostname", 0600) == 0);
    expect(mkdir("/etc/hosts", 0755) == 0);
    agent_steps_warm();

    /* nor for who is whose */
    (void) alarm(30);
    expect(mkfifo("/etc/passwd", 0600) == 0);
    expect(mkfifo("/etc/group", 0600) == 0);
    expect(agent_user_find(&user, "root") == 0);
    expect(agent_user_find(&user, "nobody") == -1);
    memset(&names, 0, sizeof(names));
    expect(stat("/", &st) == 0);
    agent_fs_json(&t, "/", &st, -1, "", &names);
    expect(strstr(t.data, "\"gid\":0,\"modified_at\"") != NULL);
    sandbox_text_free(&t);
}


static void
test_files(void **state)
{
    (void) state;
    in_room(room_files);
}


static ino_t
replaced(const char *text)
{
    struct stat st;

    expect(agent_small_file_replace("/f", text, strlen(text)) == 0);
    expect_file("/f", text);
    expect(lstat("/f", &st) == 0 && S_ISREG(st.st_mode));
    expect((st.st_mode & 07777) == 0644);

    return st.st_ino;
}


static void
room_in_place(void)
{
    int fd;
    ino_t first;
    struct stat st;
    struct timespec past[2] = { { 1, 0 }, { 1, 0 } };

    /* The same file: longer, shorter, and not touched where nothing changes. */
    first = replaced("one\n");
    expect(replaced("one more\n") == first);
    expect(replaced("") == first);
    expect(replaced("two\n") == first);
    expect(utimensat(AT_FDCWD, "/f", past, 0) == 0);
    expect(replaced("two\n") == first);
    expect(stat("/f", &st) == 0 && st.st_mtime == 1);

    /* Another one, where this would change what is not ours. */
    expect(link("/f", "/g") == 0);
    expect(replaced("three\n") != first);
    expect_file("/g", "two\n");

    fd = open("/f", O_RDONLY);
    expect(fd != -1 && fstat(fd, &st) == 0);
    expect(chmod("/f", 0600) == 0);
    expect(replaced("three\n") != st.st_ino);

    expect(unlink("/f") == 0 && symlink("/g", "/f") == 0);
    (void) replaced("four\n");
    expect_file("/g", "two\n");

    /* Longer than a page. */
    fd = open("/f", O_WRONLY);
    expect(fd != -1 && ftruncate(fd, 5000) == 0 && fstat(fd, &st) == 0);
    expect(replaced("five\n") != st.st_ino);
}


static void
test_in_place(void **state)
{
    (void) state;
    in_room(room_in_place);
}


static void
room_furnish(void)
{
    struct stat st;

    expect(mkdir("/dev", 0755) == 0 && mkdir("/sys", 0755) == 0);

    /* Twice: a root may already have what is to be made. */
    agent_boot_furnish();
    agent_boot_furnish();

    expect(lstat("/dev/fd", &st) == 0 && S_ISLNK(st.st_mode));
    expect(stat("/tmp", &st) == 0 && (st.st_mode & 07777) == 01777);
    expect(stat("/dev/shm", &st) == 0 && (st.st_mode & 07777) == 01777);
    expect(access("/dev/pts/ptmx", F_OK) == 0);
    expect(access("/run", W_OK) == 0);
}


static void
test_furnish(void **state)
{
    (void) state;
    in_room(room_furnish);
}


static void
room_network(void)
{
    char error[256];
    agent_config_t c;

    /* Neither an interface nor /sys: says so in time. */
    memset(&c, 0, sizeof(c));
    c.prefix = 16;
    expect(agent_step_network(&c, error, sizeof(error)) == -1);
    expect(strcmp(error, "There is no network interface.") == 0);
}


static void
test_network_absent(void **state)
{
    (void) state;
    in_room(room_network);
}


/* An interface that exists everywhere, with an address. */
static void
make_device(int fd, const char *name, const char *address)
{
    struct ifreq r;
    struct sockaddr_in sin = { .sin_family = AF_INET };

    if (name[0] != 'l' && ioctl(fd, SIOCBRADDBR, name) == -1) {
        fprintf(stderr, "no bridges here\n");
        _exit(0);
    }

    memset(&r, 0, sizeof(r));
    strcpy(r.ifr_name, name);

    if (address != NULL) {
        sin.sin_addr.s_addr = inet_addr(address);
        memcpy(&r.ifr_addr, &sin, sizeof(sin));
        expect(ioctl(fd, SIOCSIFADDR, &r) == 0);
    }

    expect(ioctl(fd, SIOCGIFFLAGS, &r) == 0);
    r.ifr_flags |= IFF_UP;
    expect(ioctl(fd, SIOCSIFFLAGS, &r) == 0);
}


typedef struct {
    int listener;
    int client;
    int server;
} pair_t;


/* A connection of an address with itself; family and address may be mapped. */
static void
make_pair(pair_t *p, int family, const char *address)
{
    socklen_t len;
    struct sockaddr_in *v4;
    struct sockaddr_in6 *v6;
    struct sockaddr_storage ss;

    memset(&ss, 0, sizeof(ss));
    v4 = (void *) &ss;
    v6 = (void *) &ss;
    ss.ss_family = family;
    len = family == AF_INET ? sizeof(*v4) : sizeof(*v6);

    if (family == AF_INET) {
        expect(inet_pton(family, address, &v4->sin_addr) == 1);
    } else {
        expect(inet_pton(family, address, &v6->sin6_addr) == 1);
    }

    p->listener = socket(family, SOCK_STREAM, 0);
    p->client = socket(family, SOCK_STREAM, 0);
    expect(bind(p->listener, (void *) &ss, len) == 0);
    expect(listen(p->listener, 5) == 0);
    expect(getsockname(p->listener, (void *) &ss, &len) == 0);
    expect(connect(p->client, (void *) &ss, len) == 0);
    p->server = accept(p->listener, NULL, NULL);
    expect(p->server != -1);
}


static int
pair_ended(const pair_t *p)
{
    char c;

    if (recv(p->client, &c, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN) {
        expect(send(p->server, "x", 1, 0) == 1);
        expect(recv(p->client, &c, 1, 0) == 1);
        return 0;
    }

    return recv(p->server, &c, 1, MSG_DONTWAIT) <= 0;
}


static void
room_sockets(void)
{
    int i, fd, udp;
    char c;
    pair_t gone, mapped, other, local, many[64];
    struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = 9 };

    fd = socket(AF_INET, SOCK_DGRAM, 0);
    make_device(fd, "lo", NULL);
    make_device(fd, "eth", "10.9.0.1");
    make_device(fd, "other", "10.10.0.1");

    make_pair(&gone, AF_INET, "10.9.0.1");
    make_pair(&mapped, AF_INET6, "::ffff:10.9.0.1");
    make_pair(&other, AF_INET, "10.10.0.1");
    make_pair(&local, AF_INET, "127.0.0.5");

    for (i = 0; i < 64; i++) {
        make_pair(&many[i], AF_INET, "10.9.0.1");
    }

    udp = socket(AF_INET, SOCK_DGRAM, 0);
    peer.sin_addr.s_addr = inet_addr("10.9.0.7");
    expect(connect(udp, (void *) &peer, sizeof(peer)) == 0);

    if (agent_sockets_end("eth") == -1) {
        expect(errno == ENOENT || errno == EOPNOTSUPP);
        fprintf(stderr, "no socket diagnosis here\n");
        _exit(0);
    }

    expect(pair_ended(&gone) && pair_ended(&mapped));
    expect(!pair_ended(&other) && !pair_ended(&local));

    for (i = 0; i < 64; i++) {
        expect(pair_ended(&many[i]));
    }

    expect(recv(udp, &c, 1, MSG_DONTWAIT) == -1 && errno == ECONNABORTED);

    /* Who listens goes on to. */
    close(gone.client);
    gone.client = socket(AF_INET, SOCK_STREAM, 0);
    memset(&peer, 0, sizeof(peer));
    expect(getsockname(gone.listener, (void *) &peer, &(socklen_t){ 16 }) == 0);
    expect(connect(gone.client, (void *) &peer, sizeof(peer)) == 0);
    expect((gone.server = accept(gone.listener, NULL, NULL)) != -1);
    expect(!pair_ended(&gone));

    /* Twice, with nothing to end. */
    expect(agent_sockets_end("none") == 0);
    expect(!pair_ended(&gone));
}


static void
test_sockets(void **state)
{
    (void) state;
    in_room(room_sockets);
}


static void
room_modules(void)
{
    expect(agent_boot_modules("/absent") == 0);
    expect(agent_small_file_replace("/list", "# none\n\n", 8) == 0);
    expect(agent_boot_modules("/list") == 0);
    expect(agent_small_file_replace("/list", "/no/such.ko\n", 12) == 0);
    expect(agent_boot_modules("/list") == -1);
}


static void
test_modules(void **state)
{
    (void) state;
    in_room(room_modules);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostname),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_cwd),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_furnish),
        cmocka_unit_test(test_modules),
        cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_network_absent),
    };

    return cmocka_run_group_tests_name("agent steps", tests, NULL, NULL);
}
