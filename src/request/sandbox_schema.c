/* Walking a document along tables; see the header. */

#include "sandbox_schema.h"

#include "sandbox_syntax.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


sandbox_schema_status_t
sandbox_schema_refuse(sandbox_schema_t *s, const char *path, const char *fmt,
                      ...)
{
    va_list args;

    if (path) {
        (void) snprintf(s->path, sizeof(s->path), "%s", path);
    }

    va_start(args, fmt);
    (void) vsnprintf(s->reason, sizeof(s->reason), fmt, args);
    va_end(args);

    return SANDBOX_SCHEMA_REFUSED;
}


sandbox_schema_status_t
sandbox_schema_read(sandbox_schema_t *s, const char *body, size_t len)
{
    sandbox_json_error_t err;

    if (len == 0) {
        body = "{}";
        len = 2;
    }

    if (sandbox_json_parse(&s->doc, body, len, &err) != 0) {
        return sandbox_schema_refuse(s, err.field, "%s at byte %zu", err.reason,
                                     err.offset);
    }

    if (s->doc.nodes[0].type != SANDBOX_JSON_OBJECT) {
        sandbox_json_free(&s->doc);
        return sandbox_schema_refuse(s, NULL, "must be a JSON object");
    }

    return SANDBOX_SCHEMA_OK;
}


size_t
sandbox_schema_enter(sandbox_schema_t *s, const char *name)
{
    size_t mark;

    mark = strlen(s->path);
    sandbox_json_path_name(s->path, name);

    return mark;
}


size_t
sandbox_schema_enter_item(sandbox_schema_t *s, size_t index)
{
    size_t mark;

    mark = strlen(s->path);
    sandbox_json_path_index(s->path, index);

    return mark;
}


void
sandbox_schema_leave(sandbox_schema_t *s, size_t mark)
{
    s->path[mark] = '\0';
}


int
sandbox_schema_is(const sandbox_schema_t *s, int slot, const char *word)
{
    int equal;
    char *text;

    if (s->node[slot] == NULL) {
        return 0;
    }

    text = sandbox_json_string(&s->doc, s->node[slot], NULL);
    equal = text != NULL && strcmp(text, word) == 0;
    free(text);

    return equal;
}


int
sandbox_schema_true(const sandbox_schema_t *s, int slot)
{
    return s->node[slot] != NULL && s->node[slot]->type == SANDBOX_JSON_TRUE;
}


int64_t
sandbox_schema_value(const sandbox_schema_t *s, int slot, int64_t otherwise)
{
    return s->node[slot] ? s->number[slot] : otherwise;
}


char *
sandbox_schema_verbatim(const sandbox_schema_t *s,
                        const sandbox_json_node_t *node)
{
    return strndup(s->doc.text + node->start, node->len);
}


sandbox_schema_status_t
sandbox_schema_id(sandbox_schema_t *s, const sandbox_json_node_t *node,
                  const char *text)
{
    (void) node;

    if (!sandbox_syntax_id(text)) {
        return sandbox_schema_refuse(
            s, NULL, "must be letters, digits, \"_\", \".\" and \"-\"");
    }

    return SANDBOX_SCHEMA_OK;
}


int
sandbox_schema_plain_never(const sandbox_schema_t *s,
                           const sandbox_schema_member_t *m)
{
    (void) s;
    (void) m;

    return 0;
}


int
sandbox_schema_plain_empty(const sandbox_schema_t *s,
                           const sandbox_schema_member_t *m)
{
    return s->node[m->slot]->count == 0;
}


static int64_t
schema_max(const sandbox_schema_t *s, const sandbox_schema_member_t *m)
{
    int64_t max, limit;

    max = m->max ? m->max : INT64_MAX;

    if (m->limit) {
        memcpy(&limit, (const char *) s->limits + m->limit - 1, sizeof(limit));
        if (limit < max) {
            max = limit;
        }
    }

    return max;
}


static sandbox_schema_status_t
schema_integer(sandbox_schema_t *s, const sandbox_schema_member_t *m,
               const sandbox_json_node_t *node)
{
    int64_t max, n;

    max = schema_max(s, m);

    if (node->type != SANDBOX_JSON_NUMBER
        || sandbox_json_integer(&s->doc, node, &n) != 0)
    {
        return sandbox_schema_refuse(s, NULL,
                                     "must be an integer from %lld to %lld",
                                     (long long) m->min, (long long) max);
    }

    if (n < m->min) {
        return sandbox_schema_refuse(s, NULL, "must be at least %lld",
                                     (long long) m->min);
    }

    if (n > max) {
        s->limited = m->max == 0 || n <= m->max;
        return sandbox_schema_refuse(s, NULL, "must be at most %lld",
                                     (long long) max);
    }

    s->number[m->slot] = n;

    return SANDBOX_SCHEMA_OK;
}


static sandbox_schema_status_t
schema_word(sandbox_schema_t *s, const sandbox_schema_member_t *m,
            const char *text)
{
    char list[128];
    size_t i, n;

    n = 0;

    for (i = 0; m->words[i]; i++) {
        if (strcmp(text, m->words[i]) == 0) {
            return SANDBOX_SCHEMA_OK;
        }

        if (n < sizeof(list)) {
            n += (size_t) snprintf(list + n, sizeof(list) - n, "%s\"%s\"",
                                   i == 0            ? ""
                                   : m->words[i + 1] ? ", "
                                                     : " or ",
                                   m->words[i]);
        }
    }

    return sandbox_schema_refuse(s, NULL, "must be %s", list);
}


static sandbox_schema_status_t
schema_at_most(sandbox_schema_t *s, const sandbox_schema_member_t *m, size_t n,
               const char *unit)
{
    if (n < (size_t) m->min) {
        return sandbox_schema_refuse(s, NULL, "must not be empty");
    }

    if (m->max && n > (size_t) m->max) {
        return sandbox_schema_refuse(s, NULL, "must be at most %lld %s",
                                     (long long) m->max, unit);
    }

    return SANDBOX_SCHEMA_OK;
}


static sandbox_schema_status_t
schema_string(sandbox_schema_t *s, const sandbox_schema_member_t *m,
              const sandbox_json_node_t *node)
{
    char *text;
    size_t len;
    sandbox_schema_status_t rc;

    if (node->type != SANDBOX_JSON_STRING) {
        return sandbox_schema_refuse(s, NULL, "must be a string");
    }

    text = sandbox_json_string(&s->doc, node, &len);
    if (text == NULL) {
        return SANDBOX_SCHEMA_NO_MEMORY;
    }

    rc = schema_at_most(s, m, len, "bytes");

    if (rc == SANDBOX_SCHEMA_OK && m->type == SANDBOX_SCHEMA_WORD) {
        rc = schema_word(s, m, text);
    }

    if (rc == SANDBOX_SCHEMA_OK && m->check) {
        rc = m->check(s, node, text);
    }

    free(text);

    return rc;
}


/* All items share one set of slots: check sees those of the last item. */
static sandbox_schema_status_t
schema_items(sandbox_schema_t *s, const sandbox_schema_member_t *m,
             const sandbox_json_node_t *array)
{
    size_t i, mark;
    sandbox_schema_status_t rc;
    const sandbox_json_node_t *node;
    const sandbox_schema_member_t *member;

    i = 0;

    for (node = sandbox_json_child(&s->doc, array); node;
         node = sandbox_json_next(&s->doc, node))
    {
        mark = sandbox_schema_enter_item(s, i++);

        if (node->type != SANDBOX_JSON_OBJECT) {
            return sandbox_schema_refuse(s, NULL, "must be an object");
        }

        for (member = m->members; member->name; member++) {
            s->node[member->slot] = NULL;
        }

        rc = sandbox_schema_walk(s, m->members, node);
        if (rc != SANDBOX_SCHEMA_OK) {
            return rc;
        }

        sandbox_schema_leave(s, mark);
    }

    return SANDBOX_SCHEMA_OK;
}


static sandbox_schema_status_t
schema_container(sandbox_schema_t *s, const sandbox_schema_member_t *m,
                 const sandbox_json_node_t *node)
{
    int object;
    sandbox_schema_status_t rc;

    object = m->type == SANDBOX_SCHEMA_OBJECT;

    if (node->type != (object ? SANDBOX_JSON_OBJECT : SANDBOX_JSON_ARRAY)) {
        return sandbox_schema_refuse(s, NULL, "must be an %s",
                                     object ? "object" : "array");
    }

    rc = schema_at_most(s, m, object ? node->len : node->count,
                        object ? "bytes of JSON" : "items");

    if (rc == SANDBOX_SCHEMA_OK && m->members) {
        rc = object ? sandbox_schema_walk(s, m->members, node)
                    : schema_items(s, m, node);
    }

    if (rc == SANDBOX_SCHEMA_OK && m->check) {
        rc = m->check(s, node, NULL);
    }

    return rc;
}


static sandbox_schema_status_t
schema_member(sandbox_schema_t *s, const sandbox_schema_member_t *m,
              const sandbox_json_node_t *node)
{
    s->node[m->slot] = node;

    switch (m->type) {
    case SANDBOX_SCHEMA_INTEGER:
        return schema_integer(s, m, node);

    case SANDBOX_SCHEMA_BOOL:
        if (node->type != SANDBOX_JSON_TRUE && node->type != SANDBOX_JSON_FALSE)
        {
            return sandbox_schema_refuse(s, NULL, "must be true or false");
        }
        return SANDBOX_SCHEMA_OK;

    case SANDBOX_SCHEMA_OBJECT:
    case SANDBOX_SCHEMA_ARRAY:
        return schema_container(s, m, node);

    default:
        return schema_string(s, m, node);
    }
}


/* The row of a member's name, or the end of the table. */
static const sandbox_schema_member_t *
schema_find(const sandbox_schema_member_t *table, const char *name, size_t len)
{
    const sandbox_schema_member_t *m;

    for (m = table; m->name; m++) {
        if (strncmp(m->name, name, len) == 0 && m->name[len] == '\0') {
            break;
        }
    }

    return m;
}


/* Recursion is as deep as the tables nest, whatever the input. */
sandbox_schema_status_t
sandbox_schema_walk(sandbox_schema_t *s, const sandbox_schema_member_t *table,
                    const sandbox_json_node_t *object)
{
    char *key;
    size_t mark, len;
    const char *name;
    sandbox_schema_status_t rc;
    const sandbox_json_node_t *node;
    const sandbox_schema_member_t *m;

    sandbox_json_drop_nulls(&s->doc, object);

    for (node = sandbox_json_child(&s->doc, object); node;
         node = sandbox_json_next(&s->doc, node))
    {
        key = NULL;
        name = sandbox_json_plain_key(&s->doc, node, &len);
        m = name ? schema_find(table, name, len) : NULL;

        if (m == NULL || m->name == NULL) {
            /* the name has escapes, or is unknown */
            key = sandbox_json_key(&s->doc, node, &len);
            if (key == NULL) {
                return SANDBOX_SCHEMA_NO_MEMORY;
            }

            m = schema_find(table, key, len);
        }

        mark = sandbox_schema_enter(s, m->name ? m->name : key);
        free(key);

        rc = m->name ? schema_member(s, m, node)
                     : sandbox_schema_refuse(s, NULL, "is not a known member");
        if (rc != SANDBOX_SCHEMA_OK) {
            return rc;
        }

        sandbox_schema_leave(s, mark);
    }

    for (m = table; m->name; m++) {
        if (m->required && s->node[m->slot] == NULL) {
            (void) sandbox_schema_enter(s, m->name);
            return sandbox_schema_refuse(s, NULL, "must be given");
        }
    }

    return SANDBOX_SCHEMA_OK;
}


sandbox_schema_status_t
sandbox_schema_features(sandbox_schema_t *s,
                        const sandbox_schema_member_t *table)
{
    size_t mark;
    sandbox_schema_status_t rc;
    const sandbox_schema_member_t *m;

    for (m = table; m->name; m++) {
        if (s->node[m->slot] == NULL) {
            continue;
        }

        mark = sandbox_schema_enter(s, m->name);

        if (m->plain && !m->plain(s, m)) {
            return sandbox_schema_refuse(s, NULL,
                                         "is not implemented yet with this "
                                         "value");
        }

        if (m->type == SANDBOX_SCHEMA_OBJECT && m->members) {
            rc = sandbox_schema_features(s, m->members);
            if (rc != SANDBOX_SCHEMA_OK) {
                return rc;
            }
        }

        sandbox_schema_leave(s, mark);
    }

    return SANDBOX_SCHEMA_OK;
}
