/*
 * libFuzzer target: the query of the lists.  The first line is the query, the
 * rest the metadata of a record that its filter is held against.
 */

#define _GNU_SOURCE /* memmem */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox_list_query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static int
find(const char *word, size_t len)
{
    return len == 2 && memcmp(word, "id", 2) == 0 ? 0 : -1;
}


/* A position that was read is spelled as it was. */
static void
check_token(const sandbox_list_query_t *q, const char *text, size_t len)
{
    char token[SANDBOX_LIST_TOKEN_SIZE];

    if (sandbox_list_token_make(token, q->kind, &q->after, "t") != 0
        || strncmp(token, "nt_", 3) != 0
        || (memchr(text, '%', len) == NULL
            && memmem(text, len, token, strlen(token)) == NULL))
    {
        abort();
    }
}


static void
check(sandbox_list_t kind, const char *text, size_t size)
{
    size_t n;
    const char *end;
    sandbox_list_query_t q;
    sandbox_query_error_t err;

    end = size ? memchr(text, '\n', size) : NULL;
    n = end ? (size_t) (end - text) : size;

    if (sandbox_list_query_parse(&q, kind, text, n, "t", find, &err)
        != SANDBOX_QUERY_OK)
    {
        if (err.field[0] == '\0' || err.reason[0] == '\0') {
            abort();
        }

        return;
    }

    if (q.limit < 1 || q.limit > SANDBOX_LIST_LIMIT_MAX || q.states == 0) {
        abort();
    }

    if (q.after.id[0]) {
        check_token(&q, text, n);
    }

    if (q.metadata && end) {
        (void) sandbox_metadata_filter_match(q.metadata, end + 1, size - n - 1);
    }

    sandbox_list_query_free(&q);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(SANDBOX_LIST_SANDBOXES, (const char *) data, size);
    check(SANDBOX_LIST_SNAPSHOTS, (const char *) data, size);

    return 0;
}
