/* Reading query strings; see the header. */

#include "sandbox_query.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox_utf8.h"

#define QUERY_WORD_SHOWN 64 /* bytes of a client's word in a reason */

static const char query_malformed[] = "has a malformed percent escape";


sandbox_query_status_t
sandbox_query_refuse(sandbox_query_error_t *err, const char *field,
                     const char *fmt, ...)
{
    va_list args;

    (void) snprintf(err->field, sizeof(err->field), "%s", field);

    va_start(args, fmt);
    (void) vsnprintf(err->reason, sizeof(err->reason), fmt, args);
    va_end(args);

    return SANDBOX_QUERY_INVALID;
}


static int
query_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c = (char) (c | 0x20);

    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}


/* The byte of the percent escape at s, or -1 if it is malformed. */
static int
query_escape(const char *s, const char *last)
{
    int high, low;

    high = last - s > 2 ? query_hex(s[1]) : -1;
    low = high < 0 ? -1 : query_hex(s[2]);

    return low < 0 ? -1 : high << 4 | low;
}


/*
 * Decodes len bytes of s into out, which has room for len + 1.  NULL, or why
 * they are refused.
 */
static const char *
query_decode(char *out, const char *s, size_t len)
{
    int byte;
    char c, *p;
    size_t n;
    const char *last;

    p = out;

    for (last = s + len; s < last; s++) {
        c = *s == '+' ? ' ' : *s;

        if (c == '%') {
            byte = query_escape(s, last);

            if (byte < 0) {
                return query_malformed;
            }

            c = (char) byte;
            s += 2;
        }

        if (c == '\0') {
            return "must not contain NUL";
        }

        *p++ = c;
    }

    *p = '\0';

    for (s = out; s < p; s += n) {
        n = sandbox_utf8_len((const uint8_t *) s, (size_t) (p - s));
        if (n == 0) {
            return "is not valid UTF-8";
        }
    }

    return NULL;
}


/* 1 if name may be shown as the field of an error. */
static int
query_showable(const char *name)
{
    size_t n;

    n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                     "0123456789_.-");

    return n > 0 && name[n] == '\0'
           && n < sizeof(((sandbox_query_error_t *) NULL)->field);
}


/* One "name=value" of len bytes; buf has room for len + 1. */
static sandbox_query_status_t
query_param(sandbox_query_param_t *params, char *buf, const char *s, size_t len,
            sandbox_query_error_t *err)
{
    size_t n;
    const char *value, *reason;
    sandbox_query_param_t *p;

    value = memchr(s, '=', len);
    n = value ? (size_t) (value - s) : len;

    reason = query_decode(buf, s, n);
    if (reason) {
        return sandbox_query_refuse(err, "query", "%s", reason);
    }

    for (p = params; p->name && strcmp(p->name, buf) != 0; p++) {
        /* void */
    }

    if (p->name == NULL) {
        return query_showable(buf)
                   ? sandbox_query_refuse(err, buf, "is not a known parameter")
                   : sandbox_query_refuse(err, "query",
                                          "has an unknown parameter");
    }

    if (p->value) {
        return sandbox_query_refuse(err, p->name, "is given twice");
    }

    n = value ? n + 1 : n;
    reason = query_decode(buf, s + n, len - n);
    if (reason) {
        return sandbox_query_refuse(err, p->name, "%s", reason);
    }

    p->value = strdup(buf);

    return p->value ? SANDBOX_QUERY_OK : SANDBOX_QUERY_NO_MEMORY;
}


sandbox_query_status_t
sandbox_query_parse(sandbox_query_param_t *params, const char *text, size_t len,
                    sandbox_query_error_t *err)
{
    char *buf;
    size_t n;
    const char *end, *last;
    sandbox_query_status_t rc;

    if (len == 0) {
        return SANDBOX_QUERY_OK;
    }

    buf = malloc(len + 1);
    if (buf == NULL) {
        return SANDBOX_QUERY_NO_MEMORY;
    }

    last = text + len;

    do {
        end = memchr(text, '&', (size_t) (last - text));
        n = (size_t) ((end ? end : last) - text);
        rc = query_param(params, buf, text, n, err);
        text += n + 1;
    } while (rc == SANDBOX_QUERY_OK && end);

    free(buf);

    return rc;
}


sandbox_query_status_t
sandbox_query_escapes(const char *text, size_t len, sandbox_query_error_t *err)
{
    size_t n;
    char name[sizeof(err->field)];
    const char *s, *param, *value, *last;

    param = text;
    value = NULL;
    last = text + len;

    for (s = text; s < last; s++) {
        if (*s == '&') {
            param = s + 1;
            value = NULL;

        } else if (*s == '=' && value == NULL) {
            value = s;

        } else if (*s == '%' && query_escape(s, last) < 0) {
            n = value ? (size_t) (value - param) : 0;
            (void) snprintf(name, sizeof(name), "%.*s",
                            n < sizeof(name) ? (int) n : 0, param);

            return sandbox_query_refuse(err,
                                        query_showable(name) ? name : "query",
                                        "%s", query_malformed);
        }
    }

    return SANDBOX_QUERY_OK;
}


void
sandbox_query_free(sandbox_query_param_t *params)
{
    for (/* void */; params->name; params++) {
        free(params->value);
        params->value = NULL;
    }
}


sandbox_query_status_t
sandbox_query_words(uint32_t *set, const sandbox_query_param_t *param,
                    sandbox_query_find_pt find, const char *kind,
                    sandbox_query_error_t *err)
{
    int bit, shown;
    size_t n;
    const char *s;

    *set = 0;

    for (s = param->value; /* void */; s += n + 1) {
        n = strcspn(s, ",");
        shown = n < QUERY_WORD_SHOWN ? (int) n : QUERY_WORD_SHOWN;

        if (n == 0) {
            return sandbox_query_refuse(err, param->name, "names an empty %s",
                                        kind);
        }

        bit = find(s, n);

        if (bit < 0) {
            return sandbox_query_refuse(err, param->name, "\"%.*s\" is no %s",
                                        shown, s, kind);
        }

        if (*set & UINT32_C(1) << bit) {
            return sandbox_query_refuse(err, param->name,
                                        "names \"%.*s\" twice", shown, s);
        }

        *set |= UINT32_C(1) << bit;

        if (s[n] == '\0') {
            return SANDBOX_QUERY_OK;
        }
    }
}


sandbox_query_status_t
sandbox_query_fields(uint32_t *set, const sandbox_query_param_t *param,
                     sandbox_query_find_pt find, sandbox_query_error_t *err)
{
    sandbox_query_status_t rc;

    if (param->value == NULL) {
        *set = UINT32_MAX;
        return SANDBOX_QUERY_OK;
    }

    rc = sandbox_query_words(set, param, find, "member of the object", err);

    return rc == SANDBOX_QUERY_INVALID ? SANDBOX_QUERY_INVALID_FIELDS : rc;
}
