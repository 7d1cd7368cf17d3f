/*
 * The format of "<id>.state", a checkpoint's file beside its memory and disk:
 *
 *   sandbox-checkpoint 1 <SHA-256 of the rest in hex> <length of the JSON>\n
 *   {"id": …, "template": …, …}\n
 *   <device state as QEMU gave it>
 *
 * The file is written after memory and disk: a checkpoint exists once its file
 * does.  The digest covers all that follows it, so a torn file is recognised,
 * whatever tore it; it does not protect from a forger.
 *
 * Pure functions; any thread.
 */

#ifndef SANDBOX_CHECKPOINT_FILE_H
#define SANDBOX_CHECKPOINT_FILE_H

#include <stddef.h>
#include <stdint.h>

/* The most layers that a checkpoint's disk may have. */
#define SANDBOX_CHECKPOINT_LAYERS 32

/*
 * What the JSON says.  Strings are malloc'd and freed with the struct; in one
 * that was read, none is NULL.
 */
typedef struct {
    char *id;
    char *template; /* name and version of the template, for people */
    char *version;
    char *kernel; /* this and down to machine: of the domain's XML */
    char *initrd;
    char *cmdline;
    char *machine;
    char *accel;  /* "kvm" or "tcg" */
    char *cpu;    /* under KVM the host's CPU model, else "" */
    char *ram;    /* name of the memory's file, in the same directory */
    int64_t qemu; /* version: major * 1000000 + minor * 1000 + micro */
    int64_t vcpus;
    int64_t memory_mb;
    int64_t disk_mb; /* virtual size of layers[0] */
    int64_t lived;   /* 1: the guest was configured once, 0: never */

    /* paths of the disk's layers, nearest first, the template's disk last; up
       to a NULL */
    char *layers[SANDBOX_CHECKPOINT_LAYERS + 1];
} sandbox_checkpoint_t;

/* Frees the strings and zeroes *c, which stays the caller's. */
void sandbox_checkpoint_free(sandbox_checkpoint_t *c);

/*
 * The content of the file, malloc'd, *size bytes; state is the device state,
 * len bytes.  No string of *c may be NULL.  NULL: out of memory, or OpenSSL
 * failed.
 */
unsigned char *
sandbox_checkpoint_write(const sandbox_checkpoint_t *c,
                         const unsigned char *state, size_t len, size_t *size);

/*
 * Reads the content of a file and checks its digest, but not whether the
 * numbers make sense.  0: the caller frees *c, and *state, the device state of
 * *len bytes, points into data.  -1 with *reason, static; *c is empty then.
 */
int sandbox_checkpoint_read(sandbox_checkpoint_t *c, const unsigned char *data,
                            size_t size, const unsigned char **state,
                            size_t *len, const char **reason);

/*
 * Reads the JSON from the first size bytes of a file, without checking the
 * digest: for callers that need the names of files and start nothing.  0: the
 * caller frees *c.  -1: the JSON is malformed or not all in those bytes; *c is
 * empty then.
 */
int sandbox_checkpoint_read_head(sandbox_checkpoint_t *c,
                                 const unsigned char *data, size_t size);

#endif
