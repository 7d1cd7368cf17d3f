/* A growing text buffer; see the header. */

#include "sandbox_text.h"

#include "sandbox_utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SANDBOX_TEXT_FIRST 512


void
sandbox_text_free(sandbox_text_t *t)
{
    free(t->data);
    memset(t, 0, sizeof(sandbox_text_t));
}


int
sandbox_text_failed(const sandbox_text_t *t)
{
    return t->failed;
}


static int
sandbox_text_grow(sandbox_text_t *t, size_t len)
{
    char *data;
    size_t size;

    if (t->failed) {
        return -1;
    }

    size = t->size ? t->size : SANDBOX_TEXT_FIRST;

    while (size - t->len <= len) {
        if (size > SIZE_MAX / 2) {
            t->failed = 1;
            return -1;
        }
        size *= 2;
    }

    data = realloc(t->data, size);
    if (data == NULL) {
        t->failed = 1;
        return -1;
    }

    t->data = data;
    t->size = size;

    return 0;
}


/* Makes room for len more bytes and a NUL; -1 if memory is out. */
static inline int
sandbox_text_room(sandbox_text_t *t, size_t len)
{
    return !t->failed && len < t->size - t->len ? 0 : sandbox_text_grow(t, len);
}


void
sandbox_text_add(sandbox_text_t *t, const char *data, size_t len)
{
    if (sandbox_text_room(t, len) != 0) {
        return;
    }

    if (len) {
        memcpy(t->data + t->len, data, len);
    }

    t->len += len;
    t->data[t->len] = '\0';
}


void
sandbox_text_str(sandbox_text_t *t, const char *s)
{
    sandbox_text_add(t, s, strlen(s));
}


void
sandbox_text_fmt(sandbox_text_t *t, const char *fmt, ...)
{
    int n;
    size_t room;
    va_list args;

    if (sandbox_text_room(t, 0) != 0) {
        return;
    }

    room = t->size - t->len;

    va_start(args, fmt);
    n = vsnprintf(t->data + t->len, room, fmt, args);
    va_end(args);

    if (n < 0) {
        t->failed = 1;
        return;
    }

    if ((size_t) n >= room) {
        /* the text was cut off: format it again, with enough room */
        if (sandbox_text_room(t, (size_t) n) != 0) {
            return;
        }

        va_start(args, fmt);
        (void) vsnprintf(t->data + t->len, (size_t) n + 1, fmt, args);
        va_end(args);
    }

    t->len += (size_t) n;
}


void
sandbox_text_int(sandbox_text_t *t, int64_t n)
{
    char buf[20], *p; /* the digits of INT64_MIN and its sign */
    uint64_t left;

    p = buf + sizeof(buf);
    left = n < 0 ? -(uint64_t) n : (uint64_t) n;

    do {
        *--p = (char) ('0' + left % 10);
        left /= 10;
    } while (left);

    if (n < 0) {
        *--p = '-';
    }

    sandbox_text_add(t, p, (size_t) (buf + sizeof(buf) - p));
}


static void
sandbox_text_json_control(sandbox_text_t *t, char c)
{
    const char *p;
    char escape[] = "\\u0000";
    static const char from[] = "\"\\\b\f\n\r\t";
    static const char to[] = "\"\\bfnrt";
    static const char digits[] = "0123456789abcdef";

    p = c ? strchr(from, c) : NULL;

    if (p) {
        sandbox_text_add(t, "\\", 1);
        sandbox_text_add(t, &to[p - from], 1);
        return;
    }

    /* by hand: output of commands may have megabytes of control characters */
    escape[4] = digits[(unsigned char) c >> 4];
    escape[5] = digits[(unsigned char) c & 15];
    sandbox_text_add(t, escape, sizeof(escape) - 1);
}


void
sandbox_text_json_string(sandbox_text_t *t, const char *s, size_t len)
{
    size_t n, start, i;
    unsigned char c;

    sandbox_text_add(t, "\"", 1);

    for (start = i = 0; i < len; i += n) {
        c = (unsigned char) s[i];
        n = c < 0x80 ? 1 : sandbox_utf8_len((const uint8_t *) s + i, len - i);

        if (n && c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }

        sandbox_text_add(t, s + start, i - start);

        if (n == 0) {
            sandbox_text_str(t, "\xef\xbf\xbd"); /* U+FFFD */
            n = 1;
        } else {
            sandbox_text_json_control(t, s[i]);
        }

        start = i + n;
    }

    if (start < len) {
        sandbox_text_add(t, s + start, len - start);
    }

    sandbox_text_add(t, "\"", 1);
}


void
sandbox_text_base64(sandbox_text_t *t, const uint8_t *data, size_t len)
{
    char quad[4];
    size_t i, n;
    uint32_t bits;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";

    for (i = 0; i < len; i += 3) {
        n = len - i;
        bits = (uint32_t) data[i] << 16;
        bits |= n > 1 ? (uint32_t) data[i + 1] << 8 : 0;
        bits |= n > 2 ? data[i + 2] : 0;

        quad[0] = digits[bits >> 18];
        quad[1] = digits[bits >> 12 & 63];
        quad[2] = n > 1 ? digits[bits >> 6 & 63] : '=';
        quad[3] = n > 2 ? digits[bits & 63] : '=';

        sandbox_text_add(t, quad, sizeof(quad));
    }
}


static int
sandbox_base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }

    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }

    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }

    return c == '+' ? 62 : c == '/' ? 63 : -1;
}


int64_t
sandbox_base64_decode(uint8_t *out, size_t size, const char *s, size_t len)
{
    int digit;
    size_t i, j, pad, n;
    uint32_t bits;

    if (len % 4 != 0) {
        return -1;
    }

    pad = 0;

    while (pad < 2 && pad < len && s[len - 1 - pad] == '=') {
        pad++;
    }

    if (len / 4 * 3 - pad > size) {
        return -1;
    }

    n = 0;

    for (i = 0; i < len; i += 4) {
        bits = 0;

        for (j = i; j < i + 4; j++) {
            digit = j >= len - pad ? 0 : sandbox_base64_digit(s[j]);
            if (digit == -1) {
                return -1;
            }
            bits = bits << 6 | (uint32_t) digit;
        }

        for (j = 0; j < 3 && n < len / 4 * 3 - pad; j++) {
            out[n++] = (uint8_t) (bits >> (16 - 8 * j));
        }
    }

    /* in canonical base64 the bits left over by padding are 0 */
    if (pad && (sandbox_base64_digit(s[len - pad - 1]) & (pad == 1 ? 3 : 15))) {
        return -1;
    }

    return (int64_t) n;
}
