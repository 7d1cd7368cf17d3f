/* Commands of nft; see the header. */

#include "sandbox_network_rules.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* Most elements of a guest: one in each of three sets, and both lists. */
#define RULES_ELEMENTS (3 + 2 * SANDBOX_POLICY_CIDRS)
#define RULES_ELEMENT_SIZE 64
#define RULES_GUESTS "guests"

static const char *const rules_sets[] = { "online", "limited", "allow_out",
                                          "deny_out", NULL };

typedef struct {
    const char *set;
    char text[RULES_ELEMENT_SIZE];
} rules_element_t;

typedef struct {
    rules_element_t element[RULES_ELEMENTS];
    size_t n;
    char table[NETWORK_RULES_TABLE_SIZE]; /* family and name, of all but
                                             "guests" */
} rules_t;


void
network_rules_table(char table[NETWORK_RULES_TABLE_SIZE], const char *bridge)
{
    char *p;

    (void) snprintf(table, NETWORK_RULES_TABLE_SIZE, "inet sandbox_%.15s",
                    bridge);

    /* as host-network spells it */
    for (p = table; *p; p++) {
        if (*p == '-') {
            *p = '_';
        }
    }
}


static char *
rules_add(rules_t *rules, const char *set)
{
    rules_element_t *e;

    e = &rules->element[rules->n++];
    e->set = set;

    return e->text;
}


/*
 * A block within another one is left out: it would change nothing, and the
 * kernel refuses ranges that overlap.  IPv6 blocks get no elements: no IPv6
 * packet leaves, whatever the lists say.
 */
static void
rules_list(rules_t *rules, const char *set, const char *address,
           const sandbox_cidrs_t *list)
{
    char text[SANDBOX_CIDR_TEXT_SIZE];
    size_t i, j;

    for (i = 0; i < list->n; i++) {
        if (list->cidr[i].family != AF_INET) {
            continue;
        }

        for (j = 0; j < list->n; j++) {
            if (j != i && sandbox_cidr_covers(&list->cidr[j], &list->cidr[i])) {
                break;
            }
        }

        if (j == list->n) {
            sandbox_cidr_format(text, &list->cidr[i]);
            (void) snprintf(rules_add(rules, set), RULES_ELEMENT_SIZE,
                            "%.15s . %.18s", address, text);
        }
    }
}


static void
rules_of(rules_t *rules, const sandbox_network_t *network)
{
    char address[16];

    rules->n = 0;

    if (network == NULL || network->silent) {
        return;
    }

    sandbox_net_ipv4(address, network->address);
    network_rules_table(rules->table, network->bridge);

    (void) snprintf(rules_add(rules, RULES_GUESTS), RULES_ELEMENT_SIZE,
                    "\"%s\" . %s . %s", network->tap, network->mac, address);

    if (network->policy.internet) {
        (void) snprintf(rules_add(rules, "online"), RULES_ELEMENT_SIZE, "%s",
                        address);
    }

    if (network->policy.allow.n) {
        (void) snprintf(rules_add(rules, "limited"), RULES_ELEMENT_SIZE, "%s",
                        address);
    }

    rules_list(rules, "allow_out", address, &network->policy.allow);
    rules_list(rules, "deny_out", address, &network->policy.deny);
}


static int
rules_has(const rules_t *rules, const rules_element_t *e)
{
    size_t i;

    for (i = 0; i < rules->n; i++) {
        if (strcmp(rules->element[i].set, e->set) == 0
            && strcmp(rules->element[i].text, e->text) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* Appends a command for each element of rules that others does not have. */
static void
rules_difference(sandbox_text_t *t, const char *verb, const rules_t *rules,
                 const rules_t *others)
{
    size_t i;
    const rules_element_t *e;

    for (i = 0; i < rules->n; i++) {
        e = &rules->element[i];

        if (!rules_has(others, e)) {
            sandbox_text_fmt(t, "%s element %s %s { %s }\n", verb,
                             strcmp(e->set, RULES_GUESTS) == 0
                                 ? NETWORK_RULES_TAPS
                                 : rules->table,
                             e->set, e->text);
        }
    }
}


void
network_rules_change(sandbox_text_t *t, const sandbox_network_t *old,
                     const sandbox_network_t *wanted)
{
    rules_t before, after;

    rules_of(&before, old);
    rules_of(&after, wanted);

    /* delete first: a new block may contain, so overlap with, an old one */
    rules_difference(t, "delete", &before, &after);
    rules_difference(t, "add", &after, &before);
}


static void
rules_flush(sandbox_text_t *t, const char *bridge)
{
    char table[NETWORK_RULES_TABLE_SIZE];
    size_t i;

    network_rules_table(table, bridge);

    for (i = 0; rules_sets[i]; i++) {
        sandbox_text_fmt(t, "flush set %s %s\n", table, rules_sets[i]);
    }
}


void
network_rules_all(sandbox_text_t *t, const sandbox_network_t *guests, size_t n,
                  const char *bridge)
{
    size_t i;

    sandbox_text_fmt(t, "flush set %s %s\n", NETWORK_RULES_TAPS, RULES_GUESTS);

    if (bridge) {
        rules_flush(t, bridge);
    }

    /* a bridge may be flushed twice, which does no harm */
    for (i = 0; i < n; i++) {
        if ((bridge == NULL || strcmp(guests[i].bridge, bridge) != 0)
            && (i == 0 || strcmp(guests[i].bridge, guests[i - 1].bridge) != 0))
        {
            rules_flush(t, guests[i].bridge);
        }
    }

    for (i = 0; i < n; i++) {
        network_rules_change(t, NULL, &guests[i]);
    }
}
