/* Base32; see the header. */

#include "sandbox_base32.h"


void
sandbox_base32(char *out, const uint8_t *bytes, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        out[i] = SANDBOX_BASE32[bytes[i] & 31];
    }

    out[n] = '\0';
}
