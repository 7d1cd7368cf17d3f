/* Decimal numbers as text; see the header. */

#include "sandbox_decimal.h"

#include <string.h>

#define SANDBOX_DECIMAL_EXPONENT_MAX 999999999999999


/* The exponent behind "e"; -1 if it is too large. */
static int
sandbox_decimal_exponent(int64_t *exponent, const char *s, const char *end)
{
    int negative;
    int64_t n;

    negative = *s == '-';

    if (*s == '-' || *s == '+') {
        s++;
    }

    n = 0;

    for (/* void */; s < end; s++) {
        n = n * 10 + (*s - '0');
        if (n > SANDBOX_DECIMAL_EXPONENT_MAX) {
            return -1;
        }
    }

    *exponent = negative ? -n : n;

    return 0;
}


int
sandbox_decimal_read(sandbox_decimal_t *d, const char *s, size_t len)
{
    int fraction;
    size_t pending;
    int64_t zeros, places;
    const char *end;

    memset(d, 0, sizeof(sandbox_decimal_t));

    end = s + len;

    if (*s == '-') {
        d->negative = 1;
        s++;
    }

    fraction = 0;
    pending = 0; /* zeros seen since *last */
    zeros = 0;   /* those of them before the point */
    places = 0;  /* digits after the point up to *last */

    for (/* void */; s < end && *s != 'e' && *s != 'E'; s++) {
        if (*s == '.') {
            fraction = 1;
            continue;
        }

        if (fraction) {
            places++;
        }

        if (*s == '0') {
            pending++;
            zeros += !fraction;
            continue;
        }

        if (d->first == NULL) {
            d->first = s;
            pending = 0;
        }

        d->ndigits += pending + 1;
        d->last = s;
        d->exponent = -places;
        pending = 0;
        zeros = 0;
    }

    if (d->first == NULL) {
        d->negative = 0;
        return 0;
    }

    d->exponent += zeros;

    if (s < end) {
        if (sandbox_decimal_exponent(&places, s + 1, end) != 0) {
            return -1;
        }
        d->exponent += places;
    }

    return 0;
}
