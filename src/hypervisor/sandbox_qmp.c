/* Texts of QEMU's monitor and of libvirt; see the header. */

#include "sandbox_qmp.h"

#include "sandbox_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QMP_OFFSET ",offset="


int
sandbox_qmp_local(const char *uri)
{
    const char *host, *transport;

    host = strstr(uri, "://");
    if (host == NULL) {
        return 0;
    }

    /* "+ssh" of "qemu+ssh" */
    transport = memchr(uri, '+', (size_t) (host - uri));

    return host[3] == '/'
           && (transport == NULL || strncmp(transport, "+unix:", 6) == 0);
}


int
sandbox_qmp_file(char uri[SANDBOX_QMP_URI_SIZE], const char *path,
                 int64_t offset)
{
    int n;

    /* QEMU ends the path at the first one, and knows no escape */
    if (strstr(path, QMP_OFFSET) || offset < 0) {
        return -1;
    }

    n = snprintf(uri, SANDBOX_QMP_URI_SIZE, "file:%s" QMP_OFFSET "%lld", path,
                 (long long) offset);

    return n < 0 || n >= SANDBOX_QMP_URI_SIZE ? -1 : 0;
}


/* The member if it is an object; NULL if not, or if object is NULL. */
static const sandbox_json_node_t *
qmp_object(const sandbox_json_t *doc, const sandbox_json_node_t *object,
           const char *name)
{
    object = object ? sandbox_json_member(doc, object, name) : NULL;

    return object && object->type == SANDBOX_JSON_OBJECT ? object : NULL;
}


/* The member if it is a whole number, else 0. */
static int64_t
qmp_number(const sandbox_json_t *doc, const sandbox_json_node_t *object,
           const char *name)
{
    int64_t value;
    const sandbox_json_node_t *node;

    node = sandbox_json_member(doc, object, name);

    return node && sandbox_json_integer(doc, node, &value) == 0 ? value : 0;
}


int
sandbox_qmp_sends(const char *answer)
{
    int sends;
    sandbox_json_t doc;
    sandbox_json_error_t bad;
    const sandbox_json_node_t *ram;

    if (sandbox_json_parse(&doc, answer, strlen(answer), &bad) != 0) {
        return 0;
    }

    ram =
        doc.nodes[0].type == SANDBOX_JSON_OBJECT
            ? qmp_object(&doc, qmp_object(&doc, &doc.nodes[0], "return"), "ram")
            : NULL;

    /* "normal" counts pages with content, "duplicate" those of zeroes */
    sends = ram
            && (qmp_number(&doc, ram, "normal") > 0
                || qmp_number(&doc, ram, "duplicate") > 0);
    sandbox_json_free(&doc);

    return sends;
}


/* 1 if the object, an entry of the list, says that the capability is on. */
static int
qmp_is_on(const sandbox_json_t *doc, const sandbox_json_node_t *object,
          const char *capability)
{
    int on;
    char *name;
    const sandbox_json_node_t *node, *state;

    if (object->type != SANDBOX_JSON_OBJECT) {
        return 0;
    }

    node = sandbox_json_member(doc, object, "capability");
    state = sandbox_json_member(doc, object, "state");
    name = node ? sandbox_json_string(doc, node, NULL) : NULL;
    on = name && state && state->type == SANDBOX_JSON_TRUE
         && strcmp(name, capability) == 0;
    free(name);

    return on;
}


int
sandbox_qmp_is_on(const char *answer, const char *capability)
{
    int on;
    sandbox_json_t doc;
    sandbox_json_error_t bad;
    const sandbox_json_node_t *list, *object;

    if (sandbox_json_parse(&doc, answer, strlen(answer), &bad) != 0) {
        return 0;
    }

    on = 0;
    list = doc.nodes[0].type == SANDBOX_JSON_OBJECT
               ? sandbox_json_member(&doc, &doc.nodes[0], "return")
               : NULL;
    object = list && list->type == SANDBOX_JSON_ARRAY
                 ? sandbox_json_child(&doc, list)
                 : NULL;

    for (; object && !on; object = sandbox_json_next(&doc, object)) {
        on = qmp_is_on(&doc, object, capability);
    }

    sandbox_json_free(&doc);

    return on;
}
