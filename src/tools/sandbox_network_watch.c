/*
 * The watcher of a hypervisor: puts a changed policy of a running sandbox in
 * force, and brings the admitted guests in line with the domains that there
 * are when it starts and whenever libvirtd comes back.
 *
 * A change is new metadata of the domain, of which libvirt sends an event; the
 * answer is metadata too (SANDBOX_NETWORK_APPLIED), for which the engine
 * waits.  So neither needs rights or files on the other's machine.
 */

#include "sandbox_network_state.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WATCH_READY SANDBOX_NETWORK_DIR "/watch"
#define WATCH_KEEPALIVE_INTERVAL 5
#define WATCH_KEEPALIVE_COUNT 3

/*
 * A file this young may be of a domain that was not there yet when the others
 * were listed.
 */
#define WATCH_GRACE_SECONDS 5

typedef struct watch_news_s watch_news_t;

/* A domain whose metadata has changed. */
struct watch_news_s {
    watch_news_t *next;
    char uuid[SANDBOX_UUID_SIZE];
};

static watch_news_t *watch_first;
static watch_news_t **watch_last = &watch_first;
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


/* Only notes it: libvirt is not asked from inside its own event. */
static void
watch_changed(virConnectPtr conn, virDomainPtr domain, int type,
              const char *uri, void *data)
{
    watch_news_t *news;

    (void) conn;
    (void) data;

    if (type != VIR_DOMAIN_METADATA_ELEMENT || uri == NULL
        || strcmp(uri, SANDBOX_NETWORK_NAMESPACE) != 0)
    {
        return;
    }

    news = calloc(1, sizeof(*news));

    if (news == NULL || virDomainGetUUIDString(domain, news->uuid) < 0) {
        free(news);
        return;
    }

    *watch_last = news;
    watch_last = &news->next;
}


/* The policy that a domain's metadata asks for; as sandbox_network_read(). */
static int
watch_wanted(virDomainPtr domain, sandbox_network_t *network)
{
    int rc;
    char *text;

    text =
        virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT,
                             SANDBOX_NETWORK_NAMESPACE, VIR_DOMAIN_AFFECT_LIVE);
    if (text == NULL) {
        return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN_METADATA ? 0 : -1;
    }

    rc = sandbox_network_read(network, NULL, text, strlen(text));
    free(text);

    return rc;
}


static void
watch_answer(virDomainPtr domain, int64_t generation, const char *error)
{
    char text[160];

    (void) snprintf(text, sizeof(text), "<applied generation=\"%lld\"%s%s%s/>",
                    (long long) generation, error ? " error=\"" : "",
                    error ? error : "", error ? "\"" : "");

    /* it may have ended; then nobody waits */
    (void) virDomainSetMetadata(
        domain, VIR_DOMAIN_METADATA_ELEMENT, text, SANDBOX_NETWORK_APPLIED_KEY,
        SANDBOX_NETWORK_APPLIED, VIR_DOMAIN_AFFECT_LIVE);
}


/*
 * With the lock: the outcome for the answer, NULL if all is well.  admit: a
 * guest that runs and has lost its file gets a new one.
 */
static const char *
watch_alter(const char *uuid, const sandbox_network_t *wanted, int admit)
{
    size_t i, n;
    const char *error;
    network_guest_t *guests;

    if (network_list(&guests, &n) != 0) {
        return "the admitted guests cannot be read";
    }

    for (i = 0; i < n && strcmp(guests[i].uuid, uuid) != 0; i++) {
        /* void */
    }

    error = NULL;

    if (i == n && !admit) {
        error = "the guest is not admitted";

    } else if (i == n ? network_admit(wanted, uuid) != 0
                      : guests[i].network.generation < wanted->generation
                            && network_alter(&guests[i], wanted) != 0)
    {
        error = "the rules cannot be set";
    }

    free(guests);
    return error;
}


static void
watch_apply(virDomainPtr domain, const char *uuid, int admit)
{
    const char *error;
    sandbox_network_t wanted;

    if (watch_wanted(domain, &wanted) != 1) {
        (void) fprintf(
            stderr, "sandbox-network: domain %s has no good metadata\n", uuid);
        return;
    }

    if (network_lock() != 0) {
        watch_answer(domain, wanted.generation, "the lock cannot be taken");
        return;
    }

    error = watch_alter(uuid, &wanted, admit);
    network_unlock();

    if (wanted.generation == 0 && error == NULL) {
        /* that of its start: nobody has asked */
        return;
    }

    watch_answer(domain, wanted.generation, error);

    (void) fprintf(stderr, "sandbox-network: %s: policy %lld %s\n",
                   virDomainGetName(domain), (long long) wanted.generation,
                   error ? error : "is in force");
}


static void
watch_read_news(virConnectPtr conn)
{
    virDomainPtr domain;
    watch_news_t *news;

    while ((news = watch_first) != NULL) {
        watch_first = news->next;
        if (watch_first == NULL) {
            watch_last = &watch_first;
        }

        domain = virDomainLookupByUUIDString(conn, news->uuid);

        if (domain) {
            watch_apply(domain, news->uuid, 0);
            (void) virDomainFree(domain);
        }

        free(news);
    }
}


static int
watch_is_listed(virDomainPtr *domains, int n, const char *uuid)
{
    int i;
    char own[VIR_UUID_STRING_BUFLEN];

    for (i = 0; i < n; i++) {
        if (virDomainGetUUIDString(domains[i], own) == 0
            && strcmp(own, uuid) == 0) {
            return 1;
        }
    }

    return 0;
}


/* Shuts out who has no domain any more, and sets all elements anew. */
static int
watch_settle(virDomainPtr *domains, int n, int64_t listed, const char *bridge)
{
    int rc;
    size_t i, nguests;
    network_guest_t *guests;

    if (network_lock() != 0) {
        return -1;
    }

    rc = network_list(&guests, &nguests);

    for (i = 0; rc == 0 && i < nguests; i++) {
        if (guests[i].seconds + WATCH_GRACE_SECONDS < listed
            && !watch_is_listed(domains, n, guests[i].uuid))
        {
            (void) fprintf(stderr, "sandbox-network: %s has no domain\n",
                           guests[i].network.tap);
            (void) network_expel(guests[i].network.tap, guests[i].uuid);
        }
    }

    if (rc == 0) {
        free(guests);
        rc = network_rebuild(bridge);
    }

    network_unlock();
    return rc;
}


static int
watch_reconcile(virConnectPtr conn, const char *bridge)
{
    int i, n, rc;
    char uuid[VIR_UUID_STRING_BUFLEN];
    int64_t listed;
    virDomainPtr *domains;
    sandbox_network_t ignored;

    listed = (int64_t) time(NULL);

    n = virConnectListAllDomains(conn, &domains, 0);
    if (n < 0) {
        return -1;
    }

    rc = watch_settle(domains, n, listed, bridge);

    /* what was asked for while nobody watched */
    for (i = 0; i < n; i++) {
        if (rc == 0 && virDomainGetUUIDString(domains[i], uuid) == 0
            && watch_wanted(domains[i], &ignored) == 1)
        {
            watch_apply(domains[i], uuid, virDomainIsActive(domains[i]) == 1);
        }

        (void) virDomainFree(domains[i]);
    }

    free(domains);
    return rc;
}


static void
watch_tick(int timer, void *data)
{
    /* lets the loop look up from time to time */
    (void) timer;
    (void) data;
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


/* Until the connection or the program ends. */
static void
watch_serve(virConnectPtr conn, const char *bridge)
{
    if (virConnectSetKeepAlive(conn, WATCH_KEEPALIVE_INTERVAL,
                               WATCH_KEEPALIVE_COUNT)
            < 0
        || virConnectDomainEventRegisterAny(
               conn, NULL, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
               VIR_DOMAIN_EVENT_CALLBACK(watch_changed), NULL, NULL)
               < 0
        || watch_reconcile(conn, bridge) != 0)
    {
        (void) fprintf(stderr, "sandbox-network: no start: %s\n",
                       virGetLastErrorMessage());
        return;
    }

    watch_mark();
    (void) fprintf(stderr, "sandbox-network: watches\n");

    while (!watch_ended && virConnectIsAlive(conn) == 1
           && virEventRunDefaultImpl() == 0)
    {
        watch_read_news(conn);
    }

    (void) unlink(WATCH_READY);
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
    virConnectPtr conn;
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

    virSetErrorFunc(NULL, watch_silent);

    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0
        || virEventAddTimeout(500, watch_tick, NULL, NULL) < 0)
    {
        (void) fprintf(stderr, "sandbox-network: libvirt does not start\n");
        return 1;
    }

    while (!watch_ended) {
        conn = virConnectOpen(uri);

        if (conn) {
            watch_serve(conn, bridge);
            (void) virConnectClose(conn);
        }

        if (!watch_ended) {
            (void) sleep(1);
        }
    }

    return 0;
}
