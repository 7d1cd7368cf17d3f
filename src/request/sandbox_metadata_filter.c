/*
 * The filter keeps its pairs as sorted names and canonical values, so that a
 * record's metadata is walked once and only values that may match are put
 * into canonical form.
 */

#include "sandbox_metadata_filter.h"

#include <stdlib.h>
#include <string.h>

#include "sandbox_text.h"


typedef struct {
    char *name;
    size_t len;
    sandbox_text_t value; /* canonical */
} filter_pair_t;

struct sandbox_metadata_filter_s {
    size_t n;
    filter_pair_t pairs[];
};


static int
filter_order(const void *a, const void *b)
{
    int rc;
    const filter_pair_t *x = a, *y = b;

    rc = memcmp(x->name, y->name, x->len < y->len ? x->len : y->len);

    return rc ? rc : (x->len > y->len) - (x->len < y->len);
}


/* 0, or -1 if memory is out. */
static int
filter_fill(sandbox_metadata_filter_t *filter, const sandbox_json_t *doc)
{
    filter_pair_t *pair;
    const sandbox_json_node_t *node;

    for (node = sandbox_json_child(doc, &doc->nodes[0]); node;
         node = sandbox_json_next(doc, node))
    {
        pair = &filter->pairs[filter->n++];
        pair->name = sandbox_json_key(doc, node, &pair->len);
        sandbox_text_json_canonical(&pair->value, doc, node);

        if (pair->name == NULL || sandbox_text_failed(&pair->value)) {
            return -1;
        }
    }

    qsort(filter->pairs, filter->n, sizeof(filter_pair_t), filter_order);

    return 0;
}


sandbox_metadata_filter_t *
sandbox_metadata_filter_make(const char *json, size_t len, const char **reason)
{
    sandbox_json_t doc;
    sandbox_json_error_t err;
    sandbox_metadata_filter_t *filter;

    if (sandbox_json_parse(&doc, json, len, &err) != 0) {
        *reason = err.reason;
        return NULL;
    }

    if (doc.nodes[0].type != SANDBOX_JSON_OBJECT) {
        sandbox_json_free(&doc);
        *reason = "is not a JSON object";
        return NULL;
    }

    *reason = NULL;
    filter =
        calloc(1, sizeof(*filter) + doc.nodes[0].count * sizeof(filter_pair_t));

    if (filter && filter_fill(filter, &doc) != 0) {
        sandbox_metadata_filter_free(filter);
        filter = NULL;
    }

    sandbox_json_free(&doc);

    return filter;
}


void
sandbox_metadata_filter_free(sandbox_metadata_filter_t *filter)
{
    size_t i;

    for (i = 0; filter && i < filter->n; i++) {
        free(filter->pairs[i].name);
        sandbox_text_free(&filter->pairs[i].value);
    }

    free(filter);
}


/* 1 if the member node is one of the pairs, 0 if not, -1: no memory. */
static int
filter_has(const sandbox_metadata_filter_t *filter, const sandbox_json_t *doc,
           const sandbox_json_node_t *node)
{
    int rc;
    filter_pair_t key;
    sandbox_text_t value = SANDBOX_TEXT_INIT;
    const filter_pair_t *pair;

    memset(&key, 0, sizeof(key));
    key.name = sandbox_json_key(doc, node, &key.len);

    if (key.name == NULL) {
        return -1;
    }

    pair = bsearch(&key, filter->pairs, filter->n, sizeof(key), filter_order);
    free(key.name);

    if (pair == NULL) {
        return 0;
    }

    sandbox_text_json_canonical(&value, doc, node);

    rc = sandbox_text_failed(&value)
             ? -1
             : value.len == pair->value.len
                   && memcmp(value.data, pair->value.data, value.len) == 0;

    sandbox_text_free(&value);

    return rc;
}


int
sandbox_metadata_filter_match(const sandbox_metadata_filter_t *filter,
                              const char *metadata, size_t len)
{
    int rc;
    size_t found;
    sandbox_json_t doc;
    sandbox_json_error_t err;
    const sandbox_json_node_t *node;

    if (filter->n == 0) {
        return 1;
    }

    if (sandbox_json_parse(&doc, metadata, len, &err) != 0) {
        return 0;
    }

    found = 0;
    rc = 0;
    node = doc.nodes[0].type == SANDBOX_JSON_OBJECT
               ? sandbox_json_child(&doc, &doc.nodes[0])
               : NULL;

    for (/* void */; node && rc >= 0 && found < filter->n;
         node = sandbox_json_next(&doc, node))
    {
        rc = filter_has(filter, &doc, node);
        found += rc > 0;
    }

    sandbox_json_free(&doc);

    return rc < 0 ? -1 : found == filter->n;
}
