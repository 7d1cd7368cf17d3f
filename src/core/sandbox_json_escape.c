/* Escapes in JSON strings; see the header. */

#include "sandbox_json_escape.h"

#include <string.h>


/* Four hex digits; -1 if they are none. */
static int32_t
sandbox_json_hex4(const char *s, const char *last)
{
    int i;
    char c;
    int32_t n;

    if (last - s < 4) {
        return -1;
    }

    n = 0;

    for (i = 0; i < 4; i++) {
        c = s[i];
        n <<= 4;

        if (c >= '0' && c <= '9') {
            n |= c - '0';
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            n |= (c | 0x20) - 'a' + 10;
        } else {
            return -1;
        }
    }

    return n;
}


size_t
sandbox_json_escape(const char *s, const char *last, uint32_t *code,
                    const char **reason)
{
    int32_t n, low;
    const char *p;
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";

    *reason = "has an unknown escape in a string";

    if (last - s < 2) {
        return 0;
    }

    if (s[1] != 'u') {
        p = s[1] ? strchr(from, s[1]) : NULL;
        if (p == NULL) {
            return 0;
        }
        *code = (uint8_t) to[p - from];
        return 2;
    }

    n = sandbox_json_hex4(s + 2, last);

    if (n == 0) {
        *reason = "has a NUL in a string";
        return 0;
    }

    if (n < 0) {
        return 0;
    }

    if (n < 0xd800 || n > 0xdfff) {
        *code = (uint32_t) n;
        return 6;
    }

    *reason = "has a lone surrogate in a string";

    if (n > 0xdbff || last - s < 8 || s[6] != '\\' || s[7] != 'u') {
        return 0;
    }

    low = sandbox_json_hex4(s + 8, last);

    if (low < 0xdc00 || low > 0xdfff) {
        return 0;
    }

    *code =
        0x10000 + ((uint32_t) (n - 0xd800) << 10) + (uint32_t) (low - 0xdc00);

    return 12;
}
