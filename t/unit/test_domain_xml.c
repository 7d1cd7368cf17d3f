/* Domain XML: shape, escaping, and what XML cannot carry. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_domain_xml.h"

#define ID "sb_aabcdefghijklmnop234"
#define NASTY "a<b>&\"c'\xc3\xa9]]>"

static sandbox_template_t base = {
    .name = "base",
    .version = "1",
    .kernel = "/t/base/vmlinux",
    .initrd = "/t/base/initrd.img",
    .disk = "/t/base/disk.qcow2",
    .cmdline = "console=ttyS0 quiet",
    .workdir = "/workspace",
    .disk_mb = 2048,
    .min_memory_mb = 128,
};

static const sandbox_domain_spec_t plain = {
    .id = ID,
    .tenant = "acme",
    .operation = "op_1",
    .mac = "02:5b:0a:58:00:05",
    .tap = "sbx0a580005",
    .vcpus = 2,
    .memory_mb = 256,
    .disk_mb = 4096,
    .template = &base,
};

static const sandbox_domain_xml_t tcg = {
    .uuid = "8766e684-09fd-8723-b98a-c3573aaeb920",
    .disk = "/data/disks/" ID ".qcow2",
    .bridge = "sandbox0",
    .node = "sbx:{n1}",
    .machine = "pc-q35-7.2",
    .label = "+64055:+108",
    .accel = SANDBOX_ACCEL_TCG,
};


static void
assert_found(const char *document, const char *xpath, const char *expected)
{
    char *value;

    value = sandbox_domain_xml_find(document, xpath);
    if (value == NULL) {
        fail_msg("nothing at %s", xpath);
    }

    assert_string_equal(value, expected);
    free(value);
}


static void
assert_absent(const char *document, const char *xpath)
{
    char *value;

    value = sandbox_domain_xml_find(document, xpath);
    if (value) {
        fail_msg("\"%s\" at %s", value, xpath);
    }
}


static void
test_domain(void **state)
{
    size_t i;
    char *xml;
    static const struct {
        const char *xpath;
        const char *value;
    } cases[] = {
        { "/domain/@type", "qemu" },
        { "/domain/name", ID },
        { "/domain/uuid", "8766e684-09fd-8723-b98a-c3573aaeb920" },
        { "/domain/memory", "256" },
        { "/domain/memory/@unit", "MiB" },
        { "/domain/vcpu", "2" },
        { "/domain/genid", "" },
        { "/domain/metadata/*/@id", ID },
        { "/domain/metadata/*/@tenant", "acme" },
        { "/domain/metadata/*/@operation", "op_1" },
        { "/domain/metadata/*/@node", "sbx:{n1}" },
        { "/domain/os/type/@machine", "pc-q35-7.2" },
        { "/domain/os/kernel", "/t/base/vmlinux" },
        { "/domain/os/initrd", "/t/base/initrd.img" },
        { "/domain/os/cmdline", "console=ttyS0 quiet no_timer_check" },
        { "/domain/cpu/@mode", "maximum" },
        { "/domain/on_poweroff", "destroy" },
        { "/domain/on_reboot", "destroy" },
        { "/domain/on_crash", "destroy" },
        { "//disk/source/@file", "/data/disks/" ID ".qcow2" },
        { "//disk/backingStore/source/@file", "/t/base/disk.qcow2" },
        { "//disk/backingStore/backingStore", "" },
        { "//disk/driver/@discard", "unmap" },
        { "//disk/driver/@error_policy", "report" },
        { "//interface/mac/@address", "02:5b:0a:58:00:05" },
        { "//interface/source/@bridge", "sandbox0" },
        { "//interface/target/@dev", "sbx0a580005" },
        { "//interface/port/@isolated", "yes" },
        { "//channel/target/@name", "org.sandbox.agent.0" },
        { "//controller[@type='usb']/@model", "none" },
        { "//memballoon/@model", "none" },
        { "//seclabel/@relabel", "no" },
        { "//seclabel/label", "+64055:+108" },
        { "//*[local-name()='del']/@capability", "cpu-unavailable-features" },
    };

    (void) state;

    xml = sandbox_domain_xml(&plain, &tcg);
    assert_non_null(xml);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_found(xml, cases[i].xpath, cases[i].value);
    }

    assert_absent(xml, "//graphics");
    assert_absent(xml, "//video");
    assert_absent(xml, "//sound");
    assert_absent(xml, "//input");

    free(xml);
}


static void
test_kvm(void **state)
{
    char *xml;
    sandbox_domain_xml_t kvm = tcg;

    (void) state;

    kvm.accel = SANDBOX_ACCEL_KVM;
    kvm.label = NULL;

    xml = sandbox_domain_xml(&plain, &kvm);
    assert_non_null(xml);
    assert_found(xml, "/domain/@type", "kvm");
    assert_found(xml, "/domain/cpu/@mode", "host-passthrough");
    assert_found(xml, "/domain/os/cmdline", "console=ttyS0 quiet");
    assert_absent(xml, "//seclabel");
    free(xml);
}


/* Memory in a file, a chain of disks, and a state that is to come. */
static void
test_checkpoint(void **state)
{
    char *xml;
    sandbox_domain_xml_t host = tcg;
    sandbox_domain_ram_t ram = { "/d/a,\"b.ram", 0, 1 };
    static const char *const layers[] = { "/d/2.qcow2", "/d/1.qcow2", NULL };

    (void) state;

    host.layers = layers;
    host.ram = &ram;
    host.checkpoint = "boot_aabcdefghijklmnop234";

    xml = sandbox_domain_xml(&plain, &host);
    assert_non_null(xml);
    assert_found(xml, "/domain/metadata/*/@checkpoint",
                 "boot_aabcdefghijklmnop234");
    assert_found(xml, "//disk/backingStore/source/@file", "/d/2.qcow2");
    assert_found(xml, "//disk/backingStore/backingStore/source/@file",
                 "/d/1.qcow2");
    assert_found(xml, "//disk/backingStore/backingStore/backingStore", "");
    assert_found(xml, "//*[local-name()='arg'][1]/@value", "-object");
    assert_found(
        xml, "//*[local-name()='arg'][2]/@value",
        "{\"qom-type\":\"memory-backend-file\",\"id\":"
        "\"sandbox.ram\",\"size\":268435456,\"share\":false,\"merge\":false,"
        "\"align\":2097152,"
        "\"mem-path\":\"/d/a,\\\"b.ram\"}");
    assert_found(xml, "//*[local-name()='arg'][4]/@value",
                 "memory-backend=sandbox.ram");
    assert_found(xml, "//*[local-name()='arg'][6]/@value", "defer");
    free(xml);

    ram.shared = 1;
    ram.incoming = 0;

    xml = sandbox_domain_xml(&plain, &host);
    assert_non_null(xml);
    assert_found(
        xml,
        "//*[local-name()='arg'][contains(@value, "
        "'\"share\":true')]/@value",
        "{\"qom-type\":\"memory-backend-file\",\"id\":"
        "\"sandbox.ram\",\"size\":268435456,\"share\":true,\"merge\":false,"
        "\"align\":2097152,"
        "\"mem-path\":\"/d/a,\\\"b.ram\"}");
    assert_absent(xml, "//*[local-name()='arg'][@value='-incoming']");
    free(xml);

    xml = sandbox_domain_xml(&plain, &tcg);
    assert_non_null(xml);
    assert_absent(xml, "//*[local-name()='commandline']");
    assert_absent(xml, "/domain/metadata/*/@checkpoint");
    free(xml);
}


/* One that is booted: its memory has the name of all others', and no file. */
static void
test_booted(void **state)
{
    char *xml, *cmdline;
    sandbox_domain_xml_t host = tcg;
    const sandbox_domain_ram_t ram = { NULL, 0, 0 };
    sandbox_template_t nameless = base;
    sandbox_domain_spec_t spec = plain;

    (void) state;

    host.ram = &ram;
    xml = sandbox_domain_xml(&plain, &host);
    assert_non_null(xml);
    assert_found(xml, "//*[local-name()='arg'][2]/@value",
                 "{\"qom-type\":\"memory-backend-ram\",\"id\":"
                 "\"sandbox.ram\",\"size\":268435456,\"share\":false,"
                 "\"merge\":false}");
    assert_absent(xml, "//*[local-name()='arg'][@value='-incoming']");
    assert_found(xml, "/domain/metadata/*/@template", "base");
    assert_found(xml, "/domain/metadata/*/@version", "1");

    cmdline = sandbox_domain_xml_cmdline(xml);
    assert_string_equal(cmdline, base.cmdline);
    free(cmdline);
    free(xml);

    host.accel = SANDBOX_ACCEL_KVM;
    xml = sandbox_domain_xml(&plain, &host);
    assert_non_null(xml);
    cmdline = sandbox_domain_xml_cmdline(xml);
    assert_string_equal(cmdline, base.cmdline);
    free(cmdline);
    free(xml);

    nameless.name = NULL;
    spec.template = &nameless;
    xml = sandbox_domain_xml(&spec, &host);
    assert_non_null(xml);
    assert_absent(xml, "/domain/metadata/*/@template");
    free(xml);

    assert_null(sandbox_domain_xml_cmdline("<domain/>"));
}


/* What a value says comes back as it was, and adds no node. */
static void
test_escaping(void **state)
{
    char *xml;
    sandbox_domain_spec_t spec = plain;
    sandbox_domain_xml_t host = tcg;
    sandbox_template_t t = base;

    (void) state;

    t.cmdline = "x=\"</cmdline><!-- " NASTY;
    t.kernel = "/t/" NASTY;
    spec.template = &t;
    spec.tenant = "'/><evil a='" NASTY;
    host.disk = "/d/\"/><evil/>" NASTY;
    host.bridge = NASTY;

    xml = sandbox_domain_xml(&spec, &host);
    assert_non_null(xml);
    assert_found(xml, "/domain/metadata/*/@tenant", "'/><evil a='" NASTY);
    assert_found(xml, "/domain/os/kernel", "/t/" NASTY);
    assert_found(xml, "/domain/os/cmdline",
                 "x=\"</cmdline><!-- " NASTY " no_timer_check");
    assert_found(xml, "//disk/source/@file", "/d/\"/><evil/>" NASTY);
    assert_found(xml, "//interface/source/@bridge", NASTY);
    assert_absent(xml, "//evil");
    free(xml);
}


static void
test_not_carried(void **state)
{
    size_t i;
    char *xml;
    char *endless;
    sandbox_domain_spec_t spec;
    static const char *cases[] = {
        "a\x01z",   "a\x1fz",       "bad\xffutf",
        "half\xc3", "\xef\xbf\xbe", "\xed\xa0\x80",
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        spec = plain;
        spec.tenant = cases[i];
        assert_null(sandbox_domain_xml(&spec, &tcg));
    }

    spec = plain;
    spec.operation = NULL;
    assert_null(sandbox_domain_xml(&spec, &tcg));

    endless = malloc(100000);
    assert_non_null(endless);
    memset(endless, 'a', 99999);
    endless[99999] = '\0';
    spec.operation = endless;
    assert_null(sandbox_domain_xml(&spec, &tcg));
    free(endless);

    spec.operation = "tab\tline\n";
    xml = sandbox_domain_xml(&spec, &tcg);
    assert_non_null(xml);
    assert_found(xml, "/domain/metadata/*/@operation", "tab\tline\n");
    free(xml);
}


static void
test_probe(void **state)
{
    char *xml;
    sandbox_domain_xml_t kvm = tcg;

    (void) state;

    kvm.accel = SANDBOX_ACCEL_KVM;

    xml = sandbox_domain_xml_probe("sandbox-probe", &kvm);
    assert_non_null(xml);
    assert_found(xml, "/domain/@type", "kvm");
    assert_found(xml, "/domain/name", "sandbox-probe");
    assert_absent(xml, "//serial");
    assert_found(xml, "//disk/driver/@type", "raw");
    assert_absent(xml, "//interface");
    assert_absent(xml, "//metadata/*/@id");
    free(xml);
}


static void
test_pool(void **state)
{
    char *xml;

    (void) state;

    xml = sandbox_domain_xml_pool("pool", "/d/a&b");
    assert_non_null(xml);
    assert_found(xml, "/pool/@type", "dir");
    assert_found(xml, "/pool/name", "pool");
    assert_found(xml, "/pool/target/path", "/d/a&b");
    free(xml);
}


static void
test_volume(void **state)
{
    char *xml;

    (void) state;

    xml = sandbox_domain_xml_volume("v.qcow2", "/t/b<.qcow2", 4294967296,
                                    "0600", 64055, 108);
    assert_non_null(xml);
    assert_found(xml, "/volume/name", "v.qcow2");
    assert_found(xml, "/volume/capacity", "4294967296");
    assert_found(xml, "/volume/capacity/@unit", "bytes");
    assert_found(xml, "/volume/target/format/@type", "qcow2");
    assert_found(xml, "/volume/target/permissions/owner", "64055");
    assert_found(xml, "/volume/target/permissions/group", "108");
    assert_found(xml, "/volume/target/permissions/mode", "0600");
    assert_found(xml, "/volume/backingStore/path", "/t/b<.qcow2");
    assert_found(xml, "/volume/backingStore/format/@type", "qcow2");
    free(xml);

    xml = sandbox_domain_xml_volume("v", NULL, 512, "0660", -1, -1);
    assert_non_null(xml);
    assert_found(xml, "/volume/target/format/@type", "raw");
    assert_absent(xml, "//owner");
    assert_absent(xml, "//backingStore");
    free(xml);
}


static void
test_find(void **state)
{
    (void) state;

    assert_null(sandbox_domain_xml_find("", "/a"));
    assert_null(sandbox_domain_xml_find("<a", "/a"));
    assert_null(sandbox_domain_xml_find("<a/>", "/b"));
    assert_null(sandbox_domain_xml_find("<a/>", "count(/a)"));
    assert_found("<a b='1'>t</a>", "/a", "t");
    assert_found("<a b='1'>t</a>", "/a/@b", "1");
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_domain),     cmocka_unit_test(test_kvm),
        cmocka_unit_test(test_checkpoint), cmocka_unit_test(test_booted),
        cmocka_unit_test(test_escaping),   cmocka_unit_test(test_not_carried),
        cmocka_unit_test(test_probe),      cmocka_unit_test(test_pool),
        cmocka_unit_test(test_volume),     cmocka_unit_test(test_find),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
