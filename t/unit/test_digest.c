/* Digests against published vectors, alone and from many threads. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <cmocka.h>

#include "sandbox_digest.h"

#define THREADS 4
#define ROUNDS 500


static void
check_sha256(const void *data, size_t len, const char *expected)
{
    char hex[SANDBOX_SHA256_HEX_SIZE];
    uint8_t digest[SANDBOX_SHA256_LEN];

    assert_int_equal(sandbox_sha256(digest, data, len), 0);
    sandbox_hex(hex, digest, sizeof(digest));
    assert_string_equal(hex, expected);
}


/* FIPS 180-4's examples; twice, as the context is used again. */
static void
test_sha256(void **state)
{
    int i;
    char *million;

    (void) state;

    million = malloc(1000000);
    assert_non_null(million);
    memset(million, 'a', 1000000);

    for (i = 0; i < 2; i++) {
        check_sha256("abc", 3,
                     "ba7816bf8f01cfea414140de5dae2223"
                     "b00361a396177a9cb410ff61f20015ad");
        check_sha256("", 0,
                     "e3b0c44298fc1c149afbf4c8996fb924"
                     "27ae41e4649b934ca495991b7852b855");
        check_sha256(million, 1000000,
                     "cdc76e5c9914fb9281a1c7e284d73e67"
                     "f1809a48a497200e046d39ccc7112cd0");
    }

    free(million);
}


static void *
digest_in_thread(void *arg)
{
    int i;
    char text[32];
    uint8_t first[SANDBOX_SHA256_LEN], digest[SANDBOX_SHA256_LEN];

    (void) snprintf(text, sizeof(text), "thread %d", *(int *) arg);

    if (sandbox_sha256(first, text, strlen(text)) != 0) {
        return NULL;
    }

    for (i = 0; i < ROUNDS; i++) {
        if (sandbox_sha256(digest, text, strlen(text)) != 0
            || memcmp(digest, first, sizeof(digest)) != 0)
        {
            return NULL;
        }
    }

    return arg;
}


static void
test_threads(void **state)
{
    int i, numbers[THREADS];
    void *result;
    pthread_t threads[THREADS];

    (void) state;

    for (i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(
            pthread_create(&threads[i], NULL, digest_in_thread, &numbers[i]),
            0);
    }

    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, &numbers[i]);
    }
}


static void
test_hex(void **state)
{
    char hex[9];
    static const uint8_t bytes[] = { 0x00, 0x0f, 0xa5, 0xff };

    (void) state;

    sandbox_hex(hex, bytes, sizeof(bytes));
    assert_string_equal(hex, "000fa5ff");

    sandbox_hex(hex, bytes, 0);
    assert_string_equal(hex, "");
}


static void
test_equal(void **state)
{
    int i, bit;
    uint8_t a[33], b[33];

    (void) state;

    memset(a, 0x5a, sizeof(a));
    memcpy(b, a, sizeof(b));

    assert_int_equal(sandbox_equal_const_time(a, b, sizeof(a)), 1);
    assert_int_equal(sandbox_equal_const_time(a, b, 0), 1);

    for (i = 0; i < (int) sizeof(a); i++) {
        for (bit = 0; bit < 8; bit++) {
            b[i] ^= (uint8_t) (1 << bit);
            assert_int_equal(sandbox_equal_const_time(a, b, sizeof(a)), 0);
            b[i] ^= (uint8_t) (1 << bit);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_equal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
