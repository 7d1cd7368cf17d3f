/* UTF-8; see the header. */

#include "sandbox_utf8.h"


/*
 * How many of the n > 0 bytes at s can belong to one sequence: its length in
 * *len, or n if it ends before that.  0 if none can.
 */
static size_t
utf8_begin(const uint8_t *s, size_t n, size_t *len)
{
    size_t i;
    uint8_t low, high;

    low = 0x80;
    high = 0xbf;

    if (s[0] < 0x80) {
        *len = 1;

    } else if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        *len = 2;

    } else if (s[0] >= 0xe0 && s[0] <= 0xef) {
        *len = 3;
        low = s[0] == 0xe0 ? 0xa0 : low;
        high = s[0] == 0xed ? 0x9f : high;

    } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        *len = 4;
        low = s[0] == 0xf0 ? 0x90 : low;
        high = s[0] == 0xf4 ? 0x8f : high;

    } else {
        return 0;
    }

    for (i = 1; i < n && i < *len; i++) {
        if (s[i] < low || s[i] > high) {
            return 0;
        }

        low = 0x80;
        high = 0xbf;
    }

    return i;
}


size_t
sandbox_utf8_len(const uint8_t *s, size_t n)
{
    size_t have, len;

    len = 0; /* no sequence has it */
    have = utf8_begin(s, n, &len);

    return have == len ? len : 0;
}


size_t
sandbox_utf8_encode(char out[4], uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char) code;
        return 1;
    }

    if (code < 0x800) {
        out[0] = (char) (0xc0 | code >> 6);
        out[1] = (char) (0x80 | (code & 0x3f));
        return 2;
    }

    if (code < 0x10000) {
        out[0] = (char) (0xe0 | code >> 12);
        out[1] = (char) (0x80 | (code >> 6 & 0x3f));
        out[2] = (char) (0x80 | (code & 0x3f));
        return 3;
    }

    out[0] = (char) (0xf0 | code >> 18);
    out[1] = (char) (0x80 | (code >> 12 & 0x3f));
    out[2] = (char) (0x80 | (code >> 6 & 0x3f));
    out[3] = (char) (0x80 | (code & 0x3f));
    return 4;
}


int
sandbox_utf8_valid(const uint8_t *s, size_t n)
{
    size_t i, len;

    for (i = 0; i < n; i += len) {
        len = s[i] < 0x80 ? 1 : sandbox_utf8_len(s + i, n - i);
        if (len == 0) {
            return 0;
        }
    }

    return 1;
}


size_t
sandbox_utf8_whole(const uint8_t *s, size_t n)
{
    size_t back, len, got;

    for (back = 1; back <= 3 && back <= n; back++) {
        got = utf8_begin(s + n - back, back, &len);

        if (got == back && got < len) {
            return n - back;
        }
    }

    return n;
}
