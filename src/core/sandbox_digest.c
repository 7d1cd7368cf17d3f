/* Digests; see the header. */

#include "sandbox_digest.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>


static pthread_once_t sandbox_sha256_once = PTHREAD_ONCE_INIT;
static pthread_key_t sandbox_sha256_key;
static EVP_MD *sandbox_sha256_md;


static void
sandbox_sha256_free(void *ctx)
{
    EVP_MD_CTX_free(ctx);
}


static void
sandbox_sha256_init(void)
{
    sandbox_sha256_md = EVP_MD_fetch(NULL, "SHA256", NULL);

    if (pthread_key_create(&sandbox_sha256_key, sandbox_sha256_free) != 0) {
        EVP_MD_free(sandbox_sha256_md);
        sandbox_sha256_md = NULL;
    }
}


/* This thread's context, or NULL. */
static EVP_MD_CTX *
sandbox_sha256_ctx(void)
{
    EVP_MD_CTX *ctx;

    (void) pthread_once(&sandbox_sha256_once, sandbox_sha256_init);

    if (sandbox_sha256_md == NULL) {
        return NULL;
    }

    ctx = pthread_getspecific(sandbox_sha256_key);

    if (ctx == NULL) {
        ctx = EVP_MD_CTX_new();

        if (ctx && pthread_setspecific(sandbox_sha256_key, ctx) != 0) {
            EVP_MD_CTX_free(ctx);
            return NULL;
        }
    }

    return ctx;
}


int
sandbox_sha256(uint8_t out[SANDBOX_SHA256_LEN], const void *data, size_t len)
{
    EVP_MD_CTX *ctx;

    ctx = sandbox_sha256_ctx();

    if (ctx == NULL || EVP_DigestInit_ex2(ctx, sandbox_sha256_md, NULL) != 1
        || EVP_DigestUpdate(ctx, data, len) != 1
        || EVP_DigestFinal_ex(ctx, out, NULL) != 1)
    {
        return -1;
    }

    return 0;
}


void
sandbox_hex(char *out, const uint8_t *data, size_t len)
{
    size_t i;
    static const char digits[] = "0123456789abcdef";

    for (i = 0; i < len; i++) {
        *out++ = digits[data[i] >> 4];
        *out++ = digits[data[i] & 15];
    }

    *out = '\0';
}


int
sandbox_equal_const_time(const void *a, const void *b, size_t len)
{
    size_t i;
    uint64_t diff, v, w;
    const uint8_t *x = a, *y = b;

    diff = 0;

    /* a compiler that saw into diff could leave a loop early */

    for (i = 0; len - i >= sizeof(v); i += sizeof(v)) {
        memcpy(&v, x + i, sizeof(v));
        memcpy(&w, y + i, sizeof(w));
        diff |= v ^ w;
        __asm__ volatile("" : "+r"(diff));
    }

    for (; i < len; i++) {
        diff |= x[i] ^ y[i];
        __asm__ volatile("" : "+r"(diff));
    }

    return diff == 0;
}
