/*
 * Random creates: what holds whatever the members, their order and spelling.
 * SANDBOX_TEST_SEED repeats a run; each run prints its seed.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "create_body.h"
#include "random_json.h"

#define ROUNDS 2000
#define MUTATIONS 20
#define NONE ((size_t) -1)


typedef struct {
    const char *name;
    int64_t min; /* of an integer, else both 0 */
    int64_t max;
    const char *values[4]; /* of another member */
} member_t;

static const member_t members[] = {
    { "vcpus", 1, 8, { NULL } },
    { "memory_mb", 128, 16384, { NULL } },
    { "disk_mb", 2048, 65536, { NULL } },
    { "timeout_ms", 1, 86400000, { NULL } },
    { "template", 0, 0, { "\"base\"" } },
    { "timeout_action", 0, 0, { "\"destroy\"" } },
    { "auto_resume", 0, 0, { "false" } },
    { "internet_access", 0, 0, { "true" } },
    { "cwd", 0, 0, { "\"/\"", "\"/a//b\"", "\"/a/b\"" } },
    { "volumes", 0, 0, { "[]" } },
    { "network", 0, 0, { "{}", "{\"allow_out\":[]}", "{\"deny_out\":[]}" } },
    { "lifecycle", 0, 0, { "{}", "{\"on_timeout\":\"destroy\"}" } },
    { "warm_pool",
      0,
      0,
      { "{\"mode\":\"bypass\"}", "{\"id\":\"x\",\"mode\":\"bypass\"}" } },
    { "envs", 0, 0, { "{}", "{\"A\":\"b\"}", "{\"A\":\"\"}" } },
    { "metadata", 0, 0, { NULL } },
    { "snapshot_id", 0, 0, { NULL } },
    { "desktop", 0, 0, { NULL } },
};

typedef struct {
    const char *member;
    const char *value;
    const char *field;
} fault_t;

static const fault_t faults[] = {
    { "vcpus", "0", "vcpus" },
    { "vcpus", "1.5", "vcpus" },
    { "vcpus", "\"1\"", "vcpus" },
    { "memory_mb", "127", "memory_mb" },
    { "disk_mb", "1e6", "disk_mb" },
    { "timeout_ms", "-1", "timeout_ms" },
    { "template", "\"a b\"", "template" },
    { "template", "\"none\"", "template" },
    { "timeout_action", "\"stop\"", "timeout_action" },
    { "auto_resume", "true", "auto_resume" },
    { "internet_access", "1", "internet_access" },
    { "cwd", "\"a\"", "cwd" },
    { "cwd", "\"/workspace/.nullspace\"", "cwd" },
    { "volumes", "[{\"ref\":\"v\"}]", "volumes[0].mount_path" },
    { "network", "{\"allow_out\":[\"::/0\",7]}", "network.allow_out[1]" },
    { "network", "{\"x\":1}", "network.x" },
    { "lifecycle", "[]", "lifecycle" },
    { "warm_pool", "{\"mode\":\"require\"}", "warm_pool.id" },
    { "envs", "{\"A\":\"\",\"1\":\"\"}", "envs.1" },
    { "metadata", "[]", "metadata" },
    { "metadata", "{\"a\":{\"b\":1,\"b\":2}}", "metadata.a.b" },
    { "snapshot_id", "\"a/b\"", "snapshot_id" },
    { "desktop", "{\"width\":1}", "desktop.width" },
};

/* What a body is made of besides its random numbers. */
typedef struct {
    size_t changed;       /* this member has another value, or NONE */
    const fault_t *fault; /* or NULL */
    char *metadata;       /* set: its text, NULL if left out */
} recipe_t;

static uint64_t seed;


static void
spell_integer(sandbox_text_t *t, random_t *r, int64_t n)
{
    switch (random_draw(&r->spelling, 5)) {
    case 0:
        sandbox_text_fmt(t, "%lld", (long long) n);
        break;
    case 1:
        sandbox_text_fmt(t, "%lld.00", (long long) n);
        break;
    case 2:
        sandbox_text_fmt(t, "%lldE+0", (long long) n);
        break;
    case 3:
        sandbox_text_fmt(t, "%lld0e-01", (long long) n);
        break;
    default:
        sandbox_text_fmt(t, "%.18e", (double) n);
    }
}


static void
spell_metadata(sandbox_text_t *t, random_t *r, recipe_t *recipe, int other)
{
    sandbox_text_t object = SANDBOX_TEXT_INIT;

    /* names of random objects begin with a letter */
    random_object(&object, r);

    if (other) {
        object.len = 0;
        sandbox_text_str(&object, "{\"0\":0}");
    }

    assert_false(sandbox_text_failed(&object));
    sandbox_text_add(t, object.data, object.len);
    recipe->metadata = strndup(object.data, object.len);
    assert_non_null(recipe->metadata);
    sandbox_text_free(&object);
}


/* The shape is drawn in the same way whether the member is changed or not. */
static void
spell_member(sandbox_text_t *t, random_t *r, recipe_t *recipe, size_t i)
{
    size_t n;
    int64_t value;
    const member_t *m = &members[i];
    int other = recipe->changed == i;

    if (m->max) {
        value = (int64_t) random_draw(&r->shape, (uint32_t) (m->max - m->min));
        spell_integer(t, r, m->min + value + other);
        return;
    }

    if (strcmp(m->name, "metadata") == 0) {
        spell_metadata(t, r, recipe, other);
        return;
    }

    for (n = 0; n < COUNT(m->values) && m->values[n]; n++) {
        /* void */
    }

    if (n == 0) {
        sandbox_text_str(t, "null");
        return;
    }

    value = random_draw(&r->shape, (uint32_t) n);
    sandbox_text_str(t, m->values[((size_t) value + (size_t) other) % n]);
}


static void
spell_name(sandbox_text_t *t, random_t *r, const char *name)
{
    sandbox_text_str(t, "\"");

    for (/* void */; *name; name++) {
        random_code(t, r, (uint8_t) *name);
    }

    sandbox_text_str(t, "\"");
    random_space(t, r);
    sandbox_text_str(t, ":");
    random_space(t, r);
}


/* One member with its name; nothing if it is left out. */
static void
spell_part(sandbox_text_t *t, random_t *r, recipe_t *recipe, size_t i)
{
    int given;
    random_t apart;
    const fault_t *fault = recipe->fault;

    given = random_draw(&r->shape, 2) || recipe->changed == i;

    /* what a member draws does not move those behind it */
    apart.shape = r->shape * 0x9e3779b97f4a7c15u + 2 * i + 1;
    apart.spelling = r->spelling + 2 * i + 1;

    if (fault && strcmp(fault->member, members[i].name) == 0) {
        spell_name(t, &apart, members[i].name);
        sandbox_text_str(t, fault->value);

    } else if (given) {
        spell_name(t, &apart, members[i].name);
        spell_member(t, &apart, recipe, i);

    } else if (random_draw(&r->spelling, 3) == 0) {
        spell_name(t, &apart, members[i].name);
        sandbox_text_str(t, "null");
    }
}


/* A body, for the caller to free. */
static char *
spell_body(uint64_t shape, uint64_t spelling, recipe_t *recipe)
{
    size_t i, n, other;
    random_t r = { shape, spelling };
    sandbox_text_t parts[COUNT(members)], swap, t = SANDBOX_TEXT_INIT;

    memset(parts, 0, sizeof(parts));
    recipe->metadata = NULL;

    for (i = 0; i < COUNT(members); i++) {
        spell_part(&parts[i], &r, recipe, i);
    }

    for (i = COUNT(members); i > 1; i--) {
        other = random_draw(&r.spelling, (uint32_t) i);
        swap = parts[i - 1];
        parts[i - 1] = parts[other];
        parts[other] = swap;
    }

    random_space(&t, &r);
    sandbox_text_str(&t, "{");

    for (i = n = 0; i < COUNT(members); i++) {
        if (parts[i].len) {
            sandbox_text_str(&t, n++ ? "," : "");
            random_space(&t, &r);
            sandbox_text_add(&t, parts[i].data, parts[i].len);
            random_space(&t, &r);
        }
        sandbox_text_free(&parts[i]);
    }

    sandbox_text_str(&t, "}");
    random_space(&t, &r);
    assert_false(sandbox_text_failed(&t));

    return t.data;
}


static uint64_t
shape_of(uint64_t round)
{
    return (seed + round) * 0x9e3779b97f4a7c15u | 1;
}


/*
 * Parses a body of the recipe.  1 if it was accepted; one whose metadata has
 * grown too long is refused for that.
 */
static int
try_body(sandbox_create_t *create, const char *body, recipe_t *recipe)
{
    int fits;
    sandbox_body_error_t err;
    sandbox_body_status_t rc;

    rc = create_parse(create, &err, body);
    fits = recipe->metadata == NULL
           || strlen(recipe->metadata) <= SANDBOX_METADATA_MAX;

    if (rc != (fits ? SANDBOX_BODY_OK : SANDBOX_BODY_INVALID)
        || (!fits && strcmp(err.field, "metadata") != 0))
    {
        fail_msg("seed %llu: status %d, field \"%s\", reason \"%s\": %s",
                 (unsigned long long) seed, rc, err.field, err.reason, body);
    }

    if (fits) {
        assert_string_equal(create->metadata,
                            recipe->metadata ? recipe->metadata : "{}");
    }

    free(recipe->metadata);
    recipe->metadata = NULL;

    return fits;
}


/* Compares two spellings, of the same shape or with one member changed. */
static int
compare(uint64_t round, size_t changed)
{
    int rc, ok;
    char *one, *two;
    sandbox_create_t a, b;
    recipe_t recipe = { NONE, NULL, NULL };

    one = spell_body(shape_of(round), 2 * round + 1, &recipe);
    ok = try_body(&a, one, &recipe);
    recipe.changed = changed;
    two = spell_body(shape_of(round), 3 * round + 2, &recipe);
    ok &= try_body(&b, two, &recipe);
    rc = ok ? memcmp(a.fingerprint, b.fingerprint, SANDBOX_SHA256_LEN) : -1;

    if (ok && (rc == 0) != (changed == NONE)) {
        fail_msg("seed %llu, %s: %s\n%s", (unsigned long long) seed,
                 changed == NONE ? "unequal" : members[changed].name, one, two);
    }

    if (ok && changed == NONE) {
        assert_int_equal(a.vcpus, b.vcpus);
        assert_int_equal(a.memory_mb, b.memory_mb);
        assert_int_equal(a.disk_mb, b.disk_mb);
        assert_int_equal(a.timeout_ms, b.timeout_ms);
        assert_int_equal(a.cwd == NULL, b.cwd == NULL);
    }

    sandbox_create_free(&a);
    sandbox_create_free(&b);
    free(one);
    free(two);

    return ok;
}


static void
test_spellings(void **state)
{
    int fit;
    uint64_t i;

    (void) state;

    for (i = 1, fit = 0; i <= ROUNDS; i++) {
        fit += compare(i, NONE);
    }

    assert_true(fit > ROUNDS / 2);
}


static void
test_changes(void **state)
{
    size_t changed;
    uint64_t i;

    (void) state;

    for (i = 1; i <= ROUNDS; i++) {
        changed = i % COUNT(members);

        /* these have no other value, or none that is built */
        if (members[changed].max || members[changed].values[1]
            || strcmp(members[changed].name, "metadata") == 0)
        {
            (void) compare(i, changed);
        }
    }
}


static void
test_faults(void **state)
{
    char *body;
    uint64_t i;
    const char *field;
    sandbox_create_t create;
    sandbox_body_error_t err;
    sandbox_body_status_t rc;
    recipe_t recipe = { NONE, NULL, NULL };

    (void) state;

    for (i = 1; i <= ROUNDS; i++) {
        recipe.fault = &faults[i % COUNT(faults)];
        body = spell_body(shape_of(i), i, &recipe);
        field = recipe.fault->field;

        if (recipe.metadata && strlen(recipe.metadata) > SANDBOX_METADATA_MAX) {
            field = NULL; /* two faults: either is named */
        }

        rc = create_parse(&create, &err, body);

        if (rc == SANDBOX_BODY_OK || err.reason[0] == '\0'
            || (field && strcmp(err.field, field) != 0))
        {
            fail_msg("seed %llu, %s %s: status %d, field \"%s\", reason "
                     "\"%s\": %s",
                     (unsigned long long) seed, recipe.fault->member,
                     recipe.fault->value, rc, err.field, err.reason, body);
        }

        free(recipe.metadata);
        free(body);
    }
}


/* Changes, drops or repeats some bytes; body has room for 16 more. */
static void
mutate(char *body, uint64_t *random)
{
    size_t len, at, n;

    len = strlen(body);
    at = random_draw(random, (uint32_t) len);
    n = 1 + random_draw(random, 8);

    if (n > len - at) {
        n = len - at;
    }

    switch (random_draw(random, 4)) {
    case 0:
        body[at] = (char) (1 + random_draw(random, 255));
        break;
    case 1:
        body[at] = "{}[]\",:\\0e-"[random_draw(random, 11)];
        break;
    case 2:
        memmove(body + at, body + at + n, len - at - n + 1);
        break;
    default:
        memmove(body + at + n, body + at, len - at + 1);
    }
}


static void
test_mutations(void **state)
{
    char *body, *copy;
    int j;
    uint64_t i, random;
    sandbox_create_t create;
    sandbox_body_error_t err;
    sandbox_body_status_t rc;
    recipe_t recipe = { NONE, NULL, NULL };

    (void) state;

    random = shape_of(0);

    for (i = 1; i <= ROUNDS / 4; i++) {
        body = spell_body(shape_of(i), i, &recipe);
        free(recipe.metadata);

        for (j = 0; j < MUTATIONS; j++) {
            copy = malloc(strlen(body) + 16);
            assert_non_null(copy);
            (void) strcpy(copy, body);
            mutate(copy, &random);
            rc = create_parse(&create, &err, copy);

            if (rc == SANDBOX_BODY_OK) {
                sandbox_create_free(&create);

            } else if (err.reason[0] == '\0'
                       || (rc != SANDBOX_BODY_INVALID_JSON
                           && err.field[0] == '\0'))
            {
                fail_msg("seed %llu: status %d, field \"%s\", reason \"%s\": "
                         "%s",
                         (unsigned long long) seed, rc, err.field, err.reason,
                         copy);
            }

            free(copy);
        }

        free(body);
    }
}


int
main(void)
{
    const char *given;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_mutations),
    };

    given = getenv("SANDBOX_TEST_SEED");
    seed = given ? strtoull(given, NULL, 10)
                 : (uint64_t) time(NULL) << 16 ^ (uint64_t) getpid();
    print_message("# SANDBOX_TEST_SEED=%llu\n", (unsigned long long) seed);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
