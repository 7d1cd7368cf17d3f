/*
 * What is written of a checkpoint beside its memory and its disk: one file,
 *
 *   sandbox-checkpoint 1 <SHA-256 of the rest in hex> <length of the JSON>\n
 *   {"id": …, "template": …, …}\n
 *   <device state as QEMU gave it>
 *
 * It is written last, so there is no checkpoint without it; and since its
 * digest covers all of it, a torn one is recognised whatever tore it.
 *
 * Pure functions; any thread.
 */

#ifndef SANDBOX_CHECKPOINT_FILE_H
#define SANDBOX_CHECKPOINT_FILE_H

#include <stddef.h>
#include <stdint.h>

#define SANDBOX_CHECKPOINT_LAYERS 32

/* Strings are malloc'd and its own. */
typedef struct {
    char *id;
    char *template; /* name and version, for people */
    char *version;
    char *kernel; /* of the domain it was taken of, as are the next */
    char *initrd;
    char *cmdline;
    char *machine;
    char *accel; /* "kvm" or "tcg" */
    char *cpu;   /* of the host under KVM, else "" */
    char *ram;   /* name of the memory's file, beside this one */
    int64_t qemu;
    int64_t vcpus;
    int64_t memory_mb;
    int64_t disk_mb; /* virtual size of layers[0] */
    int64_t lived;   /* 1: its guest was configured once, 0: never */

    /* of the disk, nearest first; the last one is the template's */
    char *layers[SANDBOX_CHECKPOINT_LAYERS + 1];
} sandbox_checkpoint_t;

void sandbox_checkpoint_free(sandbox_checkpoint_t *c);

/* The file, malloc'd, *size bytes of it; NULL: out of memory. */
unsigned char *
sandbox_checkpoint_write(const sandbox_checkpoint_t *c,
                         const unsigned char *state, size_t len, size_t *size);

/*
 * Reads what the function above wrote.  *state points into data.  0, or -1
 * with a static reason; *c is empty then.
 */
int sandbox_checkpoint_read(sandbox_checkpoint_t *c, const unsigned char *data,
                            size_t size, const unsigned char **state,
                            size_t *len, const char **reason);

/*
 * What it says, from its begin alone and unchecked: for who asks what files
 * are named in it, and starts nothing.  0, or -1: it cannot be read, or not
 * all of its JSON is in these size bytes; *c is empty then.
 */
int sandbox_checkpoint_read_head(sandbox_checkpoint_t *c,
                                 const unsigned char *data, size_t size);

#endif
