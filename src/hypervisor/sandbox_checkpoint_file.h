/*
 * The format of "<id>.state", a checkpoint's file beside its memory and disk:
 *
 *   sandbox-checkpoint 1 <SHA-256 of the rest in hex> <length of the JSON>\n
 *   {"id": …, "template": …, …}\n
 *   <device state as QEMU gave it>
 *
 * The file is written last, so there is no checkpoint without it; and since the
 * digest covers all of it, a torn file is recognised whatever tore it.
 *
 * Pure functions; any thread.
 */

#ifndef SANDBOX_CHECKPOINT_FILE_H
#define SANDBOX_CHECKPOINT_FILE_H

#include <stddef.h>
#include <stdint.h>

#define SANDBOX_CHECKPOINT_LAYERS 32

/* Strings are malloc'd and the struct's own. */
typedef struct {
    char *id;
    char *template; /* name and version, for people */
    char *version;
    char *kernel; /* of the domain it was taken of, down to machine */
    char *initrd;
    char *cmdline;
    char *machine;
    char *accel; /* "kvm" or "tcg" */
    char *cpu;   /* of the host under KVM, else "" */
    char *ram;   /* name of the memory's file, in the same directory */
    int64_t qemu;
    int64_t vcpus;
    int64_t memory_mb;
    int64_t disk_mb; /* virtual size of layers[0] */
    int64_t lived;   /* 1: its guest was configured once, 0: never */

    /* paths of the disk's layers, nearest first, the template's disk last */
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
 * Reads the JSON from the first size bytes of the file, without checking the
 * digest: for callers that need the names of files and start nothing.  0, or
 * -1: the JSON cannot be read, or is longer than that; *c is empty then.
 */
int sandbox_checkpoint_read_head(sandbox_checkpoint_t *c,
                                 const unsigned char *data, size_t size);

#endif
