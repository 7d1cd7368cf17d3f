/*
 * The memory broker of a hypervisor.  It opens for workers the kernel's files
 * of a QEMU process's memory, which only a process of QEMU's own user may, and
 * passes the descriptors; reading from them needs no further right.  And it
 * drains pipes into which QEMU still sends, when a worker does not need the
 * data any more or the reader has died.
 *
 * A connection is one request and its answer (sandbox_broker.h).  The broker
 * never waits for a client or a pipe, and bounds their numbers.
 */

#define _GNU_SOURCE

#include "sandbox_broker.h"
#include "sandbox_memory_drain.h"
#include "sandbox_memory_process.h"
#include "sandbox_rights.h"
#include "sandbox_time.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BROKER_CLIENTS 64
#define BROKER_BACKLOG 128
#define BROKER_SILENCE_MS 5000
#define BROKER_LOOK_MS 1000
/* Wait after accept() has failed, e.g. for want of descriptors. */
#define BROKER_PAUSE_MS 100

#define BROKER_WHY_SIZE 160

typedef struct {
    const char *socket;
    const char *group;
    const char *memory;
    const char *pids;
} broker_conf_t;

typedef struct {
    int fd;
    int64_t deadline_ms;
} broker_client_t;

static broker_conf_t broker_conf = {
    .socket = SANDBOX_BROKER_SOCKET,
    .group = "www-data",
    .memory = "/var/lib/nginx-sandbox/memory",
    .pids = "/run/libvirt/qemu",
};
static broker_client_t broker_clients[BROKER_CLIENTS];
static size_t broker_count;
static int64_t broker_paused; /* no client is accepted before this time */
static volatile sig_atomic_t broker_ended;


static void
broker_end(int signal)
{
    (void) signal;
    broker_ended = 1;
}


/* Does not wait: a new connection has room for one answer. */
static void
broker_answer(int client, const char *text, const int *fds, size_t n)
{
    (void) sandbox_rights_send(client, text, fds, n, MSG_DONTWAIT);
}


/* what: our own words, or a machine's name that was checked. */
static void
broker_refuse(int client, const char *what, const char *why)
{
    char text[SANDBOX_RIGHTS_TEXT];

    (void) snprintf(text, sizeof(text), SANDBOX_BROKER_ERROR "%s: %s", what,
                    why);
    (void) fprintf(stderr, "sandbox-memory: refused: %s: %s\n", what, why);
    broker_answer(client, text, NULL, 0);
}


static void
broker_open(int client, const char *id)
{
    size_t i;
    int fds[MEMORY_PROCESS_FILES];
    char why[BROKER_WHY_SIZE];

    if (!memory_process_id(id)) {
        broker_refuse(client, "open", "not the name of a machine");
        return;
    }

    if (memory_process_open(broker_conf.pids, id, fds, why, sizeof(why)) != 0) {
        broker_refuse(client, id, why);
        return;
    }

    broker_answer(client, SANDBOX_BROKER_OK, fds, MEMORY_PROCESS_FILES);

    for (i = 0; i < MEMORY_PROCESS_FILES; i++) {
        (void) close(fds[i]);
    }
}


static void
broker_drain(int client, sandbox_rights_t *request)
{
    const char *why;

    if (memory_drain_take(request->fds[0], &why) != 0) {
        broker_refuse(client, "drain", why);
        return;
    }

    request->n = 0;
    broker_answer(client, SANDBOX_BROKER_OK, NULL, 0);
}


static void
broker_obey(int client, sandbox_rights_t *request)
{
    const char *text;

    text = request->text;

    if (!request->whole) {
        broker_refuse(client, "request", "too long, or too many descriptors");

    } else if (strncmp(text, SANDBOX_BROKER_OPEN,
                       sizeof(SANDBOX_BROKER_OPEN) - 1)
               == 0)
    {
        if (request->n == 0) {
            broker_open(client, text + sizeof(SANDBOX_BROKER_OPEN) - 1);
        } else {
            broker_refuse(client, "open", "takes no descriptor");
        }

    } else if (strcmp(text, SANDBOX_BROKER_DRAIN) == 0) {
        if (request->n == 1) {
            broker_drain(client, request);
        } else {
            broker_refuse(client, "drain", "takes one descriptor");
        }

    } else {
        broker_refuse(client, "request", "unknown");
    }
}


/* 1: the connection is to be closed. */
static int
broker_serve(int client)
{
    ssize_t n;
    sandbox_rights_t request;

    n = sandbox_rights_receive(client, &request);
    if (n == -1) {
        return errno != EAGAIN && errno != EINTR;
    }

    if (n > 0) {
        broker_obey(client, &request);
    }

    sandbox_rights_close(&request);

    return 1;
}


/*
 * A QEMU process runs as the broker's user, so it can connect.  It is refused,
 * so that a QEMU that was taken over cannot read other machines' memory.
 */
static int
broker_may_ask(int fd)
{
    socklen_t len;
    struct ucred peer;

    len = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0
           && (peer.uid == 0 || peer.uid != geteuid());
}


static void
broker_accept(int server, int64_t now)
{
    int fd;

    while (broker_count < BROKER_CLIENTS) {
        fd = accept4(server, NULL, NULL, SOCK_CLOEXEC);

        if (fd == -1) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                broker_paused = now + BROKER_PAUSE_MS;
            }
            return;
        }

        if (!broker_may_ask(fd)) {
            broker_refuse(fd, "a client", "it is of the broker's own user");
            (void) close(fd);
            continue;
        }

        broker_clients[broker_count].fd = fd;
        broker_clients[broker_count].deadline_ms = now + BROKER_SILENCE_MS;
        broker_count++;
    }
}


/* waits: of the n clients that there were at poll(). */
static void
broker_serve_clients(const struct pollfd *waits, size_t n, int64_t now)
{
    /* backwards: the last client takes the place of one that is closed */
    while (n--) {
        if ((waits[n].revents && broker_serve(waits[n].fd))
            || broker_clients[n].deadline_ms <= now)
        {
            (void) close(waits[n].fd);
            broker_clients[n] = broker_clients[--broker_count];
        }
    }
}


/* One turn of the loop: waits at most until look, and serves what is ready. */
static void
broker_turn(int server, int64_t look)
{
    int64_t now, until;
    size_t i, pipes;
    struct pollfd *clients;
    static struct pollfd waits[1 + MEMORY_DRAIN_MAX + BROKER_CLIENTS];

    now = sandbox_time_monotonic_ms();
    until = look;

    waits[0].fd =
        broker_count < BROKER_CLIENTS && broker_paused <= now ? server : -1;
    waits[0].events = POLLIN;
    waits[0].revents = 0;

    pipes = memory_drain_wait(waits + 1);
    clients = waits + 1 + pipes;

    for (i = 0; i < broker_count; i++) {
        clients[i].fd = broker_clients[i].fd;
        clients[i].events = POLLIN;
        clients[i].revents = 0;

        if (broker_clients[i].deadline_ms < until) {
            until = broker_clients[i].deadline_ms;
        }
    }

    if (broker_paused > now && broker_paused < until) {
        until = broker_paused;
    }

    if (poll(waits, 1 + pipes + broker_count,
             until > now ? (int) (until - now) : 0)
        == -1)
    {
        return;
    }

    now = sandbox_time_monotonic_ms();

    memory_drain_read(waits + 1, pipes);
    broker_serve_clients(clients, broker_count, now);

    if (waits[0].revents) {
        broker_accept(server, now);
    }
}


static void
broker_run(int server)
{
    int64_t look;

    look = 0;

    while (!broker_ended) {
        if (look <= sandbox_time_monotonic_ms()) {
            memory_drain_look(broker_conf.memory);
            look = sandbox_time_monotonic_ms() + BROKER_LOOK_MS;
        }

        broker_turn(server, look);
    }
}


static int
broker_failed(const char *what)
{
    (void) fprintf(stderr, "sandbox-memory: %s: %s\n", what, strerror(errno));
    return -1;
}


/* Locks the socket's path for this process; -1: another broker has it. */
static int
broker_lock(void)
{
    int fd;
    char path[sizeof(((struct sockaddr_un *) 0)->sun_path) + 8];

    (void) snprintf(path, sizeof(path), "%s.lock", broker_conf.socket);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd == -1) {
        return broker_failed(path);
    }

    if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
        (void) fprintf(stderr, "sandbox-memory: %s: %s\n", path,
                       errno == EWOULDBLOCK ? "another one runs"
                                            : strerror(errno));
        (void) close(fd);
        return -1;
    }

    return 0;
}


/* Only our user may connect until the socket has its group and mode. */
static int
broker_bind(int fd, const struct sockaddr_un *address, gid_t group)
{
    int rc;
    mode_t mask;

    mask = umask(0177);
    rc = bind(fd, (const struct sockaddr *) address, sizeof(*address));
    (void) umask(mask);

    if (rc == -1) {
        return broker_failed(address->sun_path);
    }

    if (chown(address->sun_path, (uid_t) -1, group) == -1
        || chmod(address->sun_path, 0660) == -1
        || listen(fd, BROKER_BACKLOG) == -1)
    {
        (void) broker_failed(address->sun_path);
        (void) unlink(address->sun_path);
        return -1;
    }

    return 0;
}


/* The socket, or -1 with a line on standard error. */
static int
broker_listen(void)
{
    int fd;
    size_t len;
    struct stat st;
    struct group *group;
    struct sockaddr_un address;

    memset(&address, 0, sizeof(address));
    address.sun_family = AF_UNIX;
    len = strlen(broker_conf.socket);

    if (len >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return broker_failed(broker_conf.socket);
    }

    memcpy(address.sun_path, broker_conf.socket, len);
    group = getgrnam(broker_conf.group);

    if (group == NULL) {
        (void) fprintf(stderr, "sandbox-memory: there is no group \"%s\"\n",
                       broker_conf.group);
        return -1;
    }

    if (broker_lock() != 0) {
        return -1;
    }

    /* the socket of a broker that was killed */
    if (lstat(address.sun_path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        (void) unlink(address.sun_path);
    }

    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd == -1) {
        return broker_failed("socket");
    }

    if (broker_bind(fd, &address, group->gr_gid) != 0) {
        (void) close(fd);
        return -1;
    }

    return fd;
}


static void
broker_usage(FILE *out)
{
    (void) fprintf(
        out,
        "Usage: sandbox-memory-broker [--socket PATH] [--group NAME]\n"
        "                             [--memory DIR] [--pids DIR]\n"
        "\n"
        "  --socket PATH  where workers connect to\n"
        "                 (default: " SANDBOX_BROKER_SOCKET ")\n"
        "  --group NAME   of those who may connect (default: www-data)\n"
        "  --memory DIR   with the pipes of memories that are sent\n"
        "                 (default: /var/lib/nginx-sandbox/memory)\n"
        "  --pids DIR     with libvirt's ID.pid (default: /run/libvirt/qemu)\n"
        "\n"
        "Runs until SIGTERM, as the user and the group of QEMU's processes, "
        "and as a\n"
        "member of the workers' group.\n");
}


static const char **
broker_option(const char *name)
{
    return strcmp(name, "--socket") == 0   ? &broker_conf.socket
           : strcmp(name, "--group") == 0  ? &broker_conf.group
           : strcmp(name, "--memory") == 0 ? &broker_conf.memory
           : strcmp(name, "--pids") == 0   ? &broker_conf.pids
                                           : NULL;
}


/* 0: go on; else the exit code and one. */
static int
broker_arguments(int argc, char **argv)
{
    int i;
    const char **value;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            broker_usage(stdout);
            return 1;
        }

        value = broker_option(argv[i]);

        if (value == NULL || i + 1 == argc) {
            broker_usage(stderr);
            return 3;
        }

        *value = argv[++i];
    }

    return 0;
}


int
main(int argc, char **argv)
{
    int rc, server;
    struct sigaction action;

    rc = broker_arguments(argc, argv);
    if (rc) {
        return rc - 1;
    }

    memset(&action, 0, sizeof(action));
    action.sa_handler = broker_end;
    (void) sigaction(SIGTERM, &action, NULL);
    (void) sigaction(SIGINT, &action, NULL);
    (void) signal(SIGPIPE, SIG_IGN);

    if (memory_drain_init() != 0) {
        (void) broker_failed("/dev/null");
        return 1;
    }

    server = broker_listen();
    if (server == -1) {
        return 1;
    }

    if (geteuid() == 0) {
        (void) fprintf(stderr, "sandbox-memory: runs as root, and opens any "
                               "user's processes\n");
    }

    (void) fprintf(stderr, "sandbox-memory: listens\n");
    broker_run(server);

    while (broker_count) {
        (void) close(broker_clients[--broker_count].fd);
    }

    (void) unlink(broker_conf.socket);
    (void) close(server);
    memory_drain_exit();
    (void) fprintf(stderr, "sandbox-memory: ends\n");

    return 0;
}
