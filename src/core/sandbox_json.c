/*
 * Strict JSON over a caller's text; see the header.
 *
 * Our own parser because no library of Debian's keeps where in the text a
 * value stands, which verbatim metadata needs, and refuses duplicate members.
 * It is a loop over the text with a stack of open containers: nesting costs
 * no C stack.
 */

#include "sandbox_json.h"

#include "sandbox_json_escape.h"
#include "sandbox_json_names.h"
#include "sandbox_utf8.h"

#include <stdlib.h>
#include <string.h>


typedef struct {
    sandbox_json_t *doc;
    const char *pos;
    const char *last;
    size_t size;                            /* nodes allocated */
    uint32_t stack[SANDBOX_JSON_MAX_DEPTH]; /* open containers */
    uint32_t tail[SANDBOX_JSON_MAX_DEPTH];  /* their newest child, or 0 */
    size_t depth;
    uint32_t twice; /* a member with the same name as an earlier one, or 0 */
    const char *reason;
} sandbox_json_parser_t;


static int
sandbox_json_fail(sandbox_json_parser_t *p, const char *reason)
{
    p->reason = reason;
    return -1;
}


static void
sandbox_json_space(sandbox_json_parser_t *p)
{
    while (p->pos < p->last
           && (*p->pos == ' ' || *p->pos == '\t' || *p->pos == '\n'
               || *p->pos == '\r'))
    {
        p->pos++;
    }
}


/* Steps over a string that starts at p->pos. */
static int
sandbox_json_scan_string(sandbox_json_parser_t *p)
{
    size_t n;
    uint8_t c;
    uint32_t code;

    p->pos++;

    while (p->pos < p->last) {
        c = (uint8_t) *p->pos;

        if (c == '"') {
            p->pos++;
            return 0;
        }

        if (c < 0x20) {
            return sandbox_json_fail(p, "has a control character in a string");
        }

        if (c == '\\') {
            n = sandbox_json_escape(p->pos, p->last, &code, &p->reason);
            if (n == 0) {
                return -1;
            }
            p->pos += n;
            continue;
        }

        n = sandbox_utf8_len((const uint8_t *) p->pos,
                             (size_t) (p->last - p->pos));
        if (n == 0) {
            return sandbox_json_fail(p, "is not valid UTF-8");
        }
        p->pos += n;
    }

    return sandbox_json_fail(p, "ends inside a string");
}


static size_t
sandbox_json_digits(sandbox_json_parser_t *p)
{
    const char *start;

    start = p->pos;

    while (p->pos < p->last && *p->pos >= '0' && *p->pos <= '9') {
        p->pos++;
    }

    return (size_t) (p->pos - start);
}


static int
sandbox_json_scan_number(sandbox_json_parser_t *p)
{
    size_t n;
    const char *start;

    if (*p->pos == '-') {
        p->pos++;
    }

    start = p->pos;
    n = sandbox_json_digits(p);

    if (n == 0 || (n > 1 && *start == '0')) {
        return sandbox_json_fail(p, "has a malformed number");
    }

    if (p->pos < p->last && *p->pos == '.') {
        p->pos++;
        if (sandbox_json_digits(p) == 0) {
            return sandbox_json_fail(p, "has a malformed number");
        }
    }

    if (p->pos < p->last && (*p->pos == 'e' || *p->pos == 'E')) {
        p->pos++;
        if (p->pos < p->last && (*p->pos == '+' || *p->pos == '-')) {
            p->pos++;
        }
        if (sandbox_json_digits(p) == 0) {
            return sandbox_json_fail(p, "has a malformed number");
        }
    }

    return 0;
}


static int
sandbox_json_scan_word(sandbox_json_parser_t *p, const char *word)
{
    size_t len;

    len = strlen(word);

    if ((size_t) (p->last - p->pos) < len || memcmp(p->pos, word, len) != 0) {
        return sandbox_json_fail(p, "has an unknown word");
    }

    p->pos += len;

    return 0;
}


/* A new node at p->pos, linked into its container; NULL with reason set. */
static sandbox_json_node_t *
sandbox_json_node(sandbox_json_parser_t *p)
{
    size_t size;
    uint32_t i, parent, tail;
    sandbox_json_t *doc;
    sandbox_json_node_t *nodes;

    doc = p->doc;

    if (doc->nnodes == SANDBOX_JSON_MAX_NODES) {
        p->reason = "has too many values";
        return NULL;
    }

    if (doc->nnodes == p->size) {
        size = p->size ? p->size * 2 : 32;
        nodes = realloc(doc->nodes, size * sizeof(sandbox_json_node_t));
        if (nodes == NULL) {
            p->reason = "needs more memory than there is";
            return NULL;
        }
        doc->nodes = nodes;
        p->size = size;
    }

    i = (uint32_t) doc->nnodes++;
    memset(&doc->nodes[i], 0, sizeof(sandbox_json_node_t));
    doc->nodes[i].start = (uint32_t) (p->pos - doc->text);

    if (p->depth) {
        parent = p->stack[p->depth - 1];
        tail = p->tail[p->depth - 1];

        if (tail) {
            doc->nodes[tail].next = i;
        } else {
            doc->nodes[parent].child = i;
        }

        p->tail[p->depth - 1] = i;
        doc->nodes[parent].count++;
    }

    return &doc->nodes[i];
}


static int
sandbox_json_open(sandbox_json_parser_t *p)
{
    if (p->depth == SANDBOX_JSON_MAX_DEPTH) {
        return sandbox_json_fail(p, "is nested too deeply");
    }

    p->stack[p->depth] = (uint32_t) (p->doc->nnodes - 1);
    p->tail[p->depth] = 0;
    p->depth++;
    p->pos++;

    return 0;
}


/* Reads a value; a container is only opened. */
static int
sandbox_json_value(sandbox_json_parser_t *p, size_t key_start, size_t key_len)
{
    int rc;
    uint32_t i;
    sandbox_json_node_t *node;

    if (p->pos == p->last) {
        return sandbox_json_fail(p, "ends too early");
    }

    node = sandbox_json_node(p);
    if (node == NULL) {
        return -1;
    }

    node->key_start = (uint32_t) key_start;
    node->key_len = (uint32_t) key_len;
    i = (uint32_t) (node - p->doc->nodes);

    switch (*p->pos) {
    case '{':
        node->type = SANDBOX_JSON_OBJECT;
        return sandbox_json_open(p);
    case '[':
        node->type = SANDBOX_JSON_ARRAY;
        return sandbox_json_open(p);
    case '"':
        node->type = SANDBOX_JSON_STRING;
        rc = sandbox_json_scan_string(p);
        break;
    case 't':
        node->type = SANDBOX_JSON_TRUE;
        rc = sandbox_json_scan_word(p, "true");
        break;
    case 'f':
        node->type = SANDBOX_JSON_FALSE;
        rc = sandbox_json_scan_word(p, "false");
        break;
    case 'n':
        node->type = SANDBOX_JSON_NULL;
        rc = sandbox_json_scan_word(p, "null");
        break;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        node->type = SANDBOX_JSON_NUMBER;
        rc = sandbox_json_scan_number(p);
        break;
    default:
        return sandbox_json_fail(p, "has no value where one must stand");
    }

    if (rc == 0) {
        node = &p->doc->nodes[i];
        node->len = (uint32_t) (p->pos - p->doc->text) - node->start;
    }

    return rc;
}


/* Refuses an object with two members of one name. */
static int
sandbox_json_check_names(sandbox_json_parser_t *p, uint32_t object)
{
    size_t i, n;
    sandbox_json_name_t *pair;
    sandbox_json_names_t names;
    const sandbox_json_node_t *later;

    n = p->doc->nodes[object].count;

    if (n < 2) {
        return 0;
    }

    if (n > SANDBOX_JSON_MAX_MEMBERS) {
        return sandbox_json_fail(p, "has more than 4096 members");
    }

    if (sandbox_json_names(&names, p->doc, &p->doc->nodes[object]) != 0) {
        return sandbox_json_fail(p, "needs more memory than there is");
    }

    for (i = 1; i < n && !p->twice; i++) {
        pair = &names.names[i - 1];

        if (sandbox_json_names_order(&pair[0], &pair[1]) == 0) {
            later = pair[0].node > pair[1].node ? pair[0].node : pair[1].node;
            p->twice = (uint32_t) (later - p->doc->nodes);
        }
    }

    sandbox_json_names_free(&names);

    if (p->twice) {
        p->pos = p->doc->text + p->doc->nodes[p->twice].key_start;
        return sandbox_json_fail(p, "is given twice");
    }

    return 0;
}


static int
sandbox_json_close(sandbox_json_parser_t *p)
{
    uint32_t i;
    sandbox_json_node_t *node;

    i = p->stack[p->depth - 1];
    node = &p->doc->nodes[i];

    if (node->type == SANDBOX_JSON_OBJECT
        && sandbox_json_check_names(p, i) != 0) {
        return -1;
    }

    p->depth--;
    p->pos++;
    node->len = (uint32_t) (p->pos - p->doc->text) - node->start;

    return 0;
}


/* A member's name and colon, then its value. */
static int
sandbox_json_member_value(sandbox_json_parser_t *p)
{
    size_t start, len;

    if (p->pos == p->last || *p->pos != '"') {
        return sandbox_json_fail(p, "has no member name where one must stand");
    }

    start = (size_t) (p->pos - p->doc->text);

    if (sandbox_json_scan_string(p) != 0) {
        return -1;
    }

    len = (size_t) (p->pos - p->doc->text) - start;
    sandbox_json_space(p);

    if (p->pos == p->last || *p->pos != ':') {
        return sandbox_json_fail(p, "has no colon after a member name");
    }

    p->pos++;
    sandbox_json_space(p);

    return sandbox_json_value(p, start, len);
}


/* One step inside the innermost container: its end, or its next value. */
static int
sandbox_json_step(sandbox_json_parser_t *p)
{
    char close;
    sandbox_json_node_t *node;

    node = &p->doc->nodes[p->stack[p->depth - 1]];
    close = node->type == SANDBOX_JSON_OBJECT ? '}' : ']';

    if (p->pos == p->last) {
        return sandbox_json_fail(p, "ends too early");
    }

    if (*p->pos == close) {
        return sandbox_json_close(p);
    }

    if (node->count) {
        if (*p->pos != ',') {
            return sandbox_json_fail(p, "has no comma between two values");
        }
        p->pos++;
        sandbox_json_space(p);
    }

    if (node->type == SANDBOX_JSON_OBJECT) {
        return sandbox_json_member_value(p);
    }

    return sandbox_json_value(p, 0, 0);
}


/* Appends the name or index of a value, the newest one of its container. */
static void
sandbox_json_field(const sandbox_json_parser_t *p, char *field,
                   uint32_t container, uint32_t value)
{
    char *name;
    sandbox_json_t *doc;

    doc = p->doc;

    if (doc->nodes[container].type == SANDBOX_JSON_ARRAY) {
        sandbox_json_path_index(field, doc->nodes[container].count - 1);
        return;
    }

    name = sandbox_json_key(doc, &doc->nodes[value], NULL);

    if (name) {
        sandbox_json_path_name(field, name);
        free(name);
    }
}


/* Sets err->field to the value being read: open containers have no length. */
static void
sandbox_json_where(const sandbox_json_parser_t *p, sandbox_json_error_t *err)
{
    size_t i;
    uint32_t value;

    for (i = 0; i < p->depth; i++) {
        value = p->tail[i];

        if (value == 0 || p->doc->nodes[value].len != 0) {
            break;
        }

        sandbox_json_field(p, err->field, p->stack[i], value);
    }

    if (p->twice) {
        sandbox_json_field(p, err->field, p->stack[p->depth - 1], p->twice);
    }
}


int
sandbox_json_parse(sandbox_json_t *doc, const char *text, size_t len,
                   sandbox_json_error_t *err)
{
    int rc;
    sandbox_json_parser_t p;

    memset(doc, 0, sizeof(sandbox_json_t));
    memset(&p, 0, sizeof(p));
    memset(err, 0, sizeof(*err));

    if (len > SANDBOX_JSON_MAX_LEN) {
        err->reason = "is too long";
        return -1;
    }

    if (len == 0) {
        text = ""; /* NULL may come with length 0 */
    }

    doc->text = text;
    doc->len = len;
    p.doc = doc;
    p.pos = text;
    p.last = text + len;

    sandbox_json_space(&p);
    rc = sandbox_json_value(&p, 0, 0);

    while (rc == 0) {
        sandbox_json_space(&p);

        if (p.depth == 0) {
            break;
        }

        rc = sandbox_json_step(&p);
    }

    if (rc == 0 && p.pos != p.last) {
        rc = sandbox_json_fail(&p, "has something after its end");
    }

    if (rc != 0) {
        err->offset = (size_t) (p.pos - text);
        err->reason = p.reason;
        sandbox_json_where(&p, err);
        sandbox_json_free(doc);
    }

    return rc;
}


void
sandbox_json_free(sandbox_json_t *doc)
{
    free(doc->nodes);
    memset(doc, 0, sizeof(sandbox_json_t));
}
