/*
 * Identifiers: sandbox ids, request ids, tokens, and what is derived from
 * them.
 *
 * An id is a prefix ("sb_"), a two-character shard and 18 random characters
 * of [a-z2-7] (90 bits from getrandom).  The shard is a digest of the tenant:
 * it makes every Redis key of a sandbox and of its tenant's index computable
 * from the id alone, and puts them in one cluster slot.
 *
 * Any thread.
 */

#ifndef SANDBOX_ID_H
#define SANDBOX_ID_H

#include <stddef.h>
#include <stdint.h>

#define SANDBOX_SHARD_LEN 2
#define SANDBOX_ID_RANDOM_LEN 18
#define SANDBOX_ID_BODY_LEN (SANDBOX_SHARD_LEN + SANDBOX_ID_RANDOM_LEN)
#define SANDBOX_ID_LEN (sizeof("sb_") - 1 + SANDBOX_ID_BODY_LEN)
#define SANDBOX_ID_SIZE 32   /* any id of ours and its NUL */
#define SANDBOX_UUID_SIZE 37 /* text form and its NUL */
#define SANDBOX_REQUEST_ID_LEN (sizeof("req_") - 1 + 16)
#define SANDBOX_TOKEN_SIZE 33 /* 160 random bits in base32 and its NUL */

/*
 * prefix is at most 5 characters ("sb_"); shard is SANDBOX_SHARD_LEN
 * characters, or NULL for random ones.
 * 0, or -1 if the kernel gives no randomness; id must not be used then.
 */
int sandbox_id_make(char id[SANDBOX_ID_SIZE], const char *prefix,
                    const char *shard);
int sandbox_token_make(char token[SANDBOX_TOKEN_SIZE]);

/* "req_" and 80 random bits; cheap, since each request gets one.  0 or -1. */
int sandbox_request_id_make(char id[SANDBOX_ID_SIZE]);

/* The shard of a tenant: characters of [a-z2-7], not NUL-terminated. */
void
sandbox_id_shard(char shard[SANDBOX_SHARD_LEN], const char *tenant, size_t len);

/*
 * Reads an id as a client wrote it: "sb_…" or, as in host names, "sb-…";
 * the canonical spelling with its NUL goes to id.  0, or -1 if it cannot be
 * an id with that prefix ("sb").
 */
int sandbox_id_parse(char id[SANDBOX_ID_SIZE], const char *prefix,
                     const char *text, size_t len);

/* The same for prefix "sb" and a text of at least "sb_" and 20 characters. */
int sandbox_id_parse_sandbox(char id[SANDBOX_ID_SIZE], const char *text);

/*
 * The libvirt UUID of an execution (RFC 9562 version 8 layout over
 * SHA-256 of the id), so that a domain can be found from the id alone.
 */
int sandbox_id_uuid(char uuid[SANDBOX_UUID_SIZE], const char *id);

#endif
