/* Random JSON, spelled in random ways; see the header. */

#include <stdlib.h>
#include <string.h>

#include "random_json.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MEMBERS_MAX 6
#define DIGITS_MAX 40


uint32_t
random_draw(uint64_t *state, uint32_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;

    return (uint32_t) ((*state >> 16) % below);
}


void
random_space(sandbox_text_t *t, random_t *r)
{
    static const char *const spaces[] = {
        "", "", "", " ", "\n", "\t ", "\r\n"
    };

    sandbox_text_str(t, spaces[random_draw(&r->spelling, COUNT(spaces))]);
}


void
random_code(sandbox_text_t *t, random_t *r, uint32_t code)
{
    if (code >= 0x10000 && random_draw(&r->spelling, 2)) {
        code -= 0x10000;
        sandbox_text_fmt(t, "\\u%04x\\u%04X", 0xd800 + (code >> 10),
                         0xdc00 + (code & 0x3ff));

    } else if (code >= 0x10000) {
        sandbox_text_fmt(t, "%c%c%c%c", (int) (0xf0 | code >> 18),
                         (int) (0x80 | (code >> 12 & 63)),
                         (int) (0x80 | (code >> 6 & 63)),
                         (int) (0x80 | (code & 63)));

    } else if (code < 0x20 || random_draw(&r->spelling, 3) == 0) {
        sandbox_text_fmt(
            t, random_draw(&r->spelling, 2) ? "\\u%04x" : "\\u%04X", code);

    } else if (code == '"' || code == '\\') {
        sandbox_text_fmt(t, "\\%c", (int) code);

    } else if (code == '/') {
        sandbox_text_str(t, random_draw(&r->spelling, 2) ? "/" : "\\/");

    } else if (code < 0x80) {
        sandbox_text_fmt(t, "%c", (int) code);

    } else {
        sandbox_text_fmt(t, "%c%c%c", (int) (0xe0 | code >> 12),
                         (int) (0x80 | (code >> 6 & 63)),
                         (int) (0x80 | (code & 63)));
    }
}


void
random_string(sandbox_text_t *t, random_t *r, uint32_t first)
{
    uint32_t code, n;

    sandbox_text_str(t, "\"");

    if (first) {
        random_code(t, r, first);
    }

    for (n = random_draw(&r->shape, 6); n > 0; n--) {
        switch (random_draw(&r->shape, 5)) {
        case 0:
            code = 1 + random_draw(&r->shape, 0x1f);
            break;
        case 1:
            code = 0x800 + random_draw(&r->shape, 0xd000);
            break;
        case 2:
            code = 0x10000 + random_draw(&r->shape, 0x100000);
            break;
        default:
            code = 0x20 + random_draw(&r->shape, 0x5f);
        }

        random_code(t, r, code);
    }

    sandbox_text_str(t, "\"");
}


static void
random_number(sandbox_text_t *t, random_t *r)
{
    int i, n, point, exponent;
    char digits[DIGITS_MAX + 1];

    if (random_draw(&r->shape, 2)) {
        sandbox_text_str(t, "-");
    }

    n = 1 + (int) random_draw(&r->shape, DIGITS_MAX / 2);
    exponent = (int) random_draw(&r->shape, 60) - 30;

    for (i = 0; i < n; i++) {
        digits[i] = (char) ('1' + random_draw(&r->shape, 9));
    }

    /* the same value with zeros added, then with a point somewhere */

    for (i = (int) random_draw(&r->spelling, 5); i > 0; i--) {
        digits[n++] = '0';
        exponent--;
    }

    point = 1 + (int) random_draw(&r->spelling, (uint32_t) n);
    exponent += n - point;

    sandbox_text_add(t, digits, (size_t) point);

    if (point < n) {
        sandbox_text_str(t, ".");
        sandbox_text_add(t, digits + point, (size_t) (n - point));
    }

    if (exponent != 0 || random_draw(&r->spelling, 2)) {
        sandbox_text_str(t, random_draw(&r->spelling, 2) ? "e" : "E");
        sandbox_text_str(t, exponent < 0                   ? "-"
                            : random_draw(&r->spelling, 2) ? "+"
                                                           : "");
        sandbox_text_fmt(t, "%0*d", 1 + (int) random_draw(&r->spelling, 4),
                         abs(exponent));
    }
}


static void random_value(sandbox_text_t *t, random_t *r, unsigned depth);


/* Members and elements are spelled apart: members may then change places. */
static void
random_container(sandbox_text_t *t, random_t *r, unsigned depth, int object)
{
    uint32_t i, n, other;
    sandbox_text_t parts[MEMBERS_MAX], swap;

    n = random_draw(&r->shape, MEMBERS_MAX + 1);
    memset(parts, 0, sizeof(parts));

    for (i = 0; i < n; i++) {
        random_space(&parts[i], r);

        if (object) {
            random_string(&parts[i], r, 'a' + i);
            random_space(&parts[i], r);
            sandbox_text_str(&parts[i], ":");
            random_space(&parts[i], r);
        }

        random_value(&parts[i], r, depth + 1);
        random_space(&parts[i], r);
    }

    for (i = n; object && i > 1; i--) {
        other = random_draw(&r->spelling, i);
        swap = parts[i - 1];
        parts[i - 1] = parts[other];
        parts[other] = swap;
    }

    sandbox_text_str(t, object ? "{" : "[");
    random_space(t, r);

    for (i = 0; i < n; i++) {
        sandbox_text_str(t, i ? "," : "");
        sandbox_text_add(t, parts[i].data, parts[i].len);
        sandbox_text_free(&parts[i]);
    }

    sandbox_text_str(t, object ? "}" : "]");
}


static void
random_value(sandbox_text_t *t, random_t *r, unsigned depth)
{
    static const char *const words[] = { "null", "true", "false", "0" };

    switch (random_draw(&r->shape, depth < 5 ? 7 : 4)) {
    case 0:
        sandbox_text_str(t, words[random_draw(&r->shape, COUNT(words))]);
        break;
    case 1:
        random_string(t, r, 0);
        break;
    case 2:
    case 3:
        random_number(t, r);
        break;
    case 4:
        random_container(t, r, depth, 0);
        break;
    default:
        random_container(t, r, depth, 1);
    }
}


void
random_object(sandbox_text_t *t, random_t *r)
{
    random_container(t, r, 0, 1);
}
