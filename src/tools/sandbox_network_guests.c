/* The table of guests and the elements in the kernel; see the header. */

#include "sandbox_network_guests.h"

#include "sandbox_network_flows.h"
#include "sandbox_network_guard.h"
#include "sandbox_network_port.h"
#include "sandbox_network_rules.h"

#include <nftables/libnftables.h>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char uuid[SANDBOX_UUID_SIZE];
    sandbox_network_t network;
} guest_t;

static guest_t **guests;
static size_t nguests;
static size_t guests_size;

/* 1: the elements in the kernel may differ from those of the table. */
static int guests_unsure = 1;
static char guests_bridge[SANDBOX_NETWORK_NAME_SIZE];

/* Most bridges whose rules are checked: a host has one, or a few. */
#define GUESTS_BRIDGES 16

typedef struct {
    char name[SANDBOX_NETWORK_NAME_SIZE];
    uint64_t rules; /* from network_guard_look(); MISSING: bridge is down */
} guests_bridge_t;

static guests_bridge_t bridges[GUESTS_BRIDGES];
static size_t nbridges;

/* The guest of a domain before and after a change; NULL: none. */
typedef struct {
    guest_t *before;
    guest_t *after;
} guests_step_t;

/* Addresses of guests that have left, unless a guest in the table has them. */
typedef struct {
    uint32_t *address;
    size_t n;
    uint32_t net; /* and all addresses of this network; mask 0: none */
    uint32_t mask;
    uint32_t gateway;
} guests_left_t;


static size_t
guests_find(const char *uuid)
{
    size_t i;

    for (i = 0; i < nguests; i++) {
        if (strcmp(guests[i]->uuid, uuid) == 0) {
            break;
        }
    }

    return i;
}


static void
guests_remove(size_t i)
{
    free(guests[i]);
    guests[i] = guests[--nguests];
}


/* Room for n more; -1 if memory is out. */
static int
guests_reserve(size_t n)
{
    guest_t **more;

    if (nguests + n <= guests_size) {
        return 0;
    }

    more = realloc(guests, (nguests + n) * 2 * sizeof(*guests));
    if (more == NULL) {
        return -1;
    }

    guests = more;
    guests_size = (nguests + n) * 2;

    return 0;
}


static guest_t *
guests_new(const network_domain_t *domain)
{
    guest_t *guest;

    guest = malloc(sizeof(*guest));

    if (guest) {
        memcpy(guest->uuid, domain->uuid, sizeof(guest->uuid));
        guest->network = domain->network;
    }

    return guest;
}


/*
 * Runs commands of nft as one transaction.  A failure is not logged, since the
 * caller may have a fallback; nft's message is appended to words, unless NULL.
 */
static int
guests_run(const sandbox_text_t *commands, sandbox_text_t *words)
{
    int rc;
    struct nft_ctx *nft;

    if (sandbox_text_failed(commands)) {
        return -1;
    }

    if (commands->len == 0) {
        return 0;
    }

    nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (nft == NULL) {
        return -1;
    }

    rc = -1;

    if (nft_ctx_buffer_output(nft) == 0 && nft_ctx_buffer_error(nft) == 0) {
        rc = nft_run_cmd_from_buffer(nft, commands->data) == 0 ? 0 : -1;
    }

    if (rc != 0 && words) {
        sandbox_text_fmt(words, "%.400s", nft_ctx_get_error_buffer(nft));
    }

    nft_ctx_free(nft);
    return rc;
}


static void
guests_bridge_say(const guests_bridge_t *bridge)
{
    (void) fprintf(stderr,
                   bridge->rules == NETWORK_GUARD_MISSING
                       ? "sandbox-network: the rules of \"%s\" are missing; it "
                         "is down until \"host-network up\"\n"
                       : "sandbox-network: the rules of \"%s\" were made "
                         "anew\n",
                   bridge->name);
}


/* The entry of a bridge; a new one is added and its rules are looked at. */
static guests_bridge_t *
guests_bridge_find(const char *name)
{
    size_t i;

    for (i = 0; i < nbridges; i++) {
        if (strcmp(bridges[i].name, name) == 0) {
            return &bridges[i];
        }
    }

    if (nbridges == GUESTS_BRIDGES) {
        return NULL;
    }

    (void) snprintf(bridges[i].name, sizeof(bridges[i].name), "%s", name);
    bridges[i].rules = network_guard_look(name);
    nbridges++;

    if (bridges[i].rules == NETWORK_GUARD_MISSING) {
        guests_bridge_say(&bridges[i]);
    }

    return &bridges[i];
}


static int
guests_bridge_stands(const char *name)
{
    const guests_bridge_t *bridge;

    bridge = guests_bridge_find(name);

    return bridge && bridge->rules != NETWORK_GUARD_MISSING;
}


/* Makes all elements anew, but not of guests whose bridge has no rules. */
static int
guests_rebuild(void)
{
    int rc;
    size_t i, n;
    sandbox_network_t *networks;
    sandbox_text_t commands = SANDBOX_TEXT_INIT, words = SANDBOX_TEXT_INIT;

    networks = malloc((nguests + 1) * sizeof(*networks));
    if (networks == NULL) {
        return -1;
    }

    for (i = n = 0; i < nguests; i++) {
        if (guests_bridge_stands(guests[i]->network.bridge)) {
            networks[n++] = guests[i]->network;
        }
    }

    network_rules_all(
        &commands, networks, n,
        n == 0 || guests_bridge_stands(guests_bridge) ? guests_bridge : NULL);
    free(networks);

    rc = guests_run(&commands, &words);

    if (rc != 0) {
        (void) fprintf(stderr,
                       "sandbox-network: the rules of the guests cannot be "
                       "set; has \"host-network up\" run? %s\n",
                       words.data ? words.data : "");
    }

    sandbox_text_free(&words);
    sandbox_text_free(&commands);

    return rc;
}


/* Runs commands that bring the kernel to the table, which has changed. */
static int
guests_commit(const sandbox_text_t *commands)
{
    if (guests_unsure || guests_run(commands, NULL) != 0) {
        guests_unsure = guests_rebuild() != 0;
    }

    return guests_unsure ? -1 : 0;
}


static int
guests_has_left(uint32_t address, const void *data)
{
    size_t i;
    const guests_left_t *left = data;

    for (i = 0; i < left->n && left->address[i] != address; i++) {
        /* void */
    }

    if (i == left->n
        && (left->mask == 0 || (address & left->mask) != left->net
            || address == left->gateway))
    {
        return 0;
    }

    for (i = 0; i < nguests; i++) {
        if (guests[i]->network.address == address) {
            return 0;
        }
    }

    return 1;
}


/*
 * 1 if domain is the guest's own and has ended or changed its address, or is
 * another one that runs with the guest's address.
 */
static int
guests_must_leave(const guest_t *guest, const network_domain_t *domain)
{
    int own, same;

    own = strcmp(guest->uuid, domain->uuid) == 0;
    same = domain->runs && guest->network.address == domain->network.address;

    return own != same && (own || same);
}


static void
guests_leave(const network_domain_t *domains, size_t n)
{
    size_t i, j;
    guests_left_t left;
    sandbox_text_t commands = SANDBOX_TEXT_INIT;

    memset(&left, 0, sizeof(left));

    left.address = malloc((nguests + 1) * sizeof(*left.address));
    if (left.address == NULL) {
        /* they are removed when a later guest gets their addresses */
        (void) fprintf(stderr, "sandbox-network: out of memory\n");
        return;
    }

    for (i = nguests; i-- > 0; /* void */) {
        for (j = 0; j < n && !guests_must_leave(guests[i], &domains[j]); j++) {
            /* void */
        }

        if (j < n) {
            network_rules_change(&commands, &guests[i]->network, NULL);
            left.address[left.n++] = guests[i]->network.address;
            guests_remove(i);
        }
    }

    if (left.n) {
        (void) guests_commit(&commands);
        (void) network_flows_forget(guests_has_left, &left);
    }

    sandbox_text_free(&commands);
    free(left.address);
}


/* 0, or -1: the table is unchanged. */
static int
guests_step(guests_step_t *step, const network_domain_t *domain,
            sandbox_text_t *commands)
{
    size_t i;

    i = guests_find(domain->uuid);
    step->before = i < nguests ? guests[i] : NULL;

    if (guests_reserve(1) != 0 || (step->after = guests_new(domain)) == NULL) {
        step->before = NULL;
        return -1;
    }

    network_rules_change(commands, step->before ? &step->before->network : NULL,
                         &domain->network);
    guests[i] = step->after;

    if (i == nguests) {
        nguests++;
    }

    return 0;
}


static void
guests_step_end(guests_step_t *step, int failed)
{
    size_t i;

    if (step->after && failed) {
        i = guests_find(step->after->uuid);

        if (step->before) {
            free(guests[i]);
            guests[i] = step->before;

        } else {
            guests_remove(i);
        }

    } else {
        free(step->before);
    }
}


static int
guests_enter(network_domain_t *domains, size_t n)
{
    int rc;
    size_t i;
    guests_step_t *steps;
    sandbox_text_t commands = SANDBOX_TEXT_INIT;

    steps = calloc(n, sizeof(*steps));
    if (steps == NULL) {
        return -1;
    }

    rc = 0;

    for (i = 0; i < n && rc == 0; i++) {
        if (domains[i].runs && domains[i].error == NULL) {
            rc = guests_step(&steps[i], &domains[i], &commands);
        }
    }

    if (rc == 0) {
        rc = guests_commit(&commands);
    }

    for (i = 0; i < n; i++) {
        guests_step_end(&steps[i], rc != 0);
    }

    sandbox_text_free(&commands);
    free(steps);

    return rc;
}


/* Before guests are let in, since the rules know a guest by its port. */
static void
guests_ports(network_domain_t *domains, size_t n)
{
    size_t i;
    const sandbox_network_t *network;

    for (i = 0; i < n; i++) {
        network = &domains[i].network;
        domains[i].error = NULL;

        if (!domains[i].runs) {
            continue;
        }

        if (!guests_bridge_stands(network->bridge)) {
            domains[i].error = "the rules of its bridge are missing";

        } else if (network_port_own(network->tap, network->mac) != 0) {
            domains[i].error = "its port of the bridge cannot be set";
        }
    }
}


void
network_guests_change(network_domain_t *domains, size_t n)
{
    size_t i;

    guests_leave(domains, n);
    guests_ports(domains, n);

    if (guests_enter(domains, n) == 0) {
        return;
    }

    for (i = 0; i < n; i++) {
        if (domains[i].error == NULL
            && (n == 1 || guests_enter(&domains[i], 1) != 0)) {
            domains[i].error = "the rules cannot be set";
        }
    }
}


/* Adds the network of the bridge to left. */
static void
guests_bridge_network(guests_left_t *left, const char *bridge)
{
    struct ifaddrs *all, *a;
    const struct sockaddr_in *address, *mask;

    if (getifaddrs(&all) != 0) {
        return;
    }

    for (a = all; a; a = a->ifa_next) {
        if (a->ifa_addr && a->ifa_netmask && a->ifa_addr->sa_family == AF_INET
            && strcmp(a->ifa_name, bridge) == 0)
        {
            address = (const void *) a->ifa_addr;
            mask = (const void *) a->ifa_netmask;

            left->gateway = ntohl(address->sin_addr.s_addr);
            left->mask = ntohl(mask->sin_addr.s_addr);
            left->net = left->gateway & left->mask;
        }
    }

    freeifaddrs(all);
}


int
network_guests_reset(network_domain_t *domains, size_t n, const char *bridge)
{
    int rc;
    size_t i;
    guest_t *guest;
    guests_left_t left;

    memset(&left, 0, sizeof(left));

    left.address = malloc((nguests + 1) * sizeof(*left.address));
    if (left.address == NULL || guests_reserve(n) != 0) {
        free(left.address);
        (void) fprintf(stderr, "sandbox-network: out of memory\n");
        return -1;
    }

    while (nguests) {
        left.address[left.n++] = guests[0]->network.address;
        guests_remove(0);
    }

    guests_ports(domains, n);

    for (i = 0; i < n; i++) {
        guest = domains[i].runs && domains[i].error == NULL
                    ? guests_new(&domains[i])
                    : NULL;

        if (guest) {
            guests[nguests++] = guest;
        }
    }

    (void) snprintf(guests_bridge, sizeof(guests_bridge), "%s", bridge);
    guests_unsure = guests_rebuild() != 0;
    rc = guests_unsure ? -1 : 0;

    for (i = 0; i < n && rc != 0; i++) {
        domains[i].error = "the rules cannot be set";
    }

    guests_bridge_network(&left, bridge);
    (void) network_flows_forget(guests_has_left, &left);
    free(left.address);

    return rc;
}


/* Checks the rules of a bridge; 1 if elements have to be made anew. */
static int
guests_guard(guests_bridge_t *bridge)
{
    int changed;
    uint64_t rules;

    rules = network_guard_look(bridge->name);

    if (rules == NETWORK_GUARD_UNKNOWN) {
        return 0;
    }

    changed = rules != bridge->rules;
    bridge->rules = rules;

    if (rules == NETWORK_GUARD_MISSING) {
        network_bridge_set(bridge->name, 0);
    }

    if (changed) {
        guests_bridge_say(bridge);
    }

    return changed && rules != NETWORK_GUARD_MISSING;
}


void
network_guests_guard(const char *bridge)
{
    int anew;
    size_t i;
    sandbox_text_t none = SANDBOX_TEXT_INIT;

    (void) snprintf(guests_bridge, sizeof(guests_bridge), "%s", bridge);
    (void) guests_bridge_find(bridge);
    anew = 0;

    for (i = 0; i < nbridges; i++) {
        anew |= guests_guard(&bridges[i]);
    }

    if (!anew) {
        return;
    }

    guests_unsure = 1;

    if (guests_commit(&none) == 0) {
        for (i = 0; i < nbridges; i++) {
            if (bridges[i].rules != NETWORK_GUARD_MISSING) {
                network_bridge_set(bridges[i].name, 1);
            }
        }
    }
}
