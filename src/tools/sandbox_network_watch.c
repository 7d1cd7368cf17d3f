/*
 * The watcher of a hypervisor: lets each sandbox's guest into the network when
 * its domain starts, before the engine lets it run, puts changed policies in
 * force, and shuts out guests whose domain has ended.
 *
 * libvirt's events only say which domain to look at.  The watcher acts on the
 * state in which it then finds the domain, so events may be late, repeated, or
 * lost with libvirtd.  Policies come as metadata of the domain, and the answer
 * is metadata, too (sandbox_network_answer.c): neither the engine nor the
 * watcher needs rights or files on the other's machine.
 *
 * A call of libvirt may take for ever when libvirtd hangs.  So a thread of its
 * own checks whether the rules are there, which needs no libvirt.
 */

#include "sandbox_network_answer.h"
#include "sandbox_network_guests.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define WATCH_RUN "/run/nginx-sandbox"
#define WATCH_LOCK WATCH_RUN "/network.lock"
/* Exists while the watcher watches; scripts wait for it. */
#define WATCH_READY WATCH_RUN "/network"
#define WATCH_TICK_MS 100
#define WATCH_GUARD_US 100000
/* Ticks from the end of a connection to the next one. */
#define WATCH_REST 10
#define WATCH_KEEPALIVE_INTERVAL_S 5
#define WATCH_KEEPALIVE_COUNT 3

/* Domains in one transaction of the kernel. */
#define WATCH_BATCH 128

typedef struct watch_news_s watch_news_t;

/* A domain to look at. */
struct watch_news_s {
    watch_news_t *next;
    char uuid[SANDBOX_UUID_SIZE];
};

/* Answers have a connection of their own, since they may have to wait long. */
typedef struct {
    virConnectPtr virt;
    virConnectPtr answers;
    int lifecycle; /* callback of virt, -1: none */
    int metadata;  /* likewise */
} watch_conn_t;

static watch_news_t *watch_first;
static watch_news_t **watch_last = &watch_first;
static int watch_due;  /* 1: a tick has passed */
static int watch_lost; /* 1: the state of some domain is unknown */
/* Of the table of guests; nobody calls libvirt while holding it. */
static pthread_mutex_t watch_guests = PTHREAD_MUTEX_INITIALIZER;
static volatile sig_atomic_t watch_ended;


static void
watch_end(int signal)
{
    (void) signal;
    watch_ended = 1;
}


static void
watch_silent(void *data, virErrorPtr e)
{
    (void) data;
    (void) e;
}


/* Only notes the domain: no libvirt call is made inside its own event. */
static void
watch_note(virDomainPtr domain)
{
    watch_news_t *news;

    news = calloc(1, sizeof(*news));

    if (news == NULL || virDomainGetUUIDString(domain, news->uuid) < 0) {
        free(news);
        watch_lost = 1;
        return;
    }

    *watch_last = news;
    watch_last = &news->next;
}


static int
watch_lifecycle(virConnectPtr conn, virDomainPtr domain, int event, int detail,
                void *data)
{
    (void) conn;
    (void) detail;
    (void) data;

    if (event == VIR_DOMAIN_EVENT_STARTED || event == VIR_DOMAIN_EVENT_STOPPED)
    {
        watch_note(domain);
    }

    return 0;
}


static void
watch_metadata(virConnectPtr conn, virDomainPtr domain, int type,
               const char *uri, void *data)
{
    (void) conn;
    (void) data;

    if (type == VIR_DOMAIN_METADATA_ELEMENT && uri
        && strcmp(uri, SANDBOX_NETWORK_NAMESPACE) == 0)
    {
        watch_note(domain);
    }
}


/*
 * Reads the present state of a domain; -1: libvirt does not tell.  A guest
 * whose metadata is malformed is treated as ended: it is in no network.
 */
static int
watch_look(virDomainPtr domain, network_domain_t *found)
{
    int rc;
    char *text;

    found->runs = 0;

    if (virDomainGetUUIDString(domain, found->uuid) < 0) {
        return -1;
    }

    text =
        virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT,
                             SANDBOX_NETWORK_NAMESPACE, VIR_DOMAIN_AFFECT_LIVE);
    if (text == NULL) {
        switch (virGetLastErrorCode()) {
        case VIR_ERR_NO_DOMAIN_METADATA: /* none of ours */
        case VIR_ERR_NO_DOMAIN:
        case VIR_ERR_OPERATION_INVALID: /* it does not run */
            return 0;
        default:
            return -1;
        }
    }

    rc = sandbox_network_read(&found->network, text, strlen(text));
    free(text);

    if (rc == 0) {
        found->runs = 1;

    } else {
        (void) fprintf(stderr, "sandbox-network: %s has bad metadata\n",
                       virDomainGetName(domain));
    }

    return 0;
}


static int
watch_find(watch_conn_t *conn, const char *uuid, network_domain_t *found)
{
    int rc;
    virDomainPtr domain;

    domain = virDomainLookupByUUIDString(conn->virt, uuid);

    if (domain) {
        rc = watch_look(domain, found);
        (void) virDomainFree(domain);
        return rc;
    }

    (void) snprintf(found->uuid, sizeof(found->uuid), "%s", uuid);
    found->runs = 0;

    return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN ? 0 : -1;
}


static void
watch_answer(watch_conn_t *conn, const network_domain_t *domains, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (domains[i].runs) {
            network_answer(conn->answers, domains[i].uuid, &domains[i].network,
                           domains[i].error);
        }
    }
}


/* Takes the next uuid off the news that is not among domains; 0: no news. */
static int
watch_next(char uuid[SANDBOX_UUID_SIZE], const network_domain_t *domains,
           size_t n)
{
    size_t i;
    watch_news_t *news;

    while ((news = watch_first) != NULL) {
        watch_first = news->next;
        if (watch_first == NULL) {
            watch_last = &watch_first;
        }

        memcpy(uuid, news->uuid, SANDBOX_UUID_SIZE);
        free(news);

        for (i = 0; i < n && strcmp(domains[i].uuid, uuid) != 0; i++) {
            /* void */
        }

        if (i == n) {
            return 1;
        }
    }

    return 0;
}


static void
watch_read_news(watch_conn_t *conn)
{
    size_t n;
    char uuid[SANDBOX_UUID_SIZE];
    static network_domain_t domains[WATCH_BATCH];

    while (watch_first) {
        n = 0;

        while (n < WATCH_BATCH && watch_next(uuid, domains, n)) {
            if (watch_find(conn, uuid, &domains[n]) == 0) {
                n++;
            } else {
                watch_lost = 1;
            }
        }

        (void) pthread_mutex_lock(&watch_guests);
        network_guests_change(domains, n);
        (void) pthread_mutex_unlock(&watch_guests);
        watch_answer(conn, domains, n);
    }
}


/* Before libvirt's next call, which forgets the error. */
static void
watch_unread(const char *why)
{
    (void) fprintf(stderr, "sandbox-network: domains cannot be read: %s\n",
                   why);
}


/* All active domains, in memory the caller frees; -1: the reason is logged. */
static int
watch_list(watch_conn_t *conn, network_domain_t **domains, size_t *n)
{
    int i, count, rc;
    virDomainPtr *list;

    count = virConnectListAllDomains(conn->virt, &list,
                                     VIR_CONNECT_LIST_DOMAINS_ACTIVE);
    if (count < 0) {
        watch_unread(virGetLastErrorMessage());
        return -1;
    }

    rc = 0;
    *n = 0;
    *domains = malloc(((size_t) count + 1) * sizeof(**domains));

    if (*domains == NULL) {
        watch_unread("out of memory");
        rc = -1;
    }

    for (i = 0; i < count; i++) {
        if (rc == 0) {
            rc = watch_look(list[i], &(*domains)[(*n)++]);
            if (rc != 0) {
                watch_unread(virGetLastErrorMessage());
            }
        }

        (void) virDomainFree(list[i]);
    }

    free(list);

    if (rc != 0) {
        free(*domains);
    }

    return rc;
}


static int
watch_reconcile(watch_conn_t *conn, const char *bridge)
{
    int rc;
    size_t n;
    network_domain_t *domains;

    if (watch_list(conn, &domains, &n) != 0) {
        return -1;
    }

    (void) pthread_mutex_lock(&watch_guests);
    rc = network_guests_reset(domains, n, bridge);
    (void) pthread_mutex_unlock(&watch_guests);
    watch_answer(conn, domains, n);
    free(domains);

    return rc;
}


/* Makes the event loop return regularly. */
static void
watch_tick(int timer, void *data)
{
    (void) timer;
    (void) data;
    watch_due = 1;
}


static void
watch_mark(void)
{
    int fd;

    fd = open(WATCH_READY, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    if (fd != -1) {
        (void) close(fd);
    }
}


static int
watch_register(watch_conn_t *conn)
{
    if (virConnectSetKeepAlive(conn->virt, WATCH_KEEPALIVE_INTERVAL_S,
                               WATCH_KEEPALIVE_COUNT)
        < 0)
    {
        return -1;
    }

    conn->lifecycle = virConnectDomainEventRegisterAny(
        conn->virt, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
        VIR_DOMAIN_EVENT_CALLBACK(watch_lifecycle), NULL, NULL);
    conn->metadata = virConnectDomainEventRegisterAny(
        conn->virt, NULL, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
        VIR_DOMAIN_EVENT_CALLBACK(watch_metadata), NULL, NULL);

    return conn->lifecycle < 0 || conn->metadata < 0 ? -1 : 0;
}


/* A callback references its connection, which else would not close. */
static void
watch_deregister(watch_conn_t *conn)
{
    if (conn->lifecycle >= 0) {
        (void) virConnectDomainEventDeregisterAny(conn->virt, conn->lifecycle);
    }

    if (conn->metadata >= 0) {
        (void) virConnectDomainEventDeregisterAny(conn->virt, conn->metadata);
    }
}


/*
 * Watches until the connection or the program ends, or the state of a domain
 * could not be read: the next connection begins with all domains.
 */
static void
watch_serve(watch_conn_t *conn, const char *bridge)
{
    watch_lost = 0;

    if (watch_register(conn) != 0 || watch_reconcile(conn, bridge) != 0) {
        return;
    }

    watch_mark();
    (void) fprintf(stderr, "sandbox-network: watches\n");

    while (!watch_ended && !watch_lost && virConnectIsAlive(conn->virt) == 1
           && virConnectIsAlive(conn->answers) == 1
           && virEventRunDefaultImpl() == 0)
    {
        watch_read_news(conn);
    }

    if (watch_lost) {
        (void) fprintf(stderr, "sandbox-network: a domain could not be looked "
                               "at: all of them are\n");
    }

    (void) unlink(WATCH_READY);
}


static void
watch_connect(const char *uri, const char *bridge)
{
    watch_conn_t conn = { .lifecycle = -1, .metadata = -1 };

    conn.virt = virConnectOpen(uri);
    if (conn.virt == NULL) {
        return;
    }

    conn.answers = virConnectOpen(uri);

    if (conn.answers) {
        if (virConnectSetKeepAlive(conn.answers, WATCH_KEEPALIVE_INTERVAL_S,
                                   WATCH_KEEPALIVE_COUNT)
            == 0)
        {
            watch_serve(&conn, bridge);
        }

        (void) virConnectClose(conn.answers);
    }

    watch_deregister(&conn);
    (void) virConnectClose(conn.virt);
}


/* Keeps the event loop going, which closes the socket of a connection. */
static void
watch_rest(void)
{
    int ticks;

    watch_due = 0;

    for (ticks = 0; ticks < WATCH_REST && !watch_ended; /* void */) {
        if (virEventRunDefaultImpl() != 0) {
            (void) sleep(1);
            return;
        }

        ticks += watch_due;
        watch_due = 0;
    }
}


static void *
watch_guard(void *bridge)
{
    for (;;) {
        (void) pthread_mutex_lock(&watch_guests);
        network_guests_guard(bridge);
        (void) pthread_mutex_unlock(&watch_guests);
        (void) usleep(WATCH_GUARD_US);
    }

    return NULL;
}


static int
watch_guard_start(const char *bridge)
{
    int rc;
    sigset_t all, before;
    pthread_t thread;

    /* only the main thread handles signals */
    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_BLOCK, &all, &before);

    rc = pthread_create(&thread, NULL, watch_guard, (void *) bridge);
    if (rc == 0) {
        (void) pthread_detach(thread);
    }

    (void) pthread_sigmask(SIG_SETMASK, &before, NULL);

    return rc == 0 ? 0 : -1;
}


/* Locks the host for this process; -1: another watcher runs. */
static int
watch_lock(void)
{
    int fd;

    if (mkdir(WATCH_RUN, 0755) == -1 && errno != EEXIST) {
        (void) fprintf(stderr, "sandbox-network: %s: %s\n", WATCH_RUN,
                       strerror(errno));
        return -1;
    }

    fd = open(WATCH_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd == -1 || flock(fd, LOCK_EX | LOCK_NB) == -1) {
        (void) fprintf(stderr, "sandbox-network: %s: %s\n", WATCH_LOCK,
                       fd != -1 && errno == EWOULDBLOCK ? "another one runs"
                                                        : strerror(errno));
        return -1;
    }

    /* the mark of a watcher that was killed */
    (void) unlink(WATCH_READY);

    return 0;
}


static void
watch_usage(FILE *out)
{
    (void) fprintf(out,
                   "Usage: sandbox-network-watch [--uri URI] [--bridge NAME]\n"
                   "\n"
                   "  --uri URI      of the libvirt of this host (default: "
                   "qemu:///system)\n"
                   "  --bridge NAME  whose rules are set when it starts "
                   "(default: sbx0)\n"
                   "\n"
                   "Runs until SIGTERM, as root, beside libvirtd.\n");
}


/* 0: go on; else the exit code and one. */
static int
watch_arguments(int argc, char **argv, const char **uri, const char **bridge)
{
    int i;
    const char **value;

    for (i = 1; i < argc; i++) {
        value = strcmp(argv[i], "--uri") == 0      ? uri
                : strcmp(argv[i], "--bridge") == 0 ? bridge
                                                   : NULL;

        if (strcmp(argv[i], "--help") == 0) {
            watch_usage(stdout);
            return 1;
        }

        if (value == NULL || i + 1 == argc) {
            watch_usage(stderr);
            return 3;
        }

        *value = argv[++i];
    }

    return 0;
}


int
main(int argc, char **argv)
{
    int rc;
    const char *uri, *bridge;
    struct sigaction action;

    uri = "qemu:///system";
    bridge = "sbx0";

    rc = watch_arguments(argc, argv, &uri, &bridge);
    if (rc) {
        return rc - 1;
    }

    memset(&action, 0, sizeof(action));
    action.sa_handler = watch_end;
    (void) sigaction(SIGTERM, &action, NULL);
    (void) sigaction(SIGINT, &action, NULL);
    (void) signal(SIGPIPE, SIG_IGN);

    if (watch_lock() != 0) {
        return 1;
    }

    virSetErrorFunc(NULL, watch_silent);

    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0
        || virEventAddTimeout(WATCH_TICK_MS, watch_tick, NULL, NULL) < 0
        || network_answer_init() != 0)
    {
        (void) fprintf(stderr, "sandbox-network: libvirt does not start\n");
        return 1;
    }

    if (watch_guard_start(bridge) != 0) {
        (void) fprintf(stderr, "sandbox-network: out of memory\n");
        return 1;
    }

    while (!watch_ended) {
        watch_connect(uri, bridge);
        watch_rest();
    }

    /* the guard waits for ever from here on, since exit() frees what it uses */
    (void) pthread_mutex_lock(&watch_guests);

    return 0;
}
