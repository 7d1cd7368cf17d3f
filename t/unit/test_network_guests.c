/* The watcher's table of guests, over a kernel that is a recorder. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <nftables/libnftables.h>

#include "sandbox_network_flows.h"
#include "sandbox_network_guard.h"
#include "sandbox_network_guests.h"
#include "sandbox_network_port.h"
#include "sandbox_text.h"

#define A 0x0a580005U
#define B 0x0a580006U

/* What nft was told since the last look, and which transactions it refuses. */
static sandbox_text_t told = SANDBOX_TEXT_INIT;
static const char *refused;
static int refusals;

static const char *no_port; /* the tap that is not there */
static uint64_t rules = 7;  /* which there are */
static int downs, ups;

static int (*flows_of)(uint32_t address, const void *data);
static uint32_t flows[8]; /* addresses that have one */
static size_t nflows;


struct nft_ctx *
nft_ctx_new(uint32_t flags)
{
    (void) flags;
    return (struct nft_ctx *) &told;
}


void
nft_ctx_free(struct nft_ctx *ctx)
{
    (void) ctx;
}


int
nft_ctx_buffer_output(struct nft_ctx *ctx)
{
    (void) ctx;
    return 0;
}


int
nft_ctx_buffer_error(struct nft_ctx *ctx)
{
    (void) ctx;
    return 0;
}


const char *
nft_ctx_get_error_buffer(struct nft_ctx *ctx)
{
    (void) ctx;
    return "refused";
}


int
nft_run_cmd_from_buffer(struct nft_ctx *nft, const char *commands)
{
    (void) nft;

    if (refusals && strstr(commands, refused)) {
        refusals--;
        return -1;
    }

    sandbox_text_fmt(&told, "%s--\n", commands);
    return 0;
}


int
network_port_own(const char *tap, const char *mac)
{
    assert_memory_equal(mac, "02:5b:0a:58:00:0", 16);

    return no_port && strcmp(tap, no_port) == 0 ? -1 : 0;
}


uint64_t
network_guard_look(const char *bridge)
{
    assert_string_equal(bridge, "sbx0");

    return rules;
}


void
network_bridge_set(const char *bridge, int up)
{
    assert_string_equal(bridge, "sbx0");
    *(up ? &ups : &downs) += 1;
}


int
network_flows_forget(int (*of)(uint32_t address, const void *data),
                     const void *data)
{
    size_t i, n;

    flows_of = of;

    for (i = n = 0; i < nflows; i++) {
        if (!of(flows[i], data)) {
            flows[n++] = flows[i];
        }
    }

    nflows = n;
    return 0;
}


static void
domain(network_domain_t *d, int uuid, uint32_t address, int internet)
{
    memset(d, 0, sizeof(*d));
    (void) snprintf(d->uuid, sizeof(d->uuid), "8766e684-09fd-8723-b98a-%012d",
                    uuid);

    if (address) {
        d->runs = 1;
        sandbox_network_name(&d->network, "sbx0", address);
        assert_int_equal(
            sandbox_policy_parse(&d->network.policy, internet, "", ""), 0);
    }
}


/* Compares with what was told since the last time. */
static void
require_told(const char *text)
{
    assert_string_equal(told.data ? told.data : "", text);
    sandbox_text_free(&told);
}


#define GUEST(verb, hex, mac, address)                                         \
    verb " element bridge sandbox_taps guests { \"sbx" hex "\" . " mac         \
         " . " address " }\n"
#define GUEST_A(verb) GUEST(verb, "0a580005", "02:5b:0a:58:00:05", "10.88.0.5")
#define GUEST_B(verb) GUEST(verb, "0a580006", "02:5b:0a:58:00:06", "10.88.0.6")
#define ONLINE(verb, address)                                                  \
    verb " element inet sandbox_sbx0 online { " address " }\n"
#define FLUSH                                                                  \
    "flush set bridge sandbox_taps guests\n"                                   \
    "flush set inet sandbox_sbx0 online\n"                                     \
    "flush set inet sandbox_sbx0 limited\n"                                    \
    "flush set inet sandbox_sbx0 allow_out\n"                                  \
    "flush set inet sandbox_sbx0 deny_out\n"


static int
setup(void **state)
{
    (void) state;

    refusals = 0;
    nflows = 0;
    no_port = NULL;
    rules = 7;
    network_guests_guard("sbx0");
    sandbox_text_free(&told);
    downs = 0;
    ups = 0;
    assert_int_equal(network_guests_reset(NULL, 0, "sbx0"), 0);
    require_told(FLUSH "--\n");

    return 0;
}


/* It has its place and its address from the start, and elements later. */
static void
test_silent(void **state)
{
    network_domain_t d, other;

    (void) state;

    domain(&d, 1, A, 1);
    d.network.silent = 1;
    domain(&other, 2, A, 1);
    network_guests_change(&other, 1);
    require_told(GUEST_A("add") ONLINE("add", "10.88.0.5") "--\n");

    network_guests_change(&d, 1);
    assert_null(d.error);
    require_told(GUEST_A("delete") ONLINE("delete", "10.88.0.5") "--\n");

    /* also when all elements are made anew */
    assert_int_equal(network_guests_reset(&d, 1, "sbx0"), 0);
    require_told(FLUSH "--\n");

    d.network.silent = 0;
    network_guests_change(&d, 1);
    assert_null(d.error);
    require_told(GUEST_A("add") ONLINE("add", "10.88.0.5") "--\n");

    domain(&d, 1, 0, 0);
    network_guests_change(&d, 1);
    require_told(GUEST_A("delete") ONLINE("delete", "10.88.0.5") "--\n");
}


static void
test_life(void **state)
{
    network_domain_t d;

    (void) state;

    domain(&d, 1, A, 1);
    network_guests_change(&d, 1);
    assert_null(d.error);
    require_told(GUEST_A("add") ONLINE("add", "10.88.0.5") "--\n");

    /* told twice: nothing to do */
    network_guests_change(&d, 1);
    require_told("");

    domain(&d, 1, A, 0);
    network_guests_change(&d, 1);
    require_told(ONLINE("delete", "10.88.0.5") "--\n");

    flows[0] = A;
    flows[1] = B;
    nflows = 2;
    domain(&d, 1, 0, 0);
    network_guests_change(&d, 1);
    require_told(GUEST_A("delete") "--\n");
    assert_int_equal(nflows, 1);
    assert_int_equal(flows[0], B);

    network_guests_change(&d, 1);
    require_told("");
}


/* Ends and starts that come together are two transactions. */
static void
test_batch(void **state)
{
    network_domain_t d[3];

    (void) state;

    domain(&d[0], 1, A, 0);
    domain(&d[1], 2, B, 0);
    network_guests_change(d, 2);
    require_told(GUEST_A("add") GUEST_B("add") "--\n");

    domain(&d[0], 1, 0, 0);
    domain(&d[1], 2, 0, 0);
    domain(&d[2], 3, A, 0);
    network_guests_change(d, 3);
    require_told(GUEST_B("delete")
                     GUEST_A("delete") "--\n" GUEST_A("add") "--\n");
}


/* Nobody has said that the one before has ended. */
static void
test_address_of_another(void **state)
{
    network_domain_t d;

    (void) state;

    domain(&d, 1, A, 1);
    network_guests_change(&d, 1);
    sandbox_text_free(&told);

    flows[0] = A;
    nflows = 1;
    domain(&d, 2, A, 0);
    network_guests_change(&d, 1);
    require_told(GUEST_A("delete") ONLINE("delete", "10.88.0.5") "--\n" GUEST_A(
        "add") "--\n");
    assert_int_equal(nflows, 0);

    /* which is said now: it has nothing any more */
    domain(&d, 1, 0, 0);
    network_guests_change(&d, 1);
    require_told("");

    /* the same machine at another address */
    domain(&d, 2, B, 0);
    network_guests_change(&d, 1);
    require_told(GUEST_A("delete") "--\n" GUEST_B("add") "--\n");
}


/* The kernel has not what the table says: all is made anew. */
static void
test_repair(void **state)
{
    network_domain_t d;

    (void) state;

    domain(&d, 1, A, 0);
    network_guests_change(&d, 1);
    sandbox_text_free(&told);

    refused = "delete";
    refusals = 1;
    domain(&d, 1, 0, 0);
    network_guests_change(&d, 1);
    require_told(FLUSH "--\n");
}


static void
test_failure(void **state)
{
    network_domain_t d[2];

    (void) state;

    domain(&d[0], 1, A, 0);
    network_guests_change(d, 1);
    sandbox_text_free(&told);

    /* a policy that cannot be put in force leaves the old one */
    refused = "online";
    refusals = 100;
    domain(&d[0], 1, A, 1);
    domain(&d[1], 2, B, 0);
    network_guests_change(d, 2);
    assert_non_null(d[0].error);
    assert_non_null(d[1].error);
    require_told("");

    refusals = 0;
    network_guests_change(&d[1], 1);
    assert_null(d[1].error);
    require_told(FLUSH GUEST_A("add") GUEST_B("add") "--\n");
}


/* One of two cannot be let in: the other one is. */
static void
test_one_of_two(void **state)
{
    network_domain_t d[2];

    (void) state;

    refused = "0a580005";
    refusals = 100;
    domain(&d[0], 1, A, 0);
    domain(&d[1], 2, B, 0);
    network_guests_change(d, 2);
    assert_non_null(d[0].error);
    assert_null(d[1].error);
    require_told(FLUSH GUEST_B("add") "--\n");
}


/* Who has no port is in no set, whether it starts or runs already. */
static void
test_no_port(void **state)
{
    network_domain_t d[2];

    (void) state;

    no_port = "sbx0a580005";
    domain(&d[0], 1, A, 0);
    domain(&d[1], 2, B, 0);
    network_guests_change(d, 2);
    assert_non_null(d[0].error);
    assert_null(d[1].error);
    require_told(GUEST_B("add") "--\n");

    assert_int_equal(network_guests_reset(d, 2, "sbx0"), 0);
    assert_non_null(d[0].error);
    assert_null(d[1].error);
    require_told(FLUSH GUEST_B("add") "--\n");
}


/* Somebody has flushed all rules, and puts them there again. */
static void
test_unguarded(void **state)
{
    network_domain_t d[2];

    (void) state;

    domain(&d[0], 1, A, 0);
    network_guests_change(d, 1);
    sandbox_text_free(&told);

    network_guests_guard("sbx0");
    assert_int_equal(downs, 0);

    rules = NETWORK_GUARD_MISSING;
    network_guests_guard("sbx0");
    network_guests_guard("sbx0");
    assert_int_equal(downs, 2);
    require_told("");

    /* nobody comes in meanwhile */
    domain(&d[1], 2, B, 0);
    network_guests_change(&d[1], 1);
    assert_non_null(d[1].error);
    require_told("");

    rules = NETWORK_GUARD_UNKNOWN;
    network_guests_guard("sbx0");
    require_told("");

    rules = 8;
    network_guests_guard("sbx0");
    assert_int_equal(downs, 2);
    assert_int_equal(ups, 1);
    require_told(FLUSH GUEST_A("add") "--\n");

    network_guests_guard("sbx0");
    require_told("");

    /* all of it between two looks */
    rules = 9;
    network_guests_guard("sbx0");
    require_told(FLUSH GUEST_A("add") "--\n");
}


static void
test_reset(void **state)
{
    network_domain_t d[2];

    (void) state;

    domain(&d[0], 1, A, 0);
    domain(&d[1], 2, B, 0);
    network_guests_change(d, 2);
    sandbox_text_free(&told);

    flows[0] = A;
    flows[1] = B;
    nflows = 2;
    domain(&d[0], 3, 0, 0);
    domain(&d[1], 2, B, 1);
    assert_int_equal(network_guests_reset(d, 2, "sbx0"), 0);
    require_told(FLUSH GUEST_B("add") ONLINE("add", "10.88.0.6") "--\n");

    /* who goes on keeps its connections */
    assert_int_equal(nflows, 1);
    assert_int_equal(flows[0], B);
    assert_non_null(flows_of);

    refused = "flush";
    refusals = 1;
    assert_int_equal(network_guests_reset(d, 2, "sbx0"), -1);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_silent, setup),
        cmocka_unit_test_setup(test_life, setup),
        cmocka_unit_test_setup(test_batch, setup),
        cmocka_unit_test_setup(test_address_of_another, setup),
        cmocka_unit_test_setup(test_repair, setup),
        cmocka_unit_test_setup(test_failure, setup),
        cmocka_unit_test_setup(test_one_of_two, setup),
        cmocka_unit_test_setup(test_no_port, setup),
        cmocka_unit_test_setup(test_unguarded, setup),
        cmocka_unit_test_setup(test_reset, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
