/* What every fuzz target has: its entry, and the end when a promise breaks. */

#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static inline void
require(int ok)
{
    if (!ok) {
        abort();
    }
}

#endif
