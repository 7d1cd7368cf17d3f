/* Bytes as characters of identifiers.  Any thread; no I/O. */

#ifndef SANDBOX_BASE32_H
#define SANDBOX_BASE32_H

#include <stddef.h>
#include <stdint.h>

#define SANDBOX_BASE32 "abcdefghijklmnopqrstuvwxyz234567"

/*
 * Writes a character for each of n bytes, by its lowest five bits, and a NUL:
 * out has room for n + 1.
 */
void sandbox_base32(char *out, const uint8_t *bytes, size_t n);

#endif
