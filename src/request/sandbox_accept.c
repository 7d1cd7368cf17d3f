/* Reading Accept; see the header. */

#include "sandbox_accept.h"

#include <string.h>


static int
sandbox_accept_space(char c)
{
    return c == ' ' || c == '\t';
}


/* 1 if the trimmed text is word, in any letter case. */
static int
sandbox_accept_is(const char *text, size_t len, const char *word)
{
    size_t i;

    while (len > 0 && sandbox_accept_space(*text)) {
        text++;
        len--;
    }

    while (len > 0 && sandbox_accept_space(text[len - 1])) {
        len--;
    }

    if (len != strlen(word)) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if ((text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i])
            != word[i]) {
            return 0;
        }
    }

    return 1;
}


/* The weight in thousandths of one range's parameters, ";q=0.8;…". */
static int
sandbox_accept_weight(const char *p, const char *last)
{
    int weight, unit;

    for (; p < last; p++) {
        if (*p != ';') {
            continue;
        }

        do {
            p++;
        } while (p < last && sandbox_accept_space(*p));

        if (last - p < 3 || (*p | 0x20) != 'q' || p[1] != '=') {
            p--;
            continue;
        }

        if (p[2] != '0') {
            return 1000;
        }

        weight = 0;
        unit = 100;

        for (p += 4; p < last && unit && *p >= '0' && *p <= '9'; p++) {
            weight += (*p - '0') * unit;
            unit /= 10;
        }

        return weight;
    }

    return 1000;
}


int
sandbox_accept_html(const char *text, size_t len)
{
    int html, json, weight;
    const char *p, *end, *params, *last;

    html = 0;
    json = 0;
    last = text + len;

    for (p = text; p < last; p = end + 1) {
        end = memchr(p, ',', (size_t) (last - p));
        end = end ? end : last;

        params = memchr(p, ';', (size_t) (end - p));
        params = params ? params : end;
        weight = sandbox_accept_weight(params, end);

        if (sandbox_accept_is(p, (size_t) (params - p), "text/html")) {
            /* text/html wins a tie if it is named first */
            html = json ? weight : weight + (weight > 0);

        } else if (sandbox_accept_is(p, (size_t) (params - p),
                                     "application/json")) {
            json = weight;
        }

        if (end == last) {
            break;
        }
    }

    return html > json;
}
