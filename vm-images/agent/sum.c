/* Digests as text; see the header. */

#include "sum.h"


void
agent_hex(char *out, const uint8_t *data, size_t len)
{
    size_t i;
    static const char digits[] = "0123456789abcdef";

    for (i = 0; i < len; i++) {
        *out++ = digits[data[i] >> 4];
        *out++ = digits[data[i] & 15];
    }

    *out = '\0';
}


void
agent_sum_hex(char out[AGENT_SHA256_HEX_SIZE], struct sha256_ctx *sum)
{
    uint8_t raw[AGENT_SHA256_LEN];

    sha256_digest(sum, sizeof(raw), raw);
    agent_hex(out, raw, sizeof(raw));
}
