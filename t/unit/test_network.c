/* The network of a domain: metadata there and back, and commands of nft. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_domain_xml.h"
#include "sandbox_network_rules.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define UUID "8766e684-09fd-8723-b98a-c3573aaeb920"
#define NS "xmlns:n=\"" SANDBOX_NETWORK_NAMESPACE "\""


static void
fill(sandbox_network_t *network, int internet, const char *allow,
     const char *deny)
{
    memset(network, 0, sizeof(*network));
    sandbox_network_name(network, "sbx-0", 0x0a580005);
    network->generation = 7;
    assert_int_equal(
        sandbox_policy_parse(&network->policy, internet, allow, deny), 0);
}


static int
read_text(sandbox_network_t *network, const char *text)
{
    return sandbox_network_read(network, text, strlen(text));
}


static void
test_round(void **state)
{
    char *xml;
    sandbox_network_t in, out;

    (void) state;

    fill(&in, 0, "192.0.2.0/24,2001:db8::/32", "198.51.100.1");

    xml = sandbox_network_xml(&in);
    assert_non_null(xml);
    memset(&out, 0, sizeof(out));
    assert_int_equal(read_text(&out, xml), 0);
    assert_memory_equal(&in, &out, sizeof(in));
    assert_null(strstr(xml, "silent"));
    free(xml);

    in.silent = 1;
    xml = sandbox_network_xml(&in);
    assert_non_null(xml);
    assert_int_equal(read_text(&out, xml), 0);
    assert_memory_equal(&in, &out, sizeof(in));
    free(xml);
}


/* What the configuration takes is what the watcher reads. */
static void
test_bridge(void **state)
{
    char *xml;
    size_t i;
    sandbox_network_t in, out;
    static const struct {
        const char *name;
        int good;
    } cases[] = {
        { "b", 1 },           { "sbx-0_A", 1 }, { "sbx0123456789ab", 1 },
        { "br0.100", 0 },     { "a&b", 0 },     { "sbx0123456789abc", 0 },
        { "a\" tap=\"b", 0 }, { "", 0 },
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        assert_int_equal(sandbox_network_is_bridge(cases[i].name),
                         cases[i].good);

        if (cases[i].good) {
            fill(&in, 1, "", "");
            sandbox_network_name(&in, cases[i].name, in.address);
            xml = sandbox_network_xml(&in);
            assert_non_null(xml);
            assert_int_equal(read_text(&out, xml), 0);
            assert_string_equal(out.bridge, cases[i].name);
            free(xml);
        }
    }
}


/* The same element, in a namespace, is metadata of the domain. */
static void
test_domain(void **state)
{
    char *xml;
    sandbox_network_t network;
    sandbox_template_t base;
    sandbox_domain_spec_t spec;
    sandbox_domain_xml_t host;

    (void) state;

    fill(&network, 1, "", "");

    memset(&base, 0, sizeof(base));
    base.kernel = base.initrd = base.cmdline = base.disk = "/t";
    memset(&spec, 0, sizeof(spec));
    spec.id = "sb_aabcdefghijklmnop234";
    spec.tenant = spec.operation = "x";
    spec.mac = network.mac;
    spec.tap = network.tap;
    spec.network = &network;
    spec.vcpus = 1;
    spec.memory_mb = 256;
    spec.template = &base;
    memset(&host, 0, sizeof(host));
    host.uuid = UUID;
    host.disk = "/d";
    host.bridge = "sbx-0";
    host.machine = "q35";

    xml = sandbox_domain_xml(&spec, &host);
    assert_non_null(xml);
    assert_non_null(strstr(
        xml, "<" SANDBOX_NETWORK_KEY ":network xmlns:" SANDBOX_NETWORK_KEY
             "=\"" SANDBOX_NETWORK_NAMESPACE "\" generation=\"7\""));
    free(xml);

    /* a machine that is no sandbox yet is in no network */
    spec.network = NULL;
    xml = sandbox_domain_xml(&spec, &host);
    assert_non_null(xml);
    assert_null(strstr(xml, SANDBOX_NETWORK_NAMESPACE));
    free(xml);
}


/* Each with one thing wrong. */
static void
test_malformed(void **state)
{
    size_t i, j;
    char text[1024];
    const char *value[9];
    sandbox_network_t network;
    static const char *const good[] = {
        "1",         "sbx0", "sbx0a580005",  "02:5b:0a:58:00:05",
        "10.88.0.5", "yes",  "192.0.2.0/24", "",
        "yes",
    };
    static const struct {
        size_t which;
        const char *value;
    } bad[] = {
        { 0, "" },
        { 0, "-1" },
        { 0, "1x" },
        { 0, "99999999999999999999" },
        { 1, "" },
        { 1, "sbx0 }" },
        { 1, "sbx0123456789abc" },
        { 2, "a;b" },
        { 2, "\xc3\xa9" },
        { 3, "02:5b:0a:58:00:05:" },
        { 3, "02/5b" },
        { 4, "10.88.0" },
        { 4, "::1" },
        { 5, "" },
        { 5, "YES" },
        { 6, "192.0.2.1/24" },
        { 7, "," },
        { 8, "" },
        { 8, "no" },
        { 8, "yess" },
    };

    (void) state;

    for (i = 0; i <= COUNT(bad); i++) {
        memcpy(value, good, sizeof(value));

        if (i) {
            value[bad[i - 1].which] = bad[i - 1].value;
        }

        (void) snprintf(
            text, sizeof(text),
            "<network generation=\"%s\" bridge=\"%s\" "
            "tap=\"%s\" mac=\"%s\" address=\"%s\" "
            "silent=\"%s\" internet=\"%s\" allow=\"%s\" deny=\"%s\"/>",
            value[0], value[1], value[2], value[3], value[4], value[8],
            value[5], value[6], value[7]);

        assert_int_equal(read_text(&network, text), i ? -1 : 0);

        /* cut off anywhere it is no document */
        for (j = 0; i == 0 && j < strlen(text); j++) {
            assert_int_equal(sandbox_network_read(&network, text, j), -1);
        }
    }

    assert_int_equal(read_text(&network, "<domain/>"), -1);
    assert_int_equal(read_text(&network, "<network/>"), -1);
}


static void
test_admit(void **state)
{
    sandbox_network_t network;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    (void) state;

    /* what lies in another block, and IPv6, need no elements */
    fill(&network, 1, "192.0.2.0/24,192.0.2.7,2001:db8::/32",
         "198.51.100.0/24");
    network_rules_change(&t, NULL, &network);
    assert_string_equal(
        t.data,
        "add element bridge sandbox_taps guests { \"sbx0a580005\" . "
        "02:5b:0a:58:00:05 . 10.88.0.5 }\n"
        "add element inet sandbox_sbx_0 online { 10.88.0.5 }\n"
        "add element inet sandbox_sbx_0 limited { 10.88.0.5 }\n"
        "add element inet sandbox_sbx_0 allow_out { 10.88.0.5 . 192.0.2.0/24 "
        "}\n"
        "add element inet sandbox_sbx_0 deny_out { 10.88.0.5 . 198.51.100.0/24 "
        "}\n");
    sandbox_text_free(&t);

    /* only IPv6 is allowed, of which there is none: nothing */
    memset(&t, 0, sizeof(t));
    fill(&network, 1, "2001:db8::/32", "");
    network_rules_change(&t, NULL, &network);
    assert_non_null(strstr(t.data, "limited { 10.88.0.5 }"));
    assert_null(strstr(t.data, "allow_out"));
    sandbox_text_free(&t);

    memset(&t, 0, sizeof(t));
    fill(&network, 0, "", "");
    network_rules_change(&t, NULL, &network);
    assert_null(strstr(t.data, "online"));
    sandbox_text_free(&t);
}


static void
test_change(void **state)
{
    sandbox_network_t old, wanted;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    (void) state;

    fill(&old, 1, "", "192.0.2.0/24,198.51.100.0/25");
    fill(&wanted, 1, "", "192.0.2.0/24,198.51.100.0/24");
    network_rules_change(&t, &old, &wanted);
    assert_string_equal(
        t.data,
        "delete element inet sandbox_sbx_0 deny_out { 10.88.0.5 . "
        "198.51.100.0/25 }\n"
        "add element inet sandbox_sbx_0 deny_out { 10.88.0.5 . 198.51.100.0/24 "
        "}\n");
    sandbox_text_free(&t);

    /* nothing to do, and all to be undone */
    memset(&t, 0, sizeof(t));
    network_rules_change(&t, &wanted, &wanted);
    assert_int_equal(t.len, 0);
    network_rules_change(&t, &wanted, NULL);
    assert_non_null(strstr(t.data, "delete element bridge sandbox_taps"));
    assert_null(strstr(t.data, "add"));
    sandbox_text_free(&t);
}


/* A silent guest is let in by what ends its silence. */
static void
test_silent(void **state)
{
    sandbox_network_t silent, heard;
    sandbox_text_t t = SANDBOX_TEXT_INIT, whole = SANDBOX_TEXT_INIT;

    (void) state;

    fill(&heard, 1, "192.0.2.0/24", "198.51.100.1");
    silent = heard;
    silent.silent = 1;

    network_rules_change(&t, NULL, &silent);
    network_rules_change(&t, &silent, NULL);
    assert_int_equal(t.len, 0);

    network_rules_change(&t, &silent, &heard);
    network_rules_change(&whole, NULL, &heard);
    assert_string_equal(t.data, whole.data);
    sandbox_text_free(&whole);
    sandbox_text_free(&t);

    memset(&t, 0, sizeof(t));
    network_rules_all(&t, &silent, 1, NULL);
    assert_null(strstr(t.data, "add"));
    sandbox_text_free(&t);
}


static void
test_all(void **state)
{
    sandbox_network_t networks[2];
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    static const char head[] = "flush set bridge sandbox_taps guests\n"
                               "flush set inet sandbox_sbx_0 online\n"
                               "flush set inet sandbox_sbx_0 limited\n"
                               "flush set inet sandbox_sbx_0 allow_out\n"
                               "flush set inet sandbox_sbx_0 deny_out\n"
                               "add element";

    (void) state;

    fill(&networks[0], 1, "", "");
    networks[1] = networks[0];
    sandbox_network_name(&networks[1], "sbx-0", 0x0a580006);

    network_rules_all(&t, networks, 2, "sbx-0");
    assert_memory_equal(t.data, head, sizeof(head) - 1);
    assert_non_null(strstr(t.data, "online { 10.88.0.6 }"));
    sandbox_text_free(&t);

    memset(&t, 0, sizeof(t));
    network_rules_all(&t, NULL, 0, NULL);
    assert_string_equal(t.data, "flush set bridge sandbox_taps guests\n");
    sandbox_text_free(&t);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),     cmocka_unit_test(test_domain),
        cmocka_unit_test(test_malformed), cmocka_unit_test(test_admit),
        cmocka_unit_test(test_change),    cmocka_unit_test(test_all),
        cmocka_unit_test(test_silent),    cmocka_unit_test(test_bridge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
