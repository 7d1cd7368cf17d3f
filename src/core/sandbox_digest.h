/*
 * Digests and constant-time comparison.  Any thread.  Each thread has a digest
 * context of its own, which caches what OpenSSL 3 else looks up at every call.
 */

#ifndef SANDBOX_DIGEST_H
#define SANDBOX_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define SANDBOX_SHA256_LEN 32
#define SANDBOX_SHA256_HEX_SIZE 65

/* SHA-256 with a per-thread context; 0 or -1 when OpenSSL fails. */
int
sandbox_sha256(uint8_t out[SANDBOX_SHA256_LEN], const void *data, size_t len);

/* Lower-case hex; out has 2 * len + 1 bytes. */
void sandbox_hex(char *out, const uint8_t *data, size_t len);

/* 1 if equal; the time depends on len only. */
int sandbox_equal_const_time(const void *a, const void *b, size_t len);

#endif
