/* QEMU's migration stream by hand; see the header. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "stream_bytes.h"

stream_bytes_t b;


void
put(const char *types, ...)
{
    int i, n;
    size_t len;
    va_list args;
    uint64_t value;
    const char *text;

    va_start(args, types);

    for (/* void */; *types; types++) {
        if (*types == 's') {
            text = va_arg(args, const char *);
            len = strlen(text);
            b.data[b.len++] = (unsigned char) len;
            memcpy(b.data + b.len, text, len);
            b.len += len;
            continue;
        }

        n = *types == 'b' ? 1 : *types == 'h' ? 2 : *types == 'w' ? 4 : 8;
        value = n == 8 ? va_arg(args, uint64_t) : va_arg(args, unsigned);

        for (i = n - 1; i >= 0; i--) {
            b.data[b.len++] = (unsigned char) (value >> 8 * i);
        }
    }

    va_end(args);
    assert_true(b.len < sizeof(b.data) - 2 * PAGE);
}


void
fill(unsigned value, size_t n)
{
    memset(b.data + b.len, (int) value, n);
    b.len += n;
}


void
header(void)
{
    b.len = 0;
    put("ww", 0x5145564du, 3u);
}


void
configuration(void)
{
    put("bw", 7u, 10u);
    memcpy(b.data + b.len, "pc-q35-7.2", 10);
    b.len += 10;
}


void
capability(const char *name)
{
    put("bswws", 5u, "configuration/capabilities", 1u, 1u, name);
}


void
start(void)
{
    put("bwsww", START, RAM_ID, "ram", 0u, 4u);
}


void
footer(void)
{
    put("qbw", (uint64_t) EOS, 0x7eu, RAM_ID);
}


void
part(unsigned type)
{
    put("bw", type, RAM_ID);
}


void
zero(const char *block, uint64_t page)
{
    if (block) {
        put("qsb", page * PAGE | ZERO, block, 0u);
    } else {
        put("qb", page * PAGE | ZERO | CONTINUE, 0u);
    }
}


void
content(const char *block, uint64_t page, unsigned value)
{
    if (block) {
        put("qs", page * PAGE | CONTENT, block);
    } else {
        put("q", page * PAGE | CONTENT | CONTINUE);
    }

    fill(value, PAGE);
}


void
device(void)
{
    put("bwsww", FULL, 0u, "timer", 0u, 2u);
    fill(0x55, 24);
}
