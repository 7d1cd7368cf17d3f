/*
 * libFuzzer target of the JSON parser: no crash, no read past the text, the
 * promises of the header about nodes, and a canonical form that is JSON and
 * its own canonical form.
 */

#include <string.h>

#include "fuzz.h"
#include "sandbox_json.h"
#include "sandbox_text.h"


/* Children lie inside their parent, in order, as many as it counts. */
static void
check_children(const sandbox_json_t *doc, const sandbox_json_node_t *parent)
{
    uint32_t n, from;
    const sandbox_json_node_t *node;

    n = 0;
    from = parent->start + 1;

    for (node = sandbox_json_child(doc, parent); node;
         node = sandbox_json_next(doc, node))
    {
        require((node->key_len != 0) == (parent->type == SANDBOX_JSON_OBJECT));
        require(!node->key_len || node->key_start >= from);
        require(node->start >= from + node->key_len);
        from = node->start + node->len;
        n++;
    }

    require(n == parent->count);
    require(from <= parent->start + parent->len);
}


static void
check_node(const sandbox_json_t *doc, const sandbox_json_node_t *node)
{
    char *s;
    size_t len;
    int64_t n;

    require(node->type >= SANDBOX_JSON_NULL
            && node->type <= SANDBOX_JSON_OBJECT);
    require(node->len > 0 && node->start + node->len <= doc->len);

    s = sandbox_json_string(doc, node, &len);
    require((s != NULL) == (node->type == SANDBOX_JSON_STRING));
    require(!s || (len == strlen(s) && len <= node->len - 2));
    free(s);

    s = sandbox_json_key(doc, node, &len);
    require((s != NULL) == (node->key_len != 0));
    require(!s || (len == strlen(s) && len <= node->key_len - 2));
    free(s);

    if (node->type == SANDBOX_JSON_ARRAY || node->type == SANDBOX_JSON_OBJECT) {
        check_children(doc, node);
    }

    if (sandbox_json_integer(doc, node, &n) == 0) {
        require(node->type == SANDBOX_JSON_NUMBER);
    }
}


/* Every member is found by its own name. */
static void
check_members(const sandbox_json_t *doc, const sandbox_json_node_t *object)
{
    char *name;
    const sandbox_json_node_t *node;

    /* looking up is linear; the fuzzer is to find faults, not patience */
    if (object->type != SANDBOX_JSON_OBJECT || object->count > 64) {
        return;
    }

    for (node = sandbox_json_child(doc, object); node;
         node = sandbox_json_next(doc, node))
    {
        name = sandbox_json_key(doc, node, NULL);
        require(name && sandbox_json_member(doc, object, name) == node);
        free(name);
    }
}


static void
check_canonical(const sandbox_json_t *doc)
{
    sandbox_json_t again;
    sandbox_text_t first = SANDBOX_TEXT_INIT, second = SANDBOX_TEXT_INIT;
    sandbox_json_error_t err;

    sandbox_text_json_canonical(&first, doc, &doc->nodes[0]);
    require(!sandbox_text_failed(&first));
    require(sandbox_json_parse(&again, first.data, first.len, &err) == 0);

    sandbox_text_json_canonical(&second, &again, &again.nodes[0]);
    require(!sandbox_text_failed(&second));
    require(first.len == second.len
            && memcmp(first.data, second.data, first.len) == 0);

    sandbox_json_free(&again);
    sandbox_text_free(&first);
    sandbox_text_free(&second);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t i;
    char *text;
    sandbox_json_t doc;
    sandbox_json_error_t err;

    /* a copy of the exact size, so that ASan sees the byte behind it read */
    text = malloc(size ? size : 1);
    require(text != NULL);

    if (size) {
        memcpy(text, data, size);
    }

    err.reason = NULL;

    if (sandbox_json_parse(&doc, text, size, &err) != 0) {
        require(err.reason && err.offset <= size);
        require_utf8(err.field, sizeof(err.field));
        require(!doc.nodes && !doc.nnodes);
        free(text);
        return 0;
    }

    require(doc.nnodes > 0 && doc.nnodes <= SANDBOX_JSON_MAX_NODES);

    for (i = 0; i < doc.nnodes; i++) {
        check_node(&doc, &doc.nodes[i]);
        check_members(&doc, &doc.nodes[i]);
    }

    check_canonical(&doc);
    sandbox_json_free(&doc);
    free(text);

    return 0;
}
