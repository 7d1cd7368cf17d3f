/* Template manifests: what is taken, and a sentence for each refusal. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "sandbox_template.h"

#define GOOD                                                                   \
    "{\"name\":\"base\",\"version\":\"1\",\"arch\":\"x86_64\","                \
    "\"kernel\":\"vmlinux\",\"initrd\":\"initrd.img\","                        \
    "\"disk\":\"disk.qcow2\",\"cmdline\":\"quiet\",\"disk_mb\":2048,"          \
    "\"min_memory_mb\":128,\"workdir\":\"/workspace\",\"desktop\":false}"

static char root[] = "/tmp/test_template.XXXXXX";
static char err[512];


static void
put(const char *name, const void *data, size_t len)
{
    char path[256];
    FILE *f;

    (void) snprintf(path, sizeof(path), "%s/%s", root, name);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}


static void
put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}


/* The head of a qcow2 file of so many MiB. */
static void
put_disk(const char *name, unsigned mb, unsigned char backing)
{
    unsigned char head[104] = { 'Q', 'F', 'I', 0xfb, 0, 0, 0, 3 };
    uint64_t size;
    int i;

    head[15] = backing;
    size = (uint64_t) mb << 20;
    for (i = 0; i < 8; i++) {
        head[24 + i] = (unsigned char) (size >> (56 - 8 * i));
    }

    put(name, head, sizeof(head));
}


static void
make_dir(const char *name)
{
    char path[256];

    (void) snprintf(path, sizeof(path), "%s/%s", root, name);
    assert_int_equal(mkdir(path, 0755), 0);
}


static void
make_template(const char *name, const char *manifest)
{
    char path[128];

    make_dir(name);
    (void) snprintf(path, sizeof(path), "%s/manifest.json", name);
    put_text(path, manifest);
    (void) snprintf(path, sizeof(path), "%s/vmlinux", name);
    put_text(path, "k");
    (void) snprintf(path, sizeof(path), "%s/initrd.img", name);
    put_text(path, "i");
    (void) snprintf(path, sizeof(path), "%s/disk.qcow2", name);
    put_disk(path, 2048, 0);
}


static int
setup(void **state)
{
    (void) state;

    (void) snprintf(root, sizeof(root), "/tmp/test_template.XXXXXX");
    err[0] = '\0';
    return mkdtemp(root) ? 0 : -1;
}


static int
teardown(void **state)
{
    char command[128];

    (void) state;

    (void) snprintf(command, sizeof(command), "rm -rf '%s'", root);
    return system(command);
}


static sandbox_template_t *
load(const char *name)
{
    char path[256];

    (void) snprintf(path, sizeof(path), "%s/%s", root, name);
    return sandbox_template_load(path, err, sizeof(err));
}


static void
test_good(void **state)
{
    char path[256];
    sandbox_template_t *t;

    (void) state;

    make_template("base", GOOD);

    t = load("base");
    if (t == NULL) {
        fail_msg("%s", err);
    }

    assert_string_equal(t->name, "base");
    assert_string_equal(t->version, "1");
    assert_string_equal(t->cmdline, "quiet");
    assert_string_equal(t->workdir, "/workspace");
    assert_int_equal(t->disk_mb, 2048);
    assert_int_equal(t->min_memory_mb, 128);
    assert_int_equal(t->desktop, 0);

    (void) snprintf(path, sizeof(path), "%s/base/vmlinux", root);
    assert_string_equal(t->kernel, path);
    (void) snprintf(path, sizeof(path), "%s/base/initrd.img", root);
    assert_string_equal(t->initrd, path);
    (void) snprintf(path, sizeof(path), "%s/base/disk.qcow2", root);
    assert_string_equal(t->disk, path);

    sandbox_template_free(t);
    sandbox_template_free(NULL);
}


/* GOOD with the first occurrence of from replaced. */
static void
manifest_with(const char *from, const char *to)
{
    char text[2048];
    const char *p;

    p = strstr(GOOD, from);
    assert_non_null(p);

    (void) snprintf(text, sizeof(text), "%.*s%s%s", (int) (p - GOOD), GOOD, to,
                    p + strlen(from));
    put_text("base/manifest.json", text);
}


static void
test_refused(void **state)
{
    size_t i;
    sandbox_template_t *t;
    static const struct {
        const char *from;
        const char *to;
        const char *says;
    } cases[] = {
        { "{", "", "manifest.json" },
        { "\"version\":\"1\",", "", "\"version\" is missing" },
        { "\"version\":\"1\"", "\"version\":1", "\"version\" is not a string" },
        { "\"version\":\"1\"", "\"version\":\"\"", "\"version\" must have" },
        { "\"version\"", "\"verison\":\"\",\"version\"",
          "\"verison\" is no known member" },
        { "\"name\":\"base\"", "\"name\":\"other\"", "is \"other\", but" },
        { "\"name\":\"base\"", "\"name\":\"Base\"", "\"name\" may hold" },
        { "\"name\":\"base\"", "\"name\":\"../base\"", "\"name\" may hold" },
        { "x86_64", "aarch64", "\"arch\" is not" },
        { "\"vmlinux\"", "\"../vmlinux\"", "lies outside" },
        { "\"vmlinux\"", "\"/etc/passwd\"", "not a relative name" },
        { "\"vmlinux\"", "\"none\"", "No such file" },
        { "\"vmlinux\"", "\"leads-out\"", "lies outside" },
        { "\"vmlinux\"", "\"folder\"", "no regular file" },
        { "\"vmlinux\"", "\"a\\u0001b\"", "control character" },
        { "\"quiet\"", "\"quiet\\n\"", "\"cmdline\" holds a control" },
        { "disk.qcow2", "vmlinux", "\"disk\" is no qcow2 image" },
        { "disk.qcow2", "layered.qcow2", "\"disk\" has a backing file" },
        { "2048", "4096", "\"disk_mb\" is 4096, but the disk has" },
        { "2048", "2048.5", "\"disk_mb\" is not a whole number" },
        { "2048", "0", "\"disk_mb\" is not a whole number" },
        { "2048", "\"2048\"", "\"disk_mb\" is not a whole number" },
        { "128", "-1", "\"min_memory_mb\" is not a whole number" },
        { "false", "0", "\"desktop\" is neither" },
        { "/workspace", "workspace", "\"workdir\" is not a normalised" },
        { "/workspace", "/a/../b", "\"workdir\" is not a normalised" },
    };

    (void) state;

    make_template("base", GOOD);
    make_dir("base/folder");
    put_text("vmlinux", "outside");
    put_disk("base/layered.qcow2", 2048, 1);
    {
        char path[256];

        (void) snprintf(path, sizeof(path), "%s/base/leads-out", root);
        assert_int_equal(symlink("../vmlinux", path), 0);
    }

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        manifest_with(cases[i].from, cases[i].to);

        t = load("base");
        if (t) {
            fail_msg("taken: \"%s\"", cases[i].to);
        }

        if (strstr(err, cases[i].says) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", err, cases[i].says);
        }
    }

    put_text("base/manifest.json", "[]");
    assert_null(load("base"));
    assert_non_null(strstr(err, "not a JSON object"));

    assert_null(load("nowhere"));
    assert_non_null(strstr(err, "No such file"));
}


static void
test_too_large(void **state)
{
    char *text;
    size_t len;

    (void) state;

    make_template("base", GOOD);

    len = 70000;
    text = malloc(len);
    assert_non_null(text);
    memset(text, ' ', len);
    put("base/manifest.json", text, len);
    free(text);

    assert_null(load("base"));
    assert_non_null(strstr(err, "too large"));
}


static void
test_many(void **state)
{
    sandbox_template_t **list;

    (void) state;

    make_template("base", GOOD);
    make_template(".hidden", "not read");
    make_dir("empty");
    put_text("file", "not a directory");

    list = sandbox_templates_load(root, err, sizeof(err));
    if (list == NULL) {
        fail_msg("%s", err);
    }
    assert_non_null(list[0]);
    assert_null(list[1]);
    sandbox_templates_free(list);
    sandbox_templates_free(NULL);

    make_template("broken", GOOD);
    assert_null(sandbox_templates_load(root, err, sizeof(err)));
    assert_non_null(strstr(err, "broken/manifest.json"));

    assert_null(sandbox_templates_load("/nowhere/at/all", err, sizeof(err)));
    assert_non_null(strstr(err, "No such file"));
}


/* A short buffer is filled, never overrun. */
static void
test_short_error(void **state)
{
    char small[8];

    (void) state;

    memset(small, 'x', sizeof(small));
    assert_null(sandbox_template_load("/nowhere/at/all", small, 5));
    assert_int_equal(small[4], '\0');
    assert_int_equal(small[5], 'x');
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
        cmocka_unit_test(test_short_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
