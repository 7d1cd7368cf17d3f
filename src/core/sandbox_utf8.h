/* UTF-8 (RFC 3629).  Any thread. */

#ifndef SANDBOX_UTF8_H
#define SANDBOX_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * The length of the sequence at s, which has n > 0 bytes left; 0 if it is
 * malformed, overlong, a surrogate, or above U+10FFFF.
 */
size_t sandbox_utf8_len(const uint8_t *s, size_t n);

/* 1 if all of the n bytes at s are UTF-8. */
int sandbox_utf8_valid(const uint8_t *s, size_t n);

/*
 * n less the length of an incomplete sequence at the end of s: of bytes that
 * others behind them would make a character.
 */
size_t sandbox_utf8_whole(const uint8_t *s, size_t n);

/* Writes the UTF-8 of a scalar value, without a NUL; returns its length. */
size_t sandbox_utf8_encode(char out[4], uint32_t code);

#endif
