/*
 * The nodes of a parsed document: members, unescaped strings, whole numbers.
 * Declared in sandbox_json.h.
 */

#include "sandbox_json.h"

#include "sandbox_decimal.h"
#include "sandbox_json_escape.h"
#include "sandbox_utf8.h"

#include <stdlib.h>
#include <string.h>


/* Unescapes a checked string of len bytes, quotes included; see header. */
static char *
sandbox_json_unescape(const char *s, size_t len, size_t *outlen)
{
    char *out;
    size_t n;
    uint32_t code;
    const char *last, *reason;

    out = malloc(len);
    if (out == NULL) {
        return NULL;
    }

    last = s + len - 1;
    n = 0;

    if (memchr(s, '\\', len) == NULL) {
        n = len - 2;
        memcpy(out, s + 1, n);
        s = last - 1;
    }

    for (s++; s < last; /* void */) {
        if (*s != '\\') {
            out[n++] = *s++;
            continue;
        }

        /* no escape is shorter than its UTF-8, so out has the room */
        s += sandbox_json_escape(s, last, &code, &reason);
        n += sandbox_utf8_encode(out + n, code);
    }

    out[n] = '\0';

    if (outlen) {
        *outlen = n;
    }

    return out;
}


const sandbox_json_node_t *
sandbox_json_child(const sandbox_json_t *doc, const sandbox_json_node_t *node)
{
    return node->child ? &doc->nodes[node->child] : NULL;
}


const sandbox_json_node_t *
sandbox_json_next(const sandbox_json_t *doc, const sandbox_json_node_t *node)
{
    return node->next ? &doc->nodes[node->next] : NULL;
}


char *
sandbox_json_string(const sandbox_json_t *doc, const sandbox_json_node_t *node,
                    size_t *len)
{
    if (node == NULL || node->type != SANDBOX_JSON_STRING) {
        return NULL;
    }

    return sandbox_json_unescape(doc->text + node->start, node->len, len);
}


char *
sandbox_json_key(const sandbox_json_t *doc, const sandbox_json_node_t *node,
                 size_t *len)
{
    if (node == NULL || node->key_len == 0) {
        return NULL;
    }

    return sandbox_json_unescape(doc->text + node->key_start, node->key_len,
                                 len);
}


const char *
sandbox_json_plain_key(const sandbox_json_t *doc,
                       const sandbox_json_node_t *node, size_t *len)
{
    const char *s;

    s = doc->text + node->key_start + 1;
    *len = node->key_len - 2;

    return memchr(s, '\\', *len) ? NULL : s;
}


/* 1 if the member's unescaped name is name. */
static int
sandbox_json_named(const sandbox_json_t *doc, const sandbox_json_node_t *node,
                   const char *name, size_t len)
{
    int same;
    char *key;
    size_t n;
    const char *s;

    s = sandbox_json_plain_key(doc, node, &n);

    if (s) {
        return n == len && memcmp(s, name, n) == 0;
    }

    key = sandbox_json_key(doc, node, &n);
    same = key && n == len && memcmp(key, name, n) == 0;
    free(key);

    return same;
}


const sandbox_json_node_t *
sandbox_json_member(const sandbox_json_t *doc, const sandbox_json_node_t *obj,
                    const char *name)
{
    size_t len;
    const sandbox_json_node_t *node;

    if (obj == NULL || obj->type != SANDBOX_JSON_OBJECT) {
        return NULL;
    }

    len = strlen(name);

    for (node = sandbox_json_child(doc, obj); node;
         node = sandbox_json_next(doc, node))
    {
        if (sandbox_json_named(doc, node, name, len)) {
            return node;
        }
    }

    return NULL;
}


void
sandbox_json_drop_nulls(sandbox_json_t *doc, const sandbox_json_node_t *object)
{
    uint32_t *link;
    sandbox_json_node_t *parent, *node;

    parent = &doc->nodes[object - doc->nodes];
    link = &parent->child;

    while (*link) {
        node = &doc->nodes[*link];

        if (node->type == SANDBOX_JSON_NULL) {
            *link = node->next;
            parent->count--;
        } else {
            link = &node->next;
        }
    }
}


int
sandbox_json_integer(const sandbox_json_t *doc, const sandbox_json_node_t *node,
                     int64_t *value)
{
    int64_t n;
    int digit;
    const char *s;
    sandbox_decimal_t d;

    if (node == NULL || node->type != SANDBOX_JSON_NUMBER
        || sandbox_decimal_read(&d, doc->text + node->start, node->len) != 0)
    {
        return -1;
    }

    *value = 0;

    if (d.ndigits == 0) {
        return 0;
    }

    if (d.exponent < 0 || d.exponent + (int64_t) d.ndigits > 19) {
        return -1;
    }

    n = 0;

    for (s = d.first; s <= d.last || d.exponent > 0; /* void */) {
        digit = 0;

        if (s <= d.last) {
            if (*s == '.') {
                s++;
                continue;
            }
            digit = *s++ - '0';
        } else {
            d.exponent--;
        }

        /* summed up as negative, since -INT64_MIN would overflow */
        if (__builtin_mul_overflow(n, 10, &n)
            || __builtin_sub_overflow(n, digit, &n)) {
            return -1;
        }
    }

    if (!d.negative && n == INT64_MIN) {
        return -1;
    }

    *value = d.negative ? n : -n;

    return 0;
}
