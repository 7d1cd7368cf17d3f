/*
 * The canonical form of JSON, for comparing requests; declared in
 * sandbox_text.h.  The depth of recursion is bounded by the parser's
 * SANDBOX_JSON_MAX_DEPTH.
 */

#include "sandbox_text.h"

#include "sandbox_decimal.h"

#include <stdlib.h>
#include <string.h>


/* Most objects are small: memory is taken for the others only. */
#define SANDBOX_CANONICAL_FEW 8

typedef struct {
    const char *name;
    char *copy; /* of a name with escapes */
    size_t len;
    const sandbox_json_node_t *node;
} sandbox_canonical_member_t;


/* "[-]<digits>e<exponent>", the digits without zeros at either end. */
static void
sandbox_canonical_number(sandbox_text_t *t, const char *s, size_t len)
{
    sandbox_decimal_t d;

    if (sandbox_decimal_read(&d, s, len) != 0) {
        /* beyond any real number: its own spelling has to do */
        sandbox_text_add(t, s, len);
        return;
    }

    if (d.ndigits == 0) {
        sandbox_text_str(t, "0");
        return;
    }

    sandbox_text_str(t, d.negative ? "-" : "");

    for (s = d.first; s <= d.last; s++) {
        if (*s != '.') {
            sandbox_text_add(t, s, 1);
        }
    }

    sandbox_text_str(t, "e");
    sandbox_text_int(t, d.exponent);
}


static void
sandbox_canonical_string(sandbox_text_t *t, char *s, size_t len)
{
    if (s == NULL) {
        t->failed = 1;
        return;
    }

    sandbox_text_json_string(t, s, len);
}


static int
sandbox_canonical_order(const void *a, const void *b)
{
    int rc;
    const sandbox_canonical_member_t *x = a, *y = b;

    rc = memcmp(x->name, y->name, x->len < y->len ? x->len : y->len);

    return rc ? rc : (x->len > y->len) - (x->len < y->len);
}


static void
sandbox_canonical_members(sandbox_text_t *t, const sandbox_json_t *doc,
                          sandbox_canonical_member_t *members, size_t n)
{
    size_t i;

    qsort(members, n, sizeof(sandbox_canonical_member_t),
          sandbox_canonical_order);

    for (i = 0; i < n; i++) {
        sandbox_text_str(t, i ? "," : "");
        sandbox_text_json_string(t, members[i].name, members[i].len);
        sandbox_text_str(t, ":");
        sandbox_text_json_canonical(t, doc, members[i].node);
    }
}


static void
sandbox_canonical_object(sandbox_text_t *t, const sandbox_json_t *doc,
                         const sandbox_json_node_t *node)
{
    size_t i, n;
    const sandbox_json_node_t *child;
    sandbox_canonical_member_t few[SANDBOX_CANONICAL_FEW], *members;

    n = 0;
    members = node->count <= SANDBOX_CANONICAL_FEW
                  ? few
                  : calloc(node->count, sizeof(*members));

    if (members == NULL) {
        t->failed = 1;
        return;
    }

    for (child = sandbox_json_child(doc, node); child;
         child = sandbox_json_next(doc, child))
    {
        members[n].node = child;
        members[n].copy = NULL;
        members[n].name = sandbox_json_plain_key(doc, child, &members[n].len);

        if (members[n].name == NULL) {
            members[n].copy = sandbox_json_key(doc, child, &members[n].len);
            members[n].name = members[n].copy;
        }

        if (members[n].name == NULL) {
            t->failed = 1;
            break;
        }
        n++;
    }

    if (!t->failed) {
        sandbox_text_str(t, "{");
        sandbox_canonical_members(t, doc, members, n);
        sandbox_text_str(t, "}");
    }

    for (i = 0; i < n; i++) {
        free(members[i].copy);
    }

    if (members != few) {
        free(members);
    }
}


static void
sandbox_canonical_array(sandbox_text_t *t, const sandbox_json_t *doc,
                        const sandbox_json_node_t *node)
{
    const sandbox_json_node_t *child;

    sandbox_text_str(t, "[");

    for (child = sandbox_json_child(doc, node); child;
         child = sandbox_json_next(doc, child))
    {
        sandbox_text_json_canonical(t, doc, child);
        sandbox_text_str(t, child->next ? "," : "");
    }

    sandbox_text_str(t, "]");
}


void
sandbox_text_json_canonical(sandbox_text_t *t, const sandbox_json_t *doc,
                            const sandbox_json_node_t *node)
{
    char *s;
    size_t len;

    switch (node->type) {
    case SANDBOX_JSON_OBJECT:
        sandbox_canonical_object(t, doc, node);
        break;

    case SANDBOX_JSON_ARRAY:
        sandbox_canonical_array(t, doc, node);
        break;

    case SANDBOX_JSON_STRING:
        len = 0;
        s = sandbox_json_string(doc, node, &len);
        sandbox_canonical_string(t, s, len);
        free(s);
        break;

    case SANDBOX_JSON_NUMBER:
        sandbox_canonical_number(t, doc->text + node->start, node->len);
        break;

    case SANDBOX_JSON_NULL:
    case SANDBOX_JSON_FALSE:
    case SANDBOX_JSON_TRUE:
        sandbox_text_add(t, doc->text + node->start, node->len);
        break;
    }
}


static int
sandbox_canonical_text(sandbox_text_t *t, const char *json)
{
    sandbox_json_t doc;
    sandbox_json_error_t err;

    if (sandbox_json_parse(&doc, json, strlen(json), &err) != 0) {
        return -1;
    }

    sandbox_text_json_canonical(t, &doc, &doc.nodes[0]);
    sandbox_json_free(&doc);

    return sandbox_text_failed(t) ? -1 : 0;
}


int
sandbox_json_equal(const char *a, const char *b)
{
    int equal;
    sandbox_text_t x = SANDBOX_TEXT_INIT;
    sandbox_text_t y = SANDBOX_TEXT_INIT;

    equal = sandbox_canonical_text(&x, a) == 0
            && sandbox_canonical_text(&y, b) == 0 && x.len == y.len
            && memcmp(x.data, y.data, x.len) == 0;

    sandbox_text_free(&x);
    sandbox_text_free(&y);

    return equal;
}
