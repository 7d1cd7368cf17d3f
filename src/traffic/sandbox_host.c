/*
 * Parsing of "{port}-{id}.{domain}"; see the header.  Knows neither nginx nor
 * whether a sandbox exists.
 */

#include "sandbox_host.h"

#include <string.h>

#include "sandbox_guest.h"

/* A DNS label; port, dash and id fit with room to spare. */
#define SANDBOX_HOST_LABEL_MAX 63


static char
sandbox_host_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char) (c | 0x20) : c;
}


/* The length of text without ":port", or len if there is none. */
static size_t
sandbox_host_strip_port(const char *text, size_t len)
{
    size_t n;

    n = len;

    while (n > 0 && text[n - 1] >= '0' && text[n - 1] <= '9') {
        n--;
    }

    return n > 0 && n < len && text[n - 1] == ':' ? n - 1 : len;
}


/* The length of the label before ".domain"; 0 if text does not end so. */
static size_t
sandbox_host_label(const char *domain, size_t domain_len, const char *text,
                   size_t len)
{
    size_t i, label;

    if (domain_len == 0 || len < domain_len + 2) {
        return 0;
    }

    label = len - domain_len - 1;

    if (label > SANDBOX_HOST_LABEL_MAX || text[label] != '.') {
        return 0;
    }

    for (i = 0; i < domain_len; i++) {
        if (sandbox_host_lower(text[label + 1 + i])
            != sandbox_host_lower(domain[i])) {
            return 0;
        }
    }

    return label;
}


size_t
sandbox_host_port_parse(unsigned *port, const char *text, size_t len)
{
    size_t i;
    unsigned n;

    n = 0;

    for (i = 0; i < len && i < 5 && text[i] >= '0' && text[i] <= '9'; i++) {
        n = n * 10 + (unsigned) (text[i] - '0');
    }

    if (i == 0 || text[0] == '0' || n > 65535) {
        return 0;
    }

    *port = n;

    return i;
}


int
sandbox_host_parse(sandbox_host_t *host, const char *domain, size_t domain_len,
                   const char *text, size_t len)
{
    char id[SANDBOX_ID_SIZE], label[SANDBOX_HOST_LABEL_MAX];
    size_t i, n, port_len;
    unsigned port;

    len = sandbox_host_strip_port(text, len);

    if (len > 0 && text[len - 1] == '.') {
        len--;
    }

    if (domain_len > 0 && domain[domain_len - 1] == '.') {
        domain_len--;
    }

    n = sandbox_host_label(domain, domain_len, text, len);
    port_len = sandbox_host_port_parse(&port, text, n);

    if (port_len == 0 || port_len == n || text[port_len++] != '-') {
        return -1;
    }

    for (i = port_len; i < n; i++) {
        label[i] = sandbox_host_lower(text[i]);
    }

    if (sandbox_id_parse(id, "sb", label + port_len, n - port_len) != 0) {
        return -1;
    }

    memcpy(host->id, id, sizeof(id));
    host->port = port;

    return 0;
}


int
sandbox_host_port_allowed(unsigned port)
{
    return port != 22 && (port < 5900 || port > 5999)
           && port != SANDBOX_AGENT_PORT;
}
