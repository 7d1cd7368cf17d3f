/* Identifiers; see the header. */

#include "sandbox_id.h"

#include "sandbox_base32.h"
#include "sandbox_digest.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define SANDBOX_TOKEN_LEN (SANDBOX_TOKEN_SIZE - 1)
#define SANDBOX_PREFIX_MAX (SANDBOX_ID_SIZE - SANDBOX_ID_WORDS * 8 - 1)

#define SANDBOX_RANDOM_WORDS 128
#define SANDBOX_ID_WORDS ((SANDBOX_ID_BODY_LEN + 7) / 8)
#define SANDBOX_REQUEST_ID_WORDS ((SANDBOX_REQUEST_ID_LEN - 4) / 8)

/* A word whose eight bytes are all c. */
#define SANDBOX_ID_BYTES(c) (UINT64_C(0x0101010101010101) * (c))

/*
 * Random words that were fetched and not yet used: a system call for each
 * identifier would cost more than all else about it.
 */
typedef struct {
    size_t left; /* unused words, at the beginning of words */
    uint64_t words[SANDBOX_RANDOM_WORDS];
} sandbox_random_t;

static _Thread_local sandbox_random_t sandbox_random_pool;
static pthread_once_t sandbox_random_once = PTHREAD_ONCE_INIT;


/* After fork(), in the child: drops the words, which the parent will use. */
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
    uint8_t *buf;

    buf = (uint8_t *) pool->words;
    (void) pthread_once(&sandbox_random_once, sandbox_random_init);

    /* a signal may cut the read short */
    for (have = 0; have < sizeof(pool->words); have += (size_t) n) {
        n = getrandom(buf + have, sizeof(pool->words) - have, 0);

        if (n == -1 && errno == EINTR) {
            n = 0;
        }

        if (n == -1) {
            return -1;
        }
    }

    pool->left = SANDBOX_RANDOM_WORDS;

    return 0;
}


/*
 * Eight characters of [a-z2-7], all at once: five bits of each byte, which is
 * moved up to its letter or digit.
 */
static uint64_t
sandbox_random_chars(uint64_t bits)
{
    uint64_t digits;

    bits &= SANDBOX_ID_BYTES(31);
    digits = (bits + SANDBOX_ID_BYTES(0x80 - 26)) >> 7 & SANDBOX_ID_BYTES(1);

    return bits + SANDBOX_ID_BYTES('a') - digits * ('a' + 26 - '2');
}


/* n random words, which the caller overwrites after use; NULL: none. */
static volatile uint64_t *
sandbox_random_words(size_t n)
{
    sandbox_random_t *pool;

    pool = &sandbox_random_pool;

    if (pool->left < n && sandbox_random_fetch(pool) != 0) {
        return NULL;
    }

    pool->left -= n;

    return pool->words + pool->left;
}


/* Writes random characters, eight for each word; 0 or -1. */
static int
sandbox_random_text(char *out, size_t nwords)
{
    uint64_t chars;
    volatile uint64_t *word;

    word = sandbox_random_words(nwords);
    if (word == NULL) {
        return -1;
    }

    for (; nwords; nwords--) {
        chars = sandbox_random_chars(*word);
        *word++ = 0;
        memcpy(out, &chars, sizeof(chars));
        out += sizeof(chars);
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

    /* 24 characters, of which 20 stay; there is room for them */
    if (sandbox_random_text(id + n, SANDBOX_ID_WORDS) != 0) {
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

    return sandbox_random_text(token, SANDBOX_TOKEN_LEN / 8);
}


int
sandbox_request_id_make(char id[SANDBOX_ID_SIZE])
{
    memcpy(id, "req_", 4);
    id[SANDBOX_REQUEST_ID_LEN] = '\0';

    return sandbox_random_text(id + 4, SANDBOX_REQUEST_ID_WORDS);
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
        shard[i] = SANDBOX_BASE32[(hash >> (i * 5 + 10)) & 31];
    }
}


/*
 * 0 if the eight characters are all of [a-z2-7].  A byte below 0x80 plus
 * 0x80 - c has its highest bit set if it is c or above.
 */
static uint64_t
sandbox_id_word_bad(const char *text)
{
    uint64_t word, letter, digit;

    memcpy(&word, text, sizeof(word));

    letter = (word + SANDBOX_ID_BYTES(0x80 - 'a'))
             & ~(word + SANDBOX_ID_BYTES(0x7f - 'z'));
    digit = (word + SANDBOX_ID_BYTES(0x80 - '2'))
            & ~(word + SANDBOX_ID_BYTES(0x7f - '7'));

    return (word | ~(letter | digit)) & SANDBOX_ID_BYTES(0x80);
}


/* 0 if the 20 characters after a prefix are those of an id. */
static uint64_t
sandbox_id_body_bad(const char *body)
{
    /* characters 0 to 7, 8 to 15, and the last eight, which overlap */
    return sandbox_id_word_bad(body) | sandbox_id_word_bad(body + 8)
           | sandbox_id_word_bad(body + SANDBOX_ID_BODY_LEN - 8);
}


int
sandbox_id_parse_sandbox(char id[SANDBOX_ID_SIZE], const char *text)
{
    if (text[0] != 's' || text[1] != 'b' || (text[2] != '_' && text[2] != '-')
        || sandbox_id_body_bad(text + 3))
    {
        return -1;
    }

    memcpy(id, "sb_", 3);
    memcpy(id + 3, text + 3, SANDBOX_ID_BODY_LEN);
    id[SANDBOX_ID_LEN] = '\0';

    return 0;
}


int
sandbox_id_parse(char id[SANDBOX_ID_SIZE], const char *prefix, const char *text,
                 size_t len)
{
    size_t n;

    n = strlen(prefix);

    if (n + 1 > SANDBOX_PREFIX_MAX || len != n + 1 + SANDBOX_ID_BODY_LEN
        || memcmp(text, prefix, n) != 0 || (text[n] != '_' && text[n] != '-')
        || sandbox_id_body_bad(text + n + 1))
    {
        return -1;
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
