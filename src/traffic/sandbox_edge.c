/* The path form; see the header. */

#include "sandbox_edge.h"

#include <string.h>


/* The characters of target after which literal has been read, or NULL. */
static const char *
sandbox_edge_literal(const char *p, const char *last, const char *literal)
{
    size_t len;

    len = strlen(literal);

    if (p == NULL || (size_t) (last - p) < len || memcmp(p, literal, len) != 0)
    {
        return NULL;
    }

    return p + len;
}


static size_t
sandbox_edge_segment(const char *p, const char *last)
{
    const char *end;

    for (end = p; end < last && *end != '/' && *end != '?'; end++) {
        /* void */
    }

    return (size_t) (end - p);
}


int
sandbox_edge_parse(sandbox_host_t *host, size_t *prefix, const char *target,
                   size_t len)
{
    size_t n;
    unsigned port;
    const char *p, *last;
    char id[SANDBOX_ID_SIZE];

    last = target + len;
    p = sandbox_edge_literal(target, last, "/__ns-edge/sandboxes/");

    if (p == NULL) {
        return -1;
    }

    n = sandbox_edge_segment(p, last);

    if (sandbox_id_parse(id, "sb", p, n) != 0) {
        return -1;
    }

    p = sandbox_edge_literal(p + n, last, "/ports/");

    if (p == NULL) {
        return -1;
    }

    n = sandbox_edge_segment(p, last);

    if (sandbox_host_port_parse(&port, p, n) != n || n == 0) {
        return -1;
    }

    memcpy(host->id, id, sizeof(id));
    host->port = port;
    *prefix = (size_t) (p + n - target);

    return 0;
}
