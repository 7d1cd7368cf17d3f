/* Identifiers; see the header. */

#include "sandbox_id.h"

#include "sandbox_digest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define SANDBOX_TOKEN_LEN (SANDBOX_TOKEN_SIZE - 1)
#define SANDBOX_PREFIX_MAX (SANDBOX_ID_SIZE - SANDBOX_ID_BODY_LEN - 1)

static const char sandbox_base32[] = "abcdefghijklmnopqrstuvwxyz234567";


static int
sandbox_random(uint8_t *buf, size_t len)
{
    ssize_t n;

    /* up to 256 bytes come whole once the pool is ready */
    do {
        n = getrandom(buf, len, 0);
    } while (n == -1 && errno == EINTR);

    return n == (ssize_t) len ? 0 : -1;
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
