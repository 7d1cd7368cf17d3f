/* Identifiers; see the header. */

#include "sandbox_id.h"

#include "sandbox_digest.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define SANDBOX_TOKEN_LEN (SANDBOX_TOKEN_SIZE - 1)
#define SANDBOX_PREFIX_MAX (SANDBOX_ID_SIZE - SANDBOX_ID_BODY_LEN - 1)

#define SANDBOX_RANDOM_SIZE 1024

/*
 * Randomness that was fetched and not yet given out: a system call for each
 * identifier costs more than all else about it.
 */
typedef struct {
    size_t left; /* at the end of buf */
    uint8_t buf[SANDBOX_RANDOM_SIZE];
} sandbox_random_t;

static _Thread_local sandbox_random_t sandbox_random_pool;
static pthread_once_t sandbox_random_once = PTHREAD_ONCE_INIT;

static const char sandbox_base32[] = "abcdefghijklmnopqrstuvwxyz234567";


/* In a child: what its parent has fetched is its parent's. */
static void
sandbox_random_forked(void)
{
    sandbox_random_pool.left = 0;
}


static void
sandbox_random_init(void)
{
    (void) pthread_atfork(NULL, NULL, sandbox_random_forked);
}


static int
sandbox_random_fetch(sandbox_random_t *pool)
{
    size_t have;
    ssize_t n;

    (void) pthread_once(&sandbox_random_once, sandbox_random_init);

    /* a signal may cut it short */
    for (have = 0; have < sizeof(pool->buf); have += (size_t) n) {
        n = getrandom(pool->buf + have, sizeof(pool->buf) - have, 0);

        if (n == -1 && errno == EINTR) {
            n = 0;
        }

        if (n == -1) {
            return -1;
        }
    }

    pool->left = sizeof(pool->buf);

    return 0;
}


/* len is at most SANDBOX_RANDOM_SIZE. */
static int
sandbox_random(uint8_t *buf, size_t len)
{
    uint8_t *p;
    sandbox_random_t *pool;

    pool = &sandbox_random_pool;

    if (pool->left < len && sandbox_random_fetch(pool) != 0) {
        return -1;
    }

    p = pool->buf + sizeof(pool->buf) - pool->left;
    memcpy(buf, p, len);
    explicit_bzero(p, len);
    pool->left -= len;

    return 0;
}


/* n random characters, five bits each; n is at most SANDBOX_TOKEN_LEN. */
static int
sandbox_random_text(char *out, size_t n)
{
    size_t i;
    uint8_t buf[SANDBOX_TOKEN_LEN];

    if (n > sizeof(buf) || sandbox_random(buf, n) != 0) {
        return -1;
    }

    for (i = 0; i < n; i++) {
        out[i] = sandbox_base32[buf[i] & 31];
    }

    return 0;
}


int
sandbox_id_make(char id[SANDBOX_ID_SIZE], const char *prefix, const char *shard)
{
    size_t n;

    n = strlen(prefix);

    if (n > SANDBOX_PREFIX_MAX) {
        return -1;
    }

    memcpy(id, prefix, n);

    if (sandbox_random_text(id + n, SANDBOX_ID_BODY_LEN) != 0) {
        return -1;
    }

    if (shard) {
        memcpy(id + n, shard, SANDBOX_SHARD_LEN);
    }

    id[n + SANDBOX_ID_BODY_LEN] = '\0';

    return 0;
}


int
sandbox_token_make(char token[SANDBOX_TOKEN_SIZE])
{
    token[SANDBOX_TOKEN_LEN] = '\0';

    return sandbox_random_text(token, SANDBOX_TOKEN_LEN);
}


void
sandbox_id_shard(char shard[SANDBOX_SHARD_LEN], const char *tenant, size_t len)
{
    size_t i;
    uint32_t hash;

    hash = 2166136261u; /* FNV-1a: for spreading, not for secrecy */

    for (i = 0; i < len; i++) {
        hash = (hash ^ (uint8_t) tenant[i]) * 16777619u;
    }

    for (i = 0; i < SANDBOX_SHARD_LEN; i++) {
        shard[i] = sandbox_base32[(hash >> (i * 5 + 10)) & 31];
    }
}


int
sandbox_id_parse(char id[SANDBOX_ID_SIZE], const char *prefix, const char *text,
                 size_t len)
{
    char c;
    size_t i, n;

    n = strlen(prefix);

    if (n + 1 > SANDBOX_PREFIX_MAX || len != n + 1 + SANDBOX_ID_BODY_LEN
        || memcmp(text, prefix, n) != 0 || (text[n] != '_' && text[n] != '-'))
    {
        return -1;
    }

    for (i = n + 1; i < len; i++) {
        c = text[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= '2' && c <= '7')) {
            return -1;
        }
    }

    memcpy(id, text, len);
    id[n] = '_';
    id[len] = '\0';

    return 0;
}


int
sandbox_id_uuid(char uuid[SANDBOX_UUID_SIZE], const char *id)
{
    char hex[SANDBOX_SHA256_HEX_SIZE];
    uint8_t digest[SANDBOX_SHA256_LEN];

    if (sandbox_sha256(digest, id, strlen(id)) != 0) {
        return -1;
    }

    digest[6] = (uint8_t) ((digest[6] & 0x0f) | 0x80); /* version 8 */
    digest[8] = (uint8_t) ((digest[8] & 0x3f) | 0x80); /* variant */

    sandbox_hex(hex, digest, sizeof(digest));
    (void) snprintf(uuid, SANDBOX_UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex,
                    hex + 8, hex + 12, hex + 16, hex + 20);

    return 0;
}
