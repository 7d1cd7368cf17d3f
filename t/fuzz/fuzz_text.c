/*
 * libFuzzer target of the small grammars: paths, idempotency keys, CIDR
 * blocks, names, base64.  The first byte says which.
 */

#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "sandbox_idem_key.h"
#include "sandbox_net.h"
#include "sandbox_path.h"
#include "sandbox_syntax.h"
#include "sandbox_text.h"


/* What is normalised is absolute, has no empty segment, and stays as it is. */
static void
fuzz_path(const char *text, size_t len)
{
    char once[SANDBOX_PATH_MAX], twice[SANDBOX_PATH_MAX];
    const char *reason = NULL;

    if (sandbox_path_normalise(once, sizeof(once), text, len, &reason) != 0) {
        require(reason != NULL);
        return;
    }

    require(once[0] == '/' && strlen(once) <= len && !strstr(once, "//"));
    require(!strstr(once, "/../") && !strstr(once, "/./"));
    require(sandbox_path_within(once, "/") && sandbox_path_within(once, once));
    require(sandbox_path_normalise(twice, sizeof(twice), once, strlen(once),
                                   &reason)
            == 0);
    require(strcmp(once, twice) == 0);
}


/* A key in quotes is the key. */
static void
fuzz_key(const char *text, size_t len)
{
    char key[SANDBOX_IDEM_KEY_MAX], again[SANDBOX_IDEM_KEY_MAX];
    char quoted[2 * SANDBOX_IDEM_KEY_MAX + 2];
    size_t i, n, out;
    const char *reason = NULL;

    n = sandbox_idem_key(key, text, len, &reason);

    if (n == 0) {
        require(reason != NULL);
        return;
    }

    require(n <= len && n <= sizeof(key));

    out = 0;
    quoted[out++] = '"';

    for (i = 0; i < n; i++) {
        require(key[i] > ' ' && key[i] <= '~');

        if (key[i] == '"' || key[i] == '\\') {
            quoted[out++] = '\\';
        }
        quoted[out++] = key[i];
    }

    quoted[out++] = '"';
    require(sandbox_idem_key(again, quoted, out, &reason) == n);
    require(memcmp(again, key, n) == 0);
}


static void
fuzz_cidr(const char *text, size_t len)
{
    sandbox_cidr_t cidr;
    const char *reason = NULL;

    if (sandbox_cidr_parse(&cidr, text, len, &reason) != 0) {
        require(reason != NULL);
        return;
    }

    require(cidr.prefix <= (memchr(text, ':', len) ? 128 : 32));
}


static void
fuzz_names(const char *text, size_t len)
{
    char *copy;

    copy = strndup(text, len);
    require(copy != NULL);

    (void) sandbox_syntax_id(copy);
    (void) sandbox_syntax_env(copy);
    (void) sandbox_syntax_reference(copy);

    if (sandbox_syntax_authority(copy)) {
        require(!strpbrk(copy, " /?#@\r\n\t\""));
    }

    free(copy);
}


/* What decodes is what its encoding decodes to. */
static void
fuzz_base64(const char *text, size_t len)
{
    int64_t n;
    uint8_t out[256], again[256];
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    n = sandbox_base64_decode(out, sizeof(out), text, len);

    if (n < 0) {
        return;
    }

    sandbox_text_base64(&t, out, (size_t) n);
    require(!sandbox_text_failed(&t));
    require(sandbox_base64_decode(again, sizeof(again), n ? t.data : "", t.len)
            == n);
    require(memcmp(out, again, (size_t) n) == 0);
    sandbox_text_free(&t);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(const char *text, size_t len) = {
        fuzz_path, fuzz_key, fuzz_cidr, fuzz_names, fuzz_base64
    };
    const size_t n = sizeof(targets) / sizeof(targets[0]);

    if (size > 0) {
        targets[data[0] % n]((const char *) data + 1, size - 1);
    }

    return 0;
}
