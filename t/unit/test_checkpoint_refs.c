/* Who needs which file: domains and states of the test's own, some of which
 * come and go between the looks.  libvirt's part is played here. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox_checkpoint_refs.h"
#include "sandbox_state_cache.h"

#define MAX 64
#define DATA "/nowhere"

struct _virDomain {
    char name[SANDBOX_ID_SIZE];
    int id;
    char memory[64];
    char layers[3][64];
    unsigned gone : 1;
};

typedef struct {
    char name[SANDBOX_CHECKPOINT_NAME_SIZE];
    char *text; /* NULL: it goes as it is looked at */
    size_t len;
} a_state_t;

static sandbox_hv_conn_t conn;
static struct _virDomain domains[MAX];
static int ndomains;
static a_state_t states[MAX];
static int nstates;

static int xmls;    /* of domains that were read */
static int reads;   /* of states */
static int listed;  /* how often the directory was */
static int64_t age; /* of all files */
static void (*at_list)(int times);


/* --- libvirt -------------------------------------------------------------- */

int
virConnectListAllDomains(virConnectPtr virt, virDomainPtr **list,
                         unsigned int flags)
{
    int i;

    (void) virt;
    (void) flags;

    *list = calloc((size_t) ndomains + 1, sizeof(**list));
    assert_non_null(*list);

    for (i = 0; i < ndomains; i++) {
        (*list)[i] = &domains[i];
    }

    return ndomains;
}


const char *
virDomainGetName(virDomainPtr domain)
{
    return domain->name;
}


unsigned int
virDomainGetID(virDomainPtr domain)
{
    return (unsigned int) domain->id;
}


char *
virDomainGetXMLDesc(virDomainPtr domain, unsigned int flags)
{
    int i;
    char xml[2048];
    size_t n;

    (void) flags;
    xmls++;

    if (domain->gone) {
        return NULL;
    }

    n = (size_t) snprintf(xml, sizeof(xml), "<domain><devices><disk>");

    for (i = 0; i < 3 && domain->layers[i][0]; i++) {
        n += (size_t) snprintf(xml + n, sizeof(xml) - n,
                               "%s<source file='/elsewhere/%s'/>",
                               i ? "<backingStore>" : "", domain->layers[i]);
    }

    while (--i > 0) {
        n += (size_t) snprintf(xml + n, sizeof(xml) - n, "</backingStore>");
    }

    (void) snprintf(xml + n, sizeof(xml) - n,
                    "</disk></devices><commandline>"
                    "<arg value='{&quot;mem-path&quot;:&quot;/m/%s&quot;}'/>"
                    "</commandline></domain>",
                    domain->memory);
    return strdup(xml);
}


int
virDomainFree(virDomainPtr domain)
{
    (void) domain;
    return 0;
}


int
virGetLastErrorCode(void)
{
    return VIR_ERR_NO_DOMAIN;
}


/* --- the rest of the room ------------------------------------------------- */

sandbox_hv_status_t
sandbox_hv_fail(sandbox_hv_error_t *err, sandbox_hv_conn_t *c, const char *fmt,
                ...)
{
    (void) c;
    return sandbox_hv_set(err, SANDBOX_HV_FAILED, "%s", fmt);
}


int
sandbox_disk_path(char *path, const char *name)
{
    (void) snprintf(path, SANDBOX_HV_PATH_SIZE, DATA "/%s", name);
    return 0;
}


static a_state_t *
find(const char *name)
{
    int i;

    for (i = 0; i < nstates; i++) {
        if (strcmp(states[i].name, name) == 0 && states[i].text) {
            return &states[i];
        }
    }

    return NULL;
}


int
sandbox_disk_stat(const char *name, struct stat *st)
{
    const a_state_t *state;

    state = find(name);
    memset(st, 0, sizeof(*st));
    st->st_size = state ? (off_t) state->len : 0;

    return state != NULL;
}


int64_t
sandbox_disk_age(const char *name)
{
    (void) name;
    return age;
}


sandbox_hv_status_t
sandbox_disk_head(sandbox_hv_conn_t *c, const char *name, size_t max,
                  unsigned char **data, size_t *size, sandbox_hv_error_t *err)
{
    const a_state_t *state;

    (void) c;
    (void) max;
    state = find(name);
    reads++;
    *data = NULL;
    *size = 0;

    if (state) {
        *size = state->len;
        *data = malloc(state->len + 1);
        assert_non_null(*data);
        memcpy(*data, state->text, state->len);
    }

    return sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");
}


sandbox_hv_status_t
sandbox_disk_get(sandbox_hv_conn_t *c, const char *name, size_t max,
                 unsigned char **data, size_t *size, sandbox_hv_error_t *err)
{
    return sandbox_disk_head(c, name, max, data, size, err);
}


static int
compare(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}


/* The states alone: what else is there does not matter to a look. */
sandbox_hv_status_t
sandbox_disk_names(sandbox_hv_conn_t *c, const char *prefix, char ***names,
                   size_t *n, sandbox_hv_error_t *err)
{
    int i;

    (void) c;
    (void) prefix;
    *n = 0;
    *names = calloc(MAX, sizeof(**names));
    assert_non_null(*names);

    for (i = 0; i < nstates; i++) {
        (*names)[(*n)++] = strdup(states[i].name);
    }

    qsort(*names, *n, sizeof(**names), compare);

    if (at_list) {
        at_list(++listed);
    }

    return sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");
}


void
sandbox_disk_names_free(char **names, size_t n)
{
    while (n) {
        free(names[--n]);
    }

    free(names);
}


int
sandbox_disk_names_have(char **names, size_t n, const char *name)
{
    return n && bsearch(&name, names, n, sizeof(*names), compare) != NULL;
}


int
sandbox_checkpoint_drain(const char *sandbox, int64_t deadline)
{
    (void) sandbox;
    (void) deadline;
    return 1;
}


sandbox_hv_status_t
sandbox_disk_chain(sandbox_hv_conn_t *c, virDomainPtr domain,
                   sandbox_disk_chain_t *chain, sandbox_hv_error_t *err)
{
    (void) c;
    (void) domain;
    memset(chain, 0, sizeof(*chain));
    return sandbox_hv_set(err, SANDBOX_HV_FAILED, "no QEMU");
}


void
sandbox_disk_chain_free(sandbox_disk_chain_t *chain)
{
    (void) chain;
}


int
sandbox_checkpoint_id(char id[SANDBOX_ID_SIZE], const char *name)
{
    (void) snprintf(id, SANDBOX_ID_SIZE, "%.*s", (int) strcspn(name, "."),
                    name);
    return strncmp(name, "sb_", 3) == 0 ? -1 : 0;
}


int
sandbox_checkpoint_ends(const char *name, const char *suffix)
{
    return strlen(name) > strlen(suffix)
           && strcmp(name + strlen(name) - strlen(suffix), suffix) == 0;
}


/* --- domains and states --------------------------------------------------- */

static struct _virDomain *
domain(const char *name, int id, const char *memory, const char *layer,
       const char *below)
{
    struct _virDomain *d;

    d = &domains[ndomains++];
    memset(d, 0, sizeof(*d));
    d->id = id;
    (void) snprintf(d->name, sizeof(d->name), "%s", name);
    (void) snprintf(d->memory, sizeof(d->memory), "%s", memory);
    (void) snprintf(d->layers[0], sizeof(d->layers[0]), "%s.qcow2", name);
    (void) snprintf(d->layers[1], sizeof(d->layers[1]), "%s", layer);
    (void) snprintf(d->layers[2], sizeof(d->layers[2]), "%s", below);

    return d;
}


/* Its memory is <id>.x.ram, its disk <id>.x.qcow2, on below. */
static void
checkpoint(const char *id, const char *below)
{
    char ram[64], disk[64], stands[64], text[16] = "x";
    a_state_t *state;
    sandbox_checkpoint_t c;

    (void) snprintf(ram, sizeof(ram), "%s.x.ram", id);
    (void) snprintf(disk, sizeof(disk), "/d/%s.x.qcow2", id);
    (void) snprintf(stands, sizeof(stands), "/d/%s", below);
    memset(&c, 0, sizeof(c));
    c.id = c.template = c.version = c.kernel = c.initrd = c.cmdline = text;
    c.machine = c.accel = c.cpu = text;
    c.ram = ram;
    c.layers[0] = disk;
    c.layers[1] = stands;

    state = &states[nstates++];
    (void) snprintf(state->name, sizeof(state->name), "%s.state", id);
    state->text = (char *) sandbox_checkpoint_write(
        &c, (const unsigned char *) text, 1, &state->len);
    assert_non_null(state->text);
}


static int
teardown(void **state)
{
    (void) state;

    while (nstates) {
        free(states[--nstates].text);
    }

    ndomains = xmls = reads = listed = 0;
    at_list = NULL;
    age = 0;
    sandbox_state_cache_trim(NULL, 0);
    return 0;
}


static sandbox_checkpoint_refs_t
look(void)
{
    sandbox_hv_error_t err;
    sandbox_checkpoint_refs_t refs;

    memset(&refs, 0, sizeof(refs));
    assert_int_equal(sandbox_checkpoint_refs(&conn, &refs, &err),
                     SANDBOX_HV_OK);
    return refs;
}


static const char *
by(const sandbox_checkpoint_refs_t *refs, const char *file)
{
    const sandbox_checkpoint_ref_t *ref;

    ref = sandbox_checkpoint_refs_file(refs, file);
    return ref ? ref->by : "";
}


/* --- tests ---------------------------------------------------------------- */

static void
test_who(void **state)
{
    sandbox_checkpoint_refs_t refs;
    char a[] = "snap_a.state", t[] = "snap_t.state";
    char *names[] = { a, t };

    (void) state;

    domain("sb_z", 1, "snap_a.x.ram", "snap_a.x.qcow2", "boot_l.x.qcow2");
    domain("sb_b", 2, "snap_ab.x.ram", "snap_ab.x.qcow2", "boot_m.x.qcow2");
    domain("snap_m", 3, "snap_m.x.ram", "boot_m.x.qcow2", "");
    checkpoint("snap_a", "boot_l.x.qcow2");
    checkpoint("snap_c", "snap_g.x.qcow2");
    refs = look();

    assert_string_equal(by(&refs, "snap_a.x.ram"), "sb_z"); /* who runs first */
    assert_string_equal(by(&refs, "boot_l.x.qcow2"), "sb_z");
    assert_string_equal(by(&refs, "snap_c.x.ram"), "snap_c");
    assert_string_equal(by(&refs, "snap_g.x.qcow2"), "snap_c");
    assert_string_equal(by(&refs, "snap_g.x.ram"), "");
    assert_string_equal(by(&refs, ""), "");

    assert_string_equal(sandbox_checkpoint_refs_id(&refs, "snap_a", 1)->by,
                        "sb_z");
    assert_string_equal(sandbox_checkpoint_refs_id(&refs, "snap_g", 0)->by,
                        "snap_c");
    assert_null(sandbox_checkpoint_refs_id(&refs, "snap_g", 1));
    assert_null(sandbox_checkpoint_refs_id(&refs, "snap_c", 0));
    assert_null(sandbox_checkpoint_refs_id(&refs, "snap_", 0));

    assert_true(sandbox_checkpoint_refs_domain(&refs, "sb_b"));
    assert_false(sandbox_checkpoint_refs_domain(&refs, "snap_a"));
    assert_true(sandbox_checkpoint_refs_read(&refs, "snap_a"));
    assert_false(sandbox_checkpoint_refs_read(&refs, "sb_b"));

    assert_int_equal(sandbox_checkpoint_refs_needed(&refs, names, 2, "boot_l",
                                                    "boot_l.x.qcow2"),
                     SANDBOX_CHECKPOINT_NEEDED);
    assert_int_equal(sandbox_checkpoint_refs_needed(&refs, names, 2, "snap_m",
                                                    "snap_m.y.qcow2"),
                     SANDBOX_CHECKPOINT_MAKING);
    assert_int_equal(sandbox_checkpoint_refs_needed(&refs, names, 2, "snap_t",
                                                    "snap_t.x.qcow2"),
                     SANDBOX_CHECKPOINT_UNREAD);
    assert_int_equal(sandbox_checkpoint_refs_needed(&refs, names, 2, "snap_a",
                                                    "snap_a.y.qcow2"),
                     SANDBOX_CHECKPOINT_SPARE);
    assert_int_equal(sandbox_checkpoint_refs_needed(&refs, names, 2, "snap_q",
                                                    "snap_q.x.qcow2"),
                     SANDBOX_CHECKPOINT_SPARE);
    assert_false(refs.unsettled);
    sandbox_checkpoint_refs_free(&refs);
}


/* A domain is read once, unless it is another one or was just starting. */
static void
test_domains_once(void **state)
{
    struct _virDomain *d;
    sandbox_hv_error_t err;
    sandbox_checkpoint_refs_t refs;

    (void) state;

    domain("sb_a", 1, "snap_a.x.ram", "snap_a.x.qcow2", "");
    d = domain("sb_b", 2, "snap_b.x.ram", "", "");
    refs = look();
    assert_int_equal(xmls, 3); /* sb_b says nothing of what it stands on */

    (void) snprintf(d->layers[1], sizeof(d->layers[1]), "snap_b.x.qcow2");
    assert_int_equal(sandbox_checkpoint_refs_domains(&conn, &refs, &err), 0);
    assert_int_equal(xmls, 4);
    assert_string_equal(by(&refs, "snap_b.x.qcow2"), "sb_b");

    d->id = 7; /* taken, and started again */
    (void) snprintf(d->layers[1], sizeof(d->layers[1]), "snap_c.x.qcow2");
    domain("sb_d", 8, "snap_d.x.ram", "snap_d.x.qcow2", "");
    domain("sb_e", 9, "snap_e.x.ram", "snap_e.x.qcow2", "")->gone = 1;
    assert_int_equal(sandbox_checkpoint_refs_domains(&conn, &refs, &err), 0);
    assert_int_equal(xmls, 7);
    assert_string_equal(by(&refs, "snap_c.x.qcow2"), "sb_b");
    assert_string_equal(by(&refs, "snap_b.x.qcow2"), "sb_b");
    assert_string_equal(by(&refs, "snap_d.x.ram"), "sb_d");
    assert_string_equal(by(&refs, "snap_e.x.ram"), "");

    ndomains = 0; /* what was seen stays */
    assert_int_equal(sandbox_checkpoint_refs_domains(&conn, &refs, &err), 0);
    assert_string_equal(by(&refs, "snap_a.x.ram"), "sb_a");
    sandbox_checkpoint_refs_free(&refs);
}


static void
test_memories(void **state)
{
    sandbox_hv_error_t err;
    sandbox_checkpoint_refs_t refs;

    (void) state;

    domain("sb_a", 1, "snap_a.x.ram", "snap_a.x.qcow2", "");
    memset(&refs, 0, sizeof(refs));
    refs.memories = 1;
    assert_int_equal(sandbox_checkpoint_refs_domains(&conn, &refs, &err), 0);
    assert_string_equal(by(&refs, "snap_a.x.ram"), "sb_a");
    assert_string_equal(by(&refs, "snap_a.x.qcow2"), "");
    sandbox_checkpoint_refs_free(&refs);
}


static void
test_read_once(void **state)
{
    int i;
    sandbox_checkpoint_refs_t refs;

    (void) state;

    checkpoint("snap_a", "boot_l.x.qcow2");

    /* one that was made just now is not kept */
    for (i = 1; i <= 2; i++) {
        refs = look();
        assert_int_equal(reads, i);
        sandbox_checkpoint_refs_free(&refs);
    }

    age = 60000;

    for (i = 0; i < 3; i++) {
        refs = look();
        assert_int_equal(reads, 3);
        assert_string_equal(by(&refs, "snap_a.x.ram"), "snap_a");
        assert_string_equal(by(&refs, "boot_l.x.qcow2"), "snap_a");
        sandbox_checkpoint_refs_free(&refs);
    }

    /* another of its name */
    nstates = 0;
    free(states[0].text);
    checkpoint("snap_a", "boot_longer.x.qcow2");
    refs = look();
    assert_int_equal(reads, 4);
    assert_string_equal(by(&refs, "boot_l.x.qcow2"), "");
    assert_string_equal(by(&refs, "boot_longer.x.qcow2"), "snap_a");
    sandbox_checkpoint_refs_free(&refs);
}


static void
goes(int times)
{
    if (times == 1) {
        /* paused anew, and the one it was woken from is discarded */
        checkpoint("snap_b", "boot_l.x.qcow2");
        free(states[0].text);
        states[0].text = NULL;

    } else if (states[0].text == NULL) {
        states[0] = states[--nstates];
    }
}


/* One that goes between the listing and the reading hides no successor. */
static void
test_successor(void **state)
{
    sandbox_checkpoint_refs_t refs;

    (void) state;

    checkpoint("snap_a", "boot_l.x.qcow2");
    at_list = goes;
    refs = look();
    assert_int_equal(listed, 4); /* the second listing has it still */
    assert_string_equal(by(&refs, "boot_l.x.qcow2"), "snap_b");
    assert_false(refs.unsettled);
    sandbox_checkpoint_refs_free(&refs);
}


static void
comes(int times)
{
    if (times == 1) {
        checkpoint("snap_b", "boot_m.x.qcow2");
    }
}


/* One that is not listed yet, of a domain that is gone before it is seen. */
static void
test_late(void **state)
{
    sandbox_checkpoint_refs_t refs;

    (void) state;

    checkpoint("snap_a", "boot_l.x.qcow2");
    at_list = comes;
    refs = look();
    assert_int_equal(listed, 3);
    assert_string_equal(by(&refs, "boot_l.x.qcow2"), "snap_a");
    assert_string_equal(by(&refs, "boot_m.x.qcow2"), "snap_b");
    assert_false(refs.unsettled);
    sandbox_checkpoint_refs_free(&refs);
}


static void
test_unsettled(void **state)
{
    sandbox_checkpoint_refs_t refs;

    (void) state;

    /* one is always gone */
    checkpoint("snap_a", "boot_l.x.qcow2");
    free(states[0].text);
    states[0].text = NULL;
    refs = look();
    assert_true(refs.unsettled);
    sandbox_checkpoint_refs_free(&refs);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_who, teardown),
        cmocka_unit_test_teardown(test_domains_once, teardown),
        cmocka_unit_test_teardown(test_memories, teardown),
        cmocka_unit_test_teardown(test_read_once, teardown),
        cmocka_unit_test_teardown(test_successor, teardown),
        cmocka_unit_test_teardown(test_late, teardown),
        cmocka_unit_test_teardown(test_unsettled, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
