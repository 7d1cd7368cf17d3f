/* SHA-256 as text, over nettle. */

#ifndef AGENT_SUM_H
#define AGENT_SUM_H

#include <nettle/sha2.h>

#include "fields.h"

/* Ends sum and writes the digest as hex, in lower case. */
void agent_sum_hex(char out[AGENT_SHA256_HEX_SIZE], struct sha256_ctx *sum);

/* Writes len bytes as hex, in lower case; out has room for 2 * len + 1. */
void agent_hex(char *out, const uint8_t *data, size_t len);

#endif
