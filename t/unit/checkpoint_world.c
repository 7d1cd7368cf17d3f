/* A world for who looks at domains and checkpoints; see the header. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "checkpoint_world.h"

#include "sandbox_state_cache.h"

#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA "/nowhere"

world_t world;


/* --- libvirt -------------------------------------------------------------- */

int
virConnectListAllDomains(virConnectPtr virt, virDomainPtr **list,
                         unsigned int flags)
{
    int i;

    (void) virt;
    (void) flags;

    *list = calloc((size_t) world.ndomains + 1, sizeof(**list));
    assert_non_null(*list);

    for (i = 0; i < world.ndomains; i++) {
        (*list)[i] = &world.domains[i];
    }

    return world.ndomains;
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
    world.xmls++;

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

int
sandbox_disk_path(char *path, const char *name)
{
    (void) snprintf(path, SANDBOX_HV_PATH_SIZE, DATA "/%s", name);
    return 0;
}


static world_state_t *
find(const char *name)
{
    int i;

    for (i = 0; i < world.nstates; i++) {
        if (strcmp(world.states[i].name, name) == 0 && world.states[i].text) {
            return &world.states[i];
        }
    }

    return NULL;
}


int
sandbox_disk_stat(const char *name, struct stat *st)
{
    const world_state_t *state;

    state = find(name);
    memset(st, 0, sizeof(*st));
    st->st_size = state ? (off_t) state->len : 0;

    return state != NULL;
}


int64_t
sandbox_disk_age(const char *name)
{
    (void) name;
    return world.age;
}


sandbox_hv_status_t
sandbox_disk_head(sandbox_hv_conn_t *c, const char *name, size_t max,
                  unsigned char **data, size_t *size, sandbox_hv_error_t *err)
{
    const world_state_t *state;

    (void) c;
    (void) max;
    state = find(name);
    world.reads++;
    *data = NULL;
    *size = 0;

    if (state) {
        *size = state->len;
        *data = malloc(state->len + 1);
        assert_non_null(*data);
        memcpy(*data, state->text, state->len);
    }

    return sandbox_hv_ok(err);
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


sandbox_hv_status_t
sandbox_disk_names(sandbox_hv_conn_t *c, const char *prefix, char ***names,
                   size_t *n, sandbox_hv_error_t *err)
{
    int i;

    (void) c;
    (void) prefix;
    *n = 0;
    *names = calloc(2 * WORLD_MAX, sizeof(**names));
    assert_non_null(*names);

    for (i = 0; i < world.nstates; i++) {
        (*names)[(*n)++] = strdup(world.states[i].name);
    }

    for (i = 0; i < world.nfiles; i++) {
        (*names)[(*n)++] = strdup(world.files[i]);
    }

    qsort(*names, *n, sizeof(**names), compare);

    if (world.at_list) {
        world.at_list(++world.listed);
    }

    return sandbox_hv_ok(err);
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
sandbox_checkpoint_drain(const char *sandbox, int64_t deadline_ms)
{
    (void) sandbox;
    (void) deadline_ms;
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


/* --- what is in it -------------------------------------------------------- */

struct _virDomain *
world_domain(const char *name, int id, const char *memory, const char *layer,
             const char *below)
{
    struct _virDomain *d;

    d = &world.domains[world.ndomains++];
    memset(d, 0, sizeof(*d));
    d->id = id;
    (void) snprintf(d->name, sizeof(d->name), "%s", name);
    (void) snprintf(d->memory, sizeof(d->memory), "%s", memory);
    (void) snprintf(d->layers[0], sizeof(d->layers[0]), "%s.qcow2", name);
    (void) snprintf(d->layers[1], sizeof(d->layers[1]), "%s", layer);
    (void) snprintf(d->layers[2], sizeof(d->layers[2]), "%s", below);

    return d;
}


void
world_checkpoint(const char *id, const char *below)
{
    char ram[64], disk[64], stands[64], text[16] = "x";
    world_state_t *state;
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

    state = &world.states[world.nstates++];
    (void) snprintf(state->name, sizeof(state->name), "%s.state", id);
    state->text = (char *) sandbox_checkpoint_write(
        &c, (const unsigned char *) text, 1, &state->len);
    assert_non_null(state->text);
}


void
world_file(const char *name)
{
    (void) snprintf(world.files[world.nfiles++], sizeof(world.files[0]), "%s",
                    name);
}


int
world_has(const char *name)
{
    int i;

    for (i = 0; i < world.nfiles; i++) {
        if (strcmp(world.files[i], name) == 0) {
            return 1;
        }
    }

    return 0;
}


void
world_lose(const char *name)
{
    int i;

    for (i = 0; i < world.nfiles; i++) {
        if (strcmp(world.files[i], name) == 0) {
            memcpy(world.files[i], world.files[--world.nfiles],
                   sizeof(world.files[i]));
            return;
        }
    }

    for (i = 0; i < world.nstates; i++) {
        if (strcmp(world.states[i].name, name) == 0) {
            free(world.states[i].text);
            world.states[i] = world.states[--world.nstates];
            return;
        }
    }
}


int
world_end(void **state)
{
    (void) state;

    while (world.nstates) {
        free(world.states[--world.nstates].text);
    }

    memset(&world, 0, sizeof(world));
    sandbox_state_cache_trim(NULL, 0);
    return 0;
}
