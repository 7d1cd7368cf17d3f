/*
 * The canonical form of JSON, for comparing requests; declared in
 * sandbox_text.h.  The depth of recursion is bounded by the parser's
 * SANDBOX_JSON_MAX_DEPTH.
 */

#include "sandbox_text.h"

#include "sandbox_decimal.h"
#include "sandbox_json_names.h"

#include <stdlib.h>
#include <string.h>


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


static void
sandbox_canonical_object(sandbox_text_t *t, const sandbox_json_t *doc,
                         const sandbox_json_node_t *node)
{
    size_t i;
    const sandbox_json_name_t *name;
    sandbox_json_names_t names;

    if (sandbox_json_names(&names, doc, node) != 0) {
        t->failed = 1;
        return;
    }

    sandbox_text_str(t, "{");

    for (i = 0; i < names.n; i++) {
        name = &names.names[i];
        sandbox_text_str(t, i ? "," : "");
        sandbox_text_json_string(t, name->text, name->len);
        sandbox_text_str(t, ":");
        sandbox_text_json_canonical(t, doc, name->node);
    }

    sandbox_text_str(t, "}");
    sandbox_json_names_free(&names);
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
