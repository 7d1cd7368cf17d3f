/* Grammars of text members; see the header. */

#include "sandbox_syntax.h"

#include <stdlib.h>
#include <string.h>

#include "sandbox_net.h"

#define SYNTAX_HOST_MAX 253
#define SYNTAX_LABEL_MAX 63
#define SYNTAX_TAG_MAX 128


static int
is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9');
}


static int
is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}


/* "0" to "65535", not empty. */
static int
is_port(const char *p, size_t len)
{
    size_t i;
    unsigned n;

    n = 0;

    for (i = 0; i < len; i++) {
        if (i == 5 || p[i] < '0' || p[i] > '9') {
            return 0;
        }
        n = n * 10 + (unsigned) (p[i] - '0');
    }

    return len > 0 && n <= 65535;
}


/* Labels of letters, digits and inner hyphens, joined by dots. */
static int
is_host_name(const char *p, size_t len)
{
    size_t i, label;

    if (len == 0 || len > SYNTAX_HOST_MAX) {
        return 0;
    }

    label = 0;

    for (i = 0; i <= len; i++) {
        if (i < len && (is_alnum(p[i]) || p[i] == '-')) {
            label++;
            continue;
        }

        if ((i < len && p[i] != '.') || label == 0 || label > SYNTAX_LABEL_MAX
            || p[i - 1] == '-' || p[i - label] == '-')
        {
            return 0;
        }

        label = 0;
    }

    return 1;
}


/* One part of a repository's path: "[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*". */
static int
is_path_part(const char *p, size_t len)
{
    size_t i, run;

    if (len == 0 || !is_lower_alnum(p[0]) || !is_lower_alnum(p[len - 1])) {
        return 0;
    }

    for (i = 0; i < len; i += run) {
        for (run = 1; i + run < len && p[i + run] == p[i]; run++) {
            /* void */
        }

        if (is_lower_alnum(p[i])) {
            run = 1;
            continue;
        }

        if ((p[i] == '.' && run > 1) || (p[i] == '_' && run > 2)
            || strchr("._-", p[i]) == NULL || !is_lower_alnum(p[i + run]))
        {
            return 0;
        }
    }

    return 1;
}


/* "host[:port]" before the first slash of a Docker reference. */
static int
is_registry(const char *p, size_t len)
{
    const char *colon;

    colon = memchr(p, ':', len);

    if (colon == NULL) {
        return is_host_name(p, len);
    }

    return is_host_name(p, (size_t) (colon - p))
           && is_port(colon + 1, len - (size_t) (colon - p) - 1);
}


static int
is_tag(const char *p, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if (!is_alnum(p[i]) && p[i] != '_'
            && (i == 0 || (p[i] != '.' && p[i] != '-'))) {
            return 0;
        }
    }

    return len > 0 && len <= SYNTAX_TAG_MAX;
}


static int
is_image_digest(const char *p)
{
    size_t len;

    if (strncmp(p, "sha256:", 7) != 0) {
        return 0;
    }

    len = strspn(p + 7, "0123456789abcdef");

    return len == 64 && p[7 + len] == '\0';
}


int
sandbox_syntax_id(const char *text)
{
    const char *p;

    if (!is_alnum(text[0])) {
        return 0;
    }

    for (p = text; *p; p++) {
        if (!is_alnum(*p) && strchr("_.-", *p) == NULL) {
            return 0;
        }
    }

    return 1;
}


int
sandbox_syntax_env(const char *text)
{
    const char *p;

    if (text[0] == '\0' || (text[0] >= '0' && text[0] <= '9')) {
        return 0;
    }

    for (p = text; *p; p++) {
        if (!is_alnum(*p) && *p != '_') {
            return 0;
        }
    }

    return 1;
}


int
sandbox_syntax_reference(const char *text)
{
    size_t len, part;
    const char *p, *slash, *colon, *at;

    at = strchr(text, '@');

    if (at && !is_image_digest(at + 1)) {
        return 0;
    }

    p = text;
    len = at ? (size_t) (at - text) : strlen(text);

    slash = memchr(p, '/', len);

    if (slash && !is_path_part(p, (size_t) (slash - p))) {
        /* then it must be a registry's host */
        if (!is_registry(p, (size_t) (slash - p))) {
            return 0;
        }
        len -= (size_t) (slash - p) + 1;
        p = slash + 1;
    }

    colon = memchr(p, ':', len);

    if (colon) {
        if (!is_tag(colon + 1, len - (size_t) (colon - p) - 1)) {
            return 0;
        }
        len = (size_t) (colon - p);
    }

    for (;;) {
        slash = memchr(p, '/', len);
        part = slash ? (size_t) (slash - p) : len;

        if (!is_path_part(p, part)) {
            return 0;
        }

        if (slash == NULL) {
            return 1;
        }

        p += part + 1;
        len -= part + 1;
    }
}


static int
is_plain_authority(const char *text)
{
    size_t len;
    const char *end, *reason;
    sandbox_cidr_t cidr;

    if (text[0] != '[') {
        return is_registry(text, strlen(text));
    }

    end = strchr(text, ']');

    if (end == NULL || memchr(text, '/', (size_t) (end - text)) != NULL
        || memchr(text, ':', (size_t) (end - text)) == NULL
        || sandbox_cidr_parse(&cidr, text + 1, (size_t) (end - text) - 1,
                              &reason)
               != 0)
    {
        return 0;
    }

    len = strlen(end + 1);

    return len == 0 || (end[1] == ':' && is_port(end + 2, len - 1));
}


int
sandbox_syntax_authority(const char *text)
{
    int ok;
    char *copy, *p;
    size_t len = sizeof("${PORT}") - 1, longest = sizeof("65535") - 1;

    copy = strdup(text);
    if (copy == NULL) {
        return 0;
    }

    p = strstr(copy, "${PORT}");

    if (p) {
        memcpy(p, "65535", longest);
        memmove(p + longest, p + len, strlen(p + len) + 1);
    }

    ok = is_plain_authority(copy);
    free(copy);

    return ok;
}
