/* The file of a checkpoint: a round trip, and what is torn. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_checkpoint_file.h"

static const unsigned char device[] = "device\0state\xff\n{}";

static const sandbox_checkpoint_t sample = {
    .id = "boot_aabcdefghijklmnop234",
    .template = "base \"x\"",
    .version = "1",
    .kernel = "/t/vmlinux",
    .initrd = "/t/initrd.img",
    .cmdline = "console=ttyS0\tquiet",
    .machine = "pc-q35-7.2",
    .accel = "tcg",
    .cpu = "",
    .ram = "boot_aabcdefghijklmnop234.abcdefgh.ram",
    .qemu = 7002022,
    .vcpus = 2,
    .memory_mb = 2048,
    .disk_mb = 4096,
    .lived = 1,
    .layers = { "/d/a.qcow2", "/t/disk.qcow2" },
};


static unsigned char *
written(size_t *size)
{
    unsigned char *data;

    data = sandbox_checkpoint_write(&sample, device, sizeof(device), size);
    assert_non_null(data);

    return data;
}


static int
reads(const unsigned char *data, size_t size)
{
    int rc;
    size_t len;
    const char *reason;
    sandbox_checkpoint_t c;
    const unsigned char *state;

    reason = NULL;
    rc = sandbox_checkpoint_read(&c, data, size, &state, &len, &reason);

    if (rc == 0) {
        sandbox_checkpoint_free(&c);
    } else {
        assert_non_null(reason);
        assert_null(c.id);
    }

    return rc;
}


static void
test_round_trip(void **state)
{
    size_t size, len;
    unsigned char *data;
    const char *reason;
    const unsigned char *part;
    sandbox_checkpoint_t c;

    (void) state;
    data = written(&size);

    assert_int_equal(
        sandbox_checkpoint_read(&c, data, size, &part, &len, &reason), 0);

    assert_int_equal(len, sizeof(device));
    assert_memory_equal(part, device, len);
    assert_string_equal(c.id, sample.id);
    assert_string_equal(c.template, sample.template);
    assert_string_equal(c.version, sample.version);
    assert_string_equal(c.kernel, sample.kernel);
    assert_string_equal(c.initrd, sample.initrd);
    assert_string_equal(c.cmdline, sample.cmdline);
    assert_string_equal(c.machine, sample.machine);
    assert_string_equal(c.accel, sample.accel);
    assert_string_equal(c.cpu, sample.cpu);
    assert_string_equal(c.ram, sample.ram);
    assert_int_equal(c.qemu, sample.qemu);
    assert_int_equal(c.vcpus, sample.vcpus);
    assert_int_equal(c.memory_mb, sample.memory_mb);
    assert_int_equal(c.disk_mb, sample.disk_mb);
    assert_int_equal(c.lived, sample.lived);
    assert_string_equal(c.layers[0], sample.layers[0]);
    assert_string_equal(c.layers[1], sample.layers[1]);
    assert_null(c.layers[2]);

    sandbox_checkpoint_free(&c);
    free(data);
}


static void
test_truncated(void **state)
{
    size_t i, size;
    unsigned char *data, *part;

    (void) state;
    data = written(&size);

    for (i = 0; i < size; i++) {
        /* a block of its own, so that a sanitizer sees what is read */
        part = malloc(i + 1);
        assert_non_null(part);
        memcpy(part, data, i);
        part = realloc(part, i ? i : 1);
        assert_non_null(part);
        assert_int_equal(reads(part, i), -1);
        free(part);
    }

    free(data);
}


static void
test_changed(void **state)
{
    size_t i, size;
    unsigned char *data;

    (void) state;
    data = written(&size);

    for (i = 0; i < size; i++) {
        data[i] ^= 1;
        assert_int_equal(reads(data, size), -1);
        data[i] ^= 1;
    }

    assert_int_equal(reads(data, size), 0);
    free(data);
}


static void
test_layers(void **state)
{
    size_t i, size, len;
    unsigned char *data;
    const char *reason;
    const unsigned char *part;
    sandbox_checkpoint_t deep, c;

    (void) state;
    deep = sample;

    for (i = 0; i < SANDBOX_CHECKPOINT_LAYERS; i++) {
        deep.layers[i] = "/d/layer.qcow2";
    }

    data = sandbox_checkpoint_write(&deep, device, 0, &size);
    assert_non_null(data);
    assert_int_equal(
        sandbox_checkpoint_read(&c, data, size, &part, &len, &reason), 0);
    assert_int_equal(len, 0);
    assert_string_equal(c.layers[SANDBOX_CHECKPOINT_LAYERS - 1],
                        "/d/layer.qcow2");
    assert_null(c.layers[SANDBOX_CHECKPOINT_LAYERS]);

    sandbox_checkpoint_free(&c);
    free(data);
}


/* The begin of a file is enough, as long as all of the JSON is in it. */
static void
test_head(void **state)
{
    int rc;
    size_t i, n, size;
    unsigned char *data, *part;
    sandbox_checkpoint_t c;

    (void) state;
    data = written(&size);
    n = size - sizeof(device);

    for (i = 0; i <= size; i++) {
        part = malloc(i ? i : 1);
        assert_non_null(part);
        memcpy(part, data, i);

        rc = sandbox_checkpoint_read_head(&c, part, i);
        assert_int_equal(rc, i < n ? -1 : 0);

        if (rc == 0) {
            assert_string_equal(c.ram, sample.ram);
            assert_string_equal(c.layers[1], sample.layers[1]);
            assert_null(c.layers[2]);
            sandbox_checkpoint_free(&c);
        }

        assert_null(c.id);
        free(part);
    }

    data[0] ^= 1;
    assert_int_equal(sandbox_checkpoint_read_head(&c, data, size), -1);

    free(data);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_changed),    cmocka_unit_test(test_layers),
        cmocka_unit_test(test_head),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
