/* The files of a domain: what libvirt says of one that runs, and what is no
 * domain. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_domain_files.h"
#include "sandbox_domain_xml.h"

/* As libvirt 9.0 gives it, less what is of no interest here. */
static const char live[] =
    "<domain type='qemu' id='3' "
    "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
    "<name>sb_aabcdefghijklmnop234</name>"
    "<devices>"
    "<emulator>/usr/bin/qemu-system-x86_64</emulator>"
    "<disk type='file' device='disk'>"
    "<driver name='qemu' type='qcow2' cache='writeback'/>"
    "<source file='/d/sb_a.qcow2' index='1'/>"
    "<backingStore type='file' index='2'><format type='qcow2'/>"
    "<source file='/d/snap_b.x&amp;y.qcow2'/>"
    "<backingStore type='file' index='3'><format type='qcow2'/>"
    "<source file='/t/disk.qcow2'/><backingStore/>"
    "</backingStore></backingStore>"
    "<target dev='vda' bus='virtio'/></disk>"
    "<interface type='bridge'><source bridge='sbx0'/></interface>"
    "<channel type='unix'><source mode='bind' path='/run/x'/></channel>"
    "</devices>"
    "<qemu:commandline>"
    "<qemu:arg value='-object'/>"
    "<qemu:arg value='{&quot;qom-type&quot;:&quot;memory-backend-file&quot;,"
    "&quot;id&quot;:&quot;sandbox.ram&quot;,&quot;size&quot;:1,"
    "&quot;share&quot;:false,&quot;mem-path&quot;:&quot;/d/boot_a.ram&quot;}'/>"
    "<qemu:arg value='-machine'/>"
    "<qemu:arg value='memory-backend=sandbox.ram'/>"
    "</qemu:commandline>"
    "</domain>";


static void
test_live(void **state)
{
    sandbox_domain_files_t files;

    (void) state;

    assert_int_equal(sandbox_domain_files_read(&files, live), 0);
    assert_string_equal(files.memory, "/d/boot_a.ram");
    assert_int_equal(files.n, 3);
    assert_string_equal(files.layers[0], "/d/sb_a.qcow2");
    assert_string_equal(files.layers[1], "/d/snap_b.x&y.qcow2");
    assert_string_equal(files.layers[2], "/t/disk.qcow2");

    sandbox_domain_files_free(&files);
    assert_null(files.memory);
    assert_int_equal(files.n, 0);
}


/* What we give to libvirt is read as well. */
static void
test_written(void **state)
{
    char *xml;
    static sandbox_template_t base = {
        .kernel = "/t/vmlinux",
        .initrd = "/t/initrd.img",
        .disk = "/t/disk.qcow2",
        .cmdline = "quiet",
    };
    static const char *const layers[] = { "/d/a.qcow2", "/t/disk.qcow2", NULL };
    sandbox_domain_files_t files;
    sandbox_domain_ram_t ram = { .path = "/d/\"a\".ram", .incoming = 1 };
    sandbox_domain_spec_t spec = {
        .id = "sb_aabcdefghijklmnop234",
        .tenant = "acme",
        .operation = "op_1",
        .mac = "02:5b:0a:58:00:05",
        .tap = "sbx0a580005",
        .vcpus = 1,
        .memory_mb = 256,
        .template = &base,
    };
    sandbox_domain_xml_t host = {
        .uuid = "8766e684-09fd-8723-b98a-c3573aaeb920",
        .disk = "/d/sb_a.qcow2",
        .bridge = "sandbox0",
        .machine = "pc-q35-7.2",
        .accel = SANDBOX_ACCEL_TCG,
        .layers = layers,
        .ram = &ram,
    };

    (void) state;
    xml = sandbox_domain_xml(&spec, &host);
    assert_non_null(xml);

    assert_int_equal(sandbox_domain_files_read(&files, xml), 0);
    assert_string_equal(files.memory, ram.path);
    assert_int_equal(files.n, 3);
    assert_string_equal(files.layers[0], host.disk);
    assert_string_equal(files.layers[2], base.disk);

    sandbox_domain_files_free(&files);
    free(xml);
}


/* Domains of others: no disk, no file, several disks, arguments of any kind. */
static void
test_others(void **state)
{
    size_t i;
    sandbox_domain_files_t files;
    static const struct {
        const char *xml;
        size_t n;
    } cases[] = {
        { "<domain/>", 0 },
        { "<domain><devices><disk><source dev='/dev/sda'/></disk>"
          "<disk><source file='/a'/></disk><disk><source file='/b'/></disk>"
          "</devices></domain>",
          2 },
        { "<domain xmlns:q='x'><q:commandline><q:arg value='{'/>"
          "<q:arg value='{}'/><q:arg value='[1]'/><q:arg/>"
          "<q:arg value='{\"mem-path\":\"\"'/></q:commandline></domain>",
          0 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(sandbox_domain_files_read(&files, cases[i].xml), 0);
        assert_int_equal(files.n, cases[i].n);
        assert_null(files.memory);
        sandbox_domain_files_free(&files);
    }
}


static void
test_no_domain(void **state)
{
    size_t i;
    char *part;
    sandbox_domain_files_t files;
    static const char *const bad[] = {
        "",
        "<domain>",
        "<pool><devices/></pool>",
        "{}",
        "<domain xmlns:q='x'><q:commandline>"
        "<q:arg value='{\"mem-path\":1}'/></q:commandline></domain>",
    };

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(sandbox_domain_files_read(&files, bad[i]), -1);
        assert_null(files.layers);
    }

    for (i = 0; i < sizeof(live) - 1; i++) {
        part = strndup(live, i);
        assert_non_null(part);
        assert_int_equal(sandbox_domain_files_read(&files, part), -1);
        assert_int_equal(files.n, 0);
        free(part);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live),
        cmocka_unit_test(test_written),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_no_domain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
