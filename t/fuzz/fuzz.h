/* What every fuzz target has: its entry, and the end when a promise breaks. */

#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox_utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static inline void
require(int ok)
{
    if (!ok) {
        abort();
    }
}


/* A text of at most size bytes, NUL included, that is UTF-8. */
static inline void
require_utf8(const char *text, size_t size)
{
    size_t i, len, n;

    require(memchr(text, '\0', size) != NULL);
    len = strlen(text);

    for (i = 0; i < len; i += n) {
        n = sandbox_utf8_len((const uint8_t *) text + i, len - i);
        require(n != 0);
    }
}

#endif
