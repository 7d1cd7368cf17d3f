/*
 * Bodies and answers of any size, and the processes behind them, as a client
 * of the HTTP face meets them.
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
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#include "check_http.h"
#include "file_routes.h"
#include "fs.h"
#include "tree.h"
#include "upload_routes.h"
#include "walk.h"
#include "worker.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define SWAP_WRITERS 8
#define SWAP_ROUNDS 25
#define BIG (24 * 1024 * 1024)
#define HEAD(method, path)                                                     \
    method " /v1/sandboxes/sb_1/" path " HTTP/1.1\r\nHost: x\r\n" AUTH

/* What the workers saw, in memory that they share with the test. */
static struct {
    volatile int64_t bytes;
    volatile int canceled;
    volatile char fails; /* the kind of message that cannot be sent, or 0 */
} * seen;

static char top[64];


/* In place of the C library's, for the agent: a kernel without memory. */
ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
    const char *kind;

    kind = msg->msg_iov[0].iov_base;

    if ((flags & MSG_DONTWAIT) && msg->msg_iov[0].iov_len == 1
        && *kind == seen->fails)
    {
        errno = ENOBUFS;
        return -1;
    }

    return syscall(SYS_sendmsg, fd, msg, flags);
}


/* In place of the C library's: a slow disk. */
int
renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    struct timespec pause = { 0, 5000000 };

    nanosleep(&pause, NULL);

    return (int) syscall(SYS_renameat2, from, old, to, new, flags);
}


static void
take_run(int peer, void *data)
{
    char buf[65536];
    ssize_t n;
    int64_t sum;
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    struct timespec pause = { 0, 2000000 };

    (void) data;

    for (sum = 0; (n = agent_worker_read(peer, buf, sizeof(buf))) > 0; sum += n)
    {
        seen->bytes += n;
        if (sum < 1024 * 1024) {
            nanosleep(&pause, NULL); /* slower than its client */
        }
    }

    if (n == -1) {
        seen->canceled = errno == ECANCELED;
        return;
    }

    sandbox_text_fmt(&t, "{\"bytes\":%lld}", (long long) sum);
    agent_worker_answer(peer, 200, &t, "X-Test", "yes");
}


static void
refuse_run(int peer, void *data)
{
    char buf[100];

    (void) data;
    (void) agent_worker_read(peer, buf, sizeof(buf));
    agent_worker_error(peer, 409, "conflict", "body", "is %d", "Not wanted.");
}


static void
die_run(int peer, void *data)
{
    (void) peer;
    (void) data;
    raise(SIGKILL);
}


static void
give_run(int peer, void *data)
{
    int i;
    char piece[50000];

    memset(piece, 'x', sizeof(piece));
    agent_worker_begin(peer, 200, -1, "text/plain");

    for (i = 0; i < BIG / (int) sizeof(piece); i++) {
        if (agent_worker_write(peer, piece, sizeof(piece)) == -1) {
            seen->canceled = 1;
            return;
        }
    }

    if (data == NULL) {
        agent_worker_end(peer);
    }
}


static void
take(agent_request_t *r)
{
    agent_worker_start(r, take_run, NULL);
}


static void
refuse(agent_request_t *r)
{
    agent_worker_start(r, refuse_run, NULL);
}


static void
die(agent_request_t *r)
{
    agent_worker_start(r, die_run, NULL);
}


static void
give(agent_request_t *r)
{
    agent_worker_start(r, give_run, NULL);
}


static void
cut(agent_request_t *r)
{
    agent_worker_start(r, give_run, "cut");
}


#define WORKER(name, method, query, begin)                                     \
    {                                                                          \
        name, method, query, NULL, agent_worker_abort, begin,                  \
            agent_worker_piece, agent_worker_finish                            \
    }

static const agent_route_t routes[] = {
    WORKER("take", "PUT", 0, take),
    WORKER("refuse", "PUT", 0, refuse),
    WORKER("die", "PUT", 0, die),
    WORKER("give", "GET", 0, give),
    WORKER("give", "HEAD", 0, give),
    WORKER("cut", "GET", 0, cut),
    WORKER("files", "PUT", 1, agent_file_put),
    WORKER("files", "DELETE", 1, agent_file_delete),
    { "files", "GET", 1, .begin = agent_file_get },
    { "files/move", "POST", 0, agent_file_move, agent_worker_abort },
    { "files/stat", "GET", 1, .begin = agent_file_stat },
    WORKER("files/list", "GET", 1, agent_file_list),
    WORKER("files/archive", "GET", 1, agent_archive_get),
    WORKER("files/archive", "PUT", 1, agent_archive_put),
    { "uploads", "POST", 0, agent_upload_create, agent_worker_abort },
    WORKER("uploads/*/parts/*", "PUT", 0, agent_upload_part),
    { "uploads/*/complete", "POST", 0, agent_upload_complete,
      agent_worker_abort },
};


static void
run(void (*client)(void))
{
    memset(seen, 0, sizeof(*seen));
    server_start(routes, COUNT(routes), "127.0.0.1");
    scenario(client);
    agent_http_stop();
}


/* Sends a body of BIG bytes in chunks, without reading meanwhile. */
static void
transmit_big(int fd)
{
    int i;
    static char chunk[65536];

    memset(chunk, 'y', sizeof(chunk));

    for (i = 0; i < BIG / (int) sizeof(chunk); i++) {
        transmit(fd, "10000\r\n", 7);
        transmit(fd, chunk, sizeof(chunk));
        transmit(fd, "\r\n", 2);
    }

    transmit(fd, "0\r\n\r\n", 5);
}


static void
client_take(void)
{
    int fd;
    char *reply, want[64];

    fd = dial();
    transmit(fd, HEAD("PUT", "take") "Transfer-Encoding: chunked\r\n\r\n",
             strlen(HEAD("PUT", "take") "Transfer-Encoding: chunked\r\n\r\n"));
    transmit_big(fd);
    reply = receive(fd);
    snprintf(want, sizeof(want), "{\"bytes\":%d}", BIG);
    expect(strstr(reply, want) != NULL);
    expect(strstr(reply, "X-Test: yes\r\n") != NULL);
    free(reply);

    /* the connection goes on */
    request(fd, HEAD("PUT", "take"), "abc");
    reply = receive(fd);
    expect(strstr(reply, "{\"bytes\":3}") != NULL);
    free(reply);
    request(fd, HEAD("PUT", "take"), "");
    reply = receive(fd);
    expect(strstr(reply, "{\"bytes\":0}") != NULL);
    free(reply);
    close(fd);
}


static void
test_take(void **state)
{
    (void) state;
    run(client_take);
}


/* The reason arrives, however much is still to be sent. */
static void
client_refuse(void)
{
    int fd;
    char *reply;
    static const char head[] =
        HEAD("PUT", "refuse") "Transfer-Encoding: chunked\r\n\r\n";

    fd = dial();
    transmit(fd, head, sizeof(head) - 1);
    transmit_big(fd);
    reply = receive(fd);
    expect(strstr(reply, "HTTP/1.1 409 ") == reply);
    expect(strstr(reply, "\"reason\":\"is %d\"") != NULL);
    free(reply);
    close(fd);

    answers(HEAD("PUT", "die"), "abc", 503, "capacity_exceeded");
}


static void
test_refuse(void **state)
{
    (void) state;
    run(client_refuse);
}


/* A body of which a piece, or the end, is lost on its way has not come. */
static void
client_no_memory(void)
{
    seen->fails = 'd';
    answers(HEAD("PUT", "take"), "abc", 503, "capacity_exceeded");
    seen->fails = 'e';
    answers(HEAD("PUT", "take"), "abc", 503, "capacity_exceeded");
    seen->fails = 0;
    answers(HEAD("PUT", "take"), "abc", 200, "{\"bytes\":3}");
}


static void
test_no_memory(void **state)
{
    (void) state;
    run(client_no_memory);
}


/* Reads a connection to its end: how much there was, and its last bytes. */
static size_t
drain(int fd, char tail[8])
{
    ssize_t n;
    size_t len;
    char buf[8 + 65536];

    memset(buf, 0, 8);

    for (len = 0; (n = recv(fd, buf + 8, sizeof(buf) - 8, 0)) > 0; len += n) {
        memmove(buf, buf + n, 8);
    }

    memcpy(tail, buf, 8);

    return len;
}


/* To its end, which the last chunk marks; or cut off, without that. */
static void
client_give(void)
{
    int fd;
    ssize_t n;
    size_t len;
    char tail[8], reply[1000];

    fd = dial();
    request(fd, HEAD("GET", "give") "Connection: close\r\n", "");
    expect(drain(fd, tail) > BIG / 50000 * 50000);
    expect(memcmp(tail, "x\r\n0\r\n\r\n", 8) == 0);
    close(fd);

    fd = dial();
    request(fd, HEAD("GET", "cut"), "");
    expect(drain(fd, tail) > BIG / 2);
    expect(memcmp(tail + 3, "0\r\n\r\n", 5) != 0);
    close(fd);

    /* behind the head alone nothing is left for the next request to find */
    fd = dial();
    request(fd, HEAD("HEAD", "give"), "");
    for (len = 0; (n = recv(fd, reply + len, sizeof(reply) - 1 - len, 0)) > 0;
         len += (size_t) n)
    { /* void */
    }
    reply[len] = '\0';
    expect(n == 0 && strncmp(reply, "HTTP/1.1 200 ", 13) == 0);
    expect(strstr(reply, "\r\nConnection: close\r\n") != NULL);
    expect(strstr(reply, "\r\n\r\n")[4] == '\0');
    close(fd);
}


static void
test_give(void **state)
{
    (void) state;
    run(client_give);
}


/* Clients that leave are noticed by the workers, in either direction. */
static void
client_leave(void)
{
    int fd, i, n;
    char buf[100];
    static char big[500000];

    fd = dial();
    transmit(fd, HEAD("PUT", "take") "Content-Length: 100\r\n\r\nabc",
             strlen(HEAD("PUT", "take") "Content-Length: 100\r\n\r\nabc"));
    for (i = 0; seen->bytes < 3; i++) {
        usleep(10000);
        expect(i < 1000);
    }
    close(fd);
    for (i = 0; !seen->canceled; i++) {
        usleep(10000);
        expect(i < 1000);
    }

    /* with its end right behind what it sent */
    for (n = 0; n < 20; n++) {
        seen->canceled = 0;
        fd = dial();
        transmit(fd, HEAD("PUT", "take") "Content-Length: 9000000\r\n\r\n",
                 strlen(HEAD("PUT", "take") "Content-Length: 9000000\r\n\r\n"));
        transmit(fd, big, n % 2 ? sizeof(big) : 1000);
        close(fd);
        for (i = 0; !seen->canceled; i++) {
            usleep(10000);
            expect(i < 1000);
        }
    }

    seen->canceled = 0;
    fd = dial();
    request(fd, HEAD("GET", "give"), "");
    expect(recv(fd, buf, sizeof(buf), 0) > 0);
    close(fd);
    for (i = 0; !seen->canceled; i++) {
        usleep(10000);
        expect(i < 1000);
    }
}


static void
test_leave(void **state)
{
    (void) state;
    run(client_leave);
}


/* Deeper than what is deleted with all that is in it; in halves it is not. */
static void
client_deep(void)
{
    int i;
    char *put, *move;
    sandbox_text_t half = SANDBOX_TEXT_INIT;

    for (i = 0; i < AGENT_WALK_DEPTH * 2 / 3; i++) {
        sandbox_text_str(&half, "/deep");
    }

    expect(asprintf(&put, HEAD("PUT", "files?parents=true&path=%s%s/f"),
                    half.data, half.data)
           > 0);
    expect(asprintf(&move, "{\"from\":\"%s\",\"to\":\"/half\"}", half.data)
           > 0);

    answers(put, "text", 201, "\"size\":4");
    answers(
        HEAD("DELETE", "files?recursive=true&path=/deep"), "", 400,
        "\"code\":\"invalid_request\",\"error_detail\":{\"field\":\"path\"");
    answers(HEAD("POST", "files/move"), "{\"from\":\"/none\",\"to\":\"/half\"}",
            404, "not_found");
    answers(HEAD("POST", "files/move"), move, 200, "\"path\":\"/half\"");

    free(put);
    free(move);
    sandbox_text_free(&half);
}


static void
client_files(void)
{
    char *reply;

    client_deep();
    answers(HEAD("PUT", "files?path=/f"), "text", 201,
            "{\"path\":\"/f\",\"size\":4,\"mode\":\"0644\"}");
    reply = ask(HEAD("GET", "files?path=/f") "Range: bytes=1-2\r\n", "");
    expect(strstr(reply, "HTTP/1.1 206 ") == reply);
    expect(strstr(reply, "\r\n\r\nex") != NULL);
    expect(strstr(reply, "Content-Range: bytes 1-2/4\r\n") != NULL);
    free(reply);
    answers(HEAD("GET", "files?path=/g"), "", 404, "not_found");
    answers(HEAD("GET", "files"), "", 400, "\"field\":\"path\"");
    answers(HEAD("GET", "files?path=/f&path=/f"), "", 400,
            "\"field\":\"path\"");
    answers(HEAD("PUT", "files/archive?path=/"), "no tar", 400,
            "\"field\":\"body\"");
    answers(HEAD("POST", "uploads") "Idempotency-Key: k\r\n",
            "{\"path\":\"/u\"}", 201, "\"status\":\"open\"");
    answers(HEAD("POST", "uploads"), "{\"path\":\"/u\"}", 400,
            "Idempotency-Key");
    answers(HEAD("PUT", "uploads/x/parts/1"), "a", 404, "not_found");
    answers(HEAD("PUT", "uploads/x/parts/0"), "a", 400, "\"field\":\"part\"");
    answers(HEAD("PUT", "uploads/x/parts/1?n=1"), "a", 400, "\"field\":\"n\"");
}


/* The value of a header of reply, up to its end of line. */
static char *
header(const char *reply, const char *name)
{
    char *line, *value;

    expect(asprintf(&line, "\r\n%s: ", name) > 0);
    value = strcasestr(reply, line);
    expect(value != NULL);
    value += strlen(line);
    value = strndup(value, strcspn(value, "\r"));
    expect(value != NULL);
    free(line);

    return value;
}


/* The head of a request about /swap, if it has that tag. */
static char *
swap_head(const char *method, const char *etag)
{
    char *head;

    expect(asprintf(&head,
                    "%s /v1/sandboxes/sb_1/files?path=/swap HTTP/1.1\r\n"
                    "Host: x\r\n" AUTH "If-Match: %s\r\n",
                    method, etag)
           > 0);

    return head;
}


/* A writer of /swap, in a process: its end tells the status. */
static pid_t
swap_writer(const int gate[2], const char *etag)
{
    int fd;
    pid_t pid;
    char *reply, c;

    pid = fork();
    if (pid != 0) {
        return pid;
    }

    alarm(30);
    fd = dial();
    close(gate[1]);
    expect(read(gate[0], &c, 1) == 0); /* all at once */
    request(fd, swap_head("PUT", etag), "new");
    reply = receive(fd);
    _exit(strstr(reply, "HTTP/1.1 200 ") == reply   ? 1
          : strstr(reply, "HTTP/1.1 412 ") == reply ? 2
                                                    : 3);
}


/* Of several writers with the same tag one writes, and the others are told. */
static void
swap_round(void)
{
    int i, gate[2], status, written, refused;
    char *reply, *etag;
    pid_t pids[SWAP_WRITERS];

    reply = ask(HEAD("GET", "files?path=/swap"), "");
    etag = header(reply, "ETag");
    expect(pipe(gate) == 0);

    for (i = 0; i < SWAP_WRITERS; i++) {
        pids[i] = swap_writer(gate, etag);
        expect(pids[i] != -1);
    }

    close(gate[0]);
    close(gate[1]);

    for (i = written = refused = 0; i < SWAP_WRITERS; i++) {
        expect(waitpid(pids[i], &status, 0) == pids[i] && WIFEXITED(status));
        written += WEXITSTATUS(status) == 1;
        refused += WEXITSTATUS(status) == 2;
    }

    expect(written == 1 && refused == SWAP_WRITERS - 1);
    free(reply);
    free(etag);
}


/* A file is younger than the one it replaces, though both are of one tick. */
static void
swap_age(void)
{
    int root;
    char *reply, *etag;
    struct stat st;
    struct timespec times[2];

    root = agent_fs_root();
    clock_gettime(CLOCK_REALTIME, &times[1]);
    times[0] = times[1];
    times[1].tv_nsec += 90000000;
    times[1].tv_sec += times[1].tv_nsec / 1000000000;
    times[1].tv_nsec %= 1000000000;
    expect(utimensat(root, "swap", times, 0) == 0);

    reply = ask(HEAD("PUT", "files?path=/swap"), "tick");
    expect(strstr(reply, "HTTP/1.1 200 ") == reply);
    expect(fstatat(root, "swap", &st, 0) == 0);
    close(root);
    expect(st.st_mtim.tv_sec > times[1].tv_sec
           || (st.st_mtim.tv_sec == times[1].tv_sec
               && st.st_mtim.tv_nsec > times[1].tv_nsec));

    etag = header(reply, "ETag");
    free(reply);
    reply = ask(HEAD("GET", "files?path=/swap"), "");
    expect(strstr(reply, etag) != NULL);
    free(reply);
    free(etag);
}


static void
client_swap(void)
{
    int i;
    char *reply, *etag, *head;

    answers(HEAD("PUT", "files?path=/swap"), "old", 201, "\"size\":3");

    for (i = 0; i < SWAP_ROUNDS; i++) {
        swap_round();
    }

    swap_age();

    head = swap_head("DELETE", "\"other\"");
    answers(head, "", 412, "conflict");
    free(head);

    reply = ask(HEAD("GET", "files?path=/swap"), "");
    etag = header(reply, "ETag");
    head = swap_head("DELETE", etag);
    answers(head, "", 200, "\"path\":\"/swap\"");
    answers(head, "", 404, "not_found");
    free(reply);
    free(etag);
    free(head);
}


static void
test_swap(void **state)
{
    (void) state;
    agent_fs_set_root(top);
    run(client_swap);
    agent_fs_set_root("/");
}


/*
 * Unpacks an archive of one directory, or of one hard link; the caller frees
 * the answer.
 */
static char *
unpack(const char *name, const char *hard)
{
    int fd;
    char *head, *reply;
    size_t len;
    struct archive *a;
    struct archive_entry *entry;
    static char tar[65536];

    a = archive_write_new();
    entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, hard ? AE_IFREG : AE_IFDIR);
    if (hard != NULL) {
        archive_entry_set_hardlink(entry, hard);
    }
    archive_entry_set_perm(entry, 0777);
    archive_entry_set_uid(entry, getuid());
    archive_entry_set_gid(entry, getgid());
    expect(archive_write_set_format_ustar(a) == ARCHIVE_OK
           && archive_write_open_memory(a, tar, sizeof(tar), &len) == ARCHIVE_OK
           && archive_write_header(a, entry) == ARCHIVE_OK
           && archive_write_close(a) == ARCHIVE_OK);
    archive_entry_free(entry);
    archive_write_free(a);

    expect(asprintf(&head,
                    HEAD("PUT",
                         "files/archive?path=/") "Content-Length: %zu\r\n\r\n",
                    len)
           > 0);
    fd = dial();
    transmit(fd, head, strlen(head));
    transmit(fd, tar, len);
    reply = receive(fd);
    close(fd);
    free(head);

    return reply;
}


/* What an archive says of the private directory is refused. */
static void
unpack_refused(const char *name, const char *hard)
{
    char *reply, *want;

    expect(asprintf(&want, "The entry \\\"%s", name) > 0);
    reply = unpack(name, hard);
    expect(strstr(reply, "HTTP/1.1 400 ") == reply);
    expect(strstr(reply, "keeps for itself") != NULL);
    expect(strstr(reply, want) != NULL);
    free(reply);
    free(want);
}


/* What the file system refuses is told as that, with the entry's name. */
static void
unpack_fails(const char *name, const char *hard, const char *status,
             const char *why)
{
    char *reply, *want;

    expect(asprintf(&want,
                    "The entry \\\"%s\\\" of the archive was not unpacked. %s",
                    name, why)
           > 0);
    reply = unpack(name, hard);
    expect(strstr(reply, status) == reply);
    expect(strstr(reply, want) != NULL);
    free(reply);
    free(want);
}


static void
client_unpack(void)
{
    int root;

    root = agent_fs_root();
    expect(mkdirat(root, "there", 0755) == 0);
    close(root);

    /* no directory has two names */
    unpack_fails("two", "there", "HTTP/1.1 409 ",
                 "The file system refuses this: Operation not permitted.");
    unpack_fails("two", "none", "HTTP/1.1 404 ",
                 "There is no such file or directory.");
    unpack_fails("there", "none", "HTTP/1.1 409 ", "The path is a directory.");
}


static void
test_unpack(void **state)
{
    (void) state;
    agent_fs_set_root(top);
    run(client_unpack);
    agent_fs_set_root("/");
}


/* What reads find neither the private directory nor what is in it. */
static void
reads_nothing(const char *path)
{
    size_t i;
    char *head;
    static const char *const reads[] = { "files", "files/stat", "files/list",
                                         "files/archive" };

    for (i = 0; i < COUNT(reads); i++) {
        expect(asprintf(&head, HEAD("GET", "%s?path=%s"), reads[i], path) > 0);
        answers(head, "", 404, "not_found");
        free(head);
    }
}


/* The private directory, as an entry of a directory that a link leads to. */
static void
client_private(void)
{
    int root;
    char *reply;
    struct stat st;

    root = agent_fs_root();
    expect(agent_fs_mkdirs_own(root, AGENT_FS_PRIVATE "/x", 0700) == 0);
    expect(mknodat(root, "workspace/.nullspace/file", S_IFREG | 0600, 0) == 0);
    expect(symlinkat("workspace", root, "link") == 0);
    expect(symlinkat(AGENT_FS_PRIVATE, root, "secret") == 0);

    answers(HEAD("DELETE", "files?recursive=true&path=/link/.nullspace"), "",
            409, "conflict");
    answers(HEAD("POST", "files/move"),
            "{\"from\":\"/link/.nullspace\",\"to\":\"/moved\"}", 409,
            "conflict");
    unpack_refused("link/.nullspace", NULL);
    unpack_refused("link/.nullspace/x/y", NULL);
    unpack_refused("link/.nullspace/y/z", NULL);
    unpack_refused("secret", NULL);
    unpack_refused("secret/y", NULL);
    unpack_refused("workspace/.nullspace/y", NULL);
    unpack_refused("y", "secret/x");
    unpack_refused("y", "link/.nullspace");

    reads_nothing("/link/.nullspace");
    reads_nothing("/link/.nullspace/x");
    reads_nothing("/link/.nullspace/file");
    reads_nothing("/link/.nullspace/none");
    reads_nothing("/secret/x");
    reads_nothing("/secret/file");
    answers(HEAD("GET", "files/stat?path=/secret"), "", 200,
            "\"type\":\"symlink\"");
    answers(HEAD("GET", "files?path=/secret"), "", 404, "not_found");
    answers(HEAD("GET", "files/list?path=/secret"), "", 404, "not_found");
    answers(HEAD("GET", "files/archive?path=/secret"), "", 404, "not_found");
    expect(fstatat(root, "workspace/.nullspace/x", &st, 0) == 0);
    expect(fstatat(root, "workspace/.nullspace", &st, 0) == 0);
    expect((st.st_mode & 07777) == 0700);

    reply = unpack("open", NULL);
    expect(strstr(reply, "HTTP/1.1 200 ") == reply);
    free(reply);

    answers(HEAD("DELETE", "files?recursive=true&path=/workspace"), "", 409,
            "conflict");
    expect(fstatat(root, "workspace/.nullspace/x", &st, 0) == 0);
    close(root);
}


static void
test_private(void **state)
{
    (void) state;
    agent_fs_set_root(top);
    run(client_private);
    agent_fs_set_root("/");
}


static void
test_files(void **state)
{
    (void) state;
    agent_fs_set_root(top);
    run(client_files);
    agent_fs_set_root("/");
}


static int
group_setup(void **state)
{
    (void) state;
    strcpy(top, "/tmp/test-agent-worker-XXXXXX");
    seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return mkdtemp(top) == NULL || seen == MAP_FAILED ? -1 : 0;
}


static int
group_teardown(void **state)
{
    (void) state;

    return agent_tree_remove(AT_FDCWD, top);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_take),      cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_give),      cmocka_unit_test(test_leave),
        cmocka_unit_test(test_files),     cmocka_unit_test(test_private),
        cmocka_unit_test(test_no_memory), cmocka_unit_test(test_unpack),
        cmocka_unit_test(test_swap),
    };

    if (check_init() == -1) {
        return 1;
    }

    return cmocka_run_group_tests_name("agent workers", tests, group_setup,
                                       group_teardown);
}
