/*
 * Domains and files of a test's own, for units that look at who needs which
 * file: libvirt's part, and that of the directory of disks.  What comes and
 * goes between two looks does so by hooks.
 */

#ifndef CHECKPOINT_WORLD_H
#define CHECKPOINT_WORLD_H

#include "sandbox_checkpoint_refs.h"

#define WORLD_MAX 64

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
} world_state_t;

typedef struct {
    struct _virDomain domains[WORLD_MAX];
    int ndomains;
    world_state_t states[WORLD_MAX];
    int nstates;
    char files[WORLD_MAX][64]; /* others */
    int nfiles;
    int64_t age; /* of all */

    int xmls;   /* of domains that were read */
    int reads;  /* of states */
    int listed; /* how often the directory was, if there is a hook */
    void (*at_list)(int times);
} world_t;

extern world_t world;

struct _virDomain *world_domain(const char *name, int id, const char *memory,
                                const char *layer, const char *below);
/* Its state: the memory is <id>.x.ram, the disk <id>.x.qcow2, on below. */
void world_checkpoint(const char *id, const char *below);
void world_file(const char *name);
int world_has(const char *name);
/* A file or a state goes. */
void world_lose(const char *name);
/* For cmocka: all of it is gone. */
int world_end(void **state);

#endif
