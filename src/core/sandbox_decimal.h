/*
 * Parses the text of a JSON number, without loss at any length.  Any thread.
 */

#ifndef SANDBOX_DECIMAL_H
#define SANDBOX_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int negative;
    const char *first; /* first digit that is not 0; a '.' may follow */
    const char *last;  /* last digit that is not 0 */
    size_t ndigits;    /* from first to last; 0: the number is zero */
    int64_t exponent;  /* power of ten of *last */
} sandbox_decimal_t;

/*
 * Reads a well-formed JSON number.  0, or -1 if its exponent is absurd (more
 * than 15 digits).
 */
int sandbox_decimal_read(sandbox_decimal_t *d, const char *s, size_t len);

#endif
