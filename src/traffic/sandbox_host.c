/*
 * Parsing of "{port}-{id}.{domain}"; see the header.  Knows neither nginx nor
 * whether a sandbox exists.
 */

#include "sandbox_host.h"

#include <string.h>

#include "sandbox_agent.h"

/* A DNS label; port, dash and id fit with room to spare. */
#define SANDBOX_HOST_LABEL_MAX 63
#define SANDBOX_HOST_PORT_MAX 5 /* digits */


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

    /* the text and the domain mostly are in lower case */

    if (memcmp(text + label + 1, domain, domain_len) == 0) {
        return label;
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
    unsigned n, digit;

    n = 0;
    len = len < SANDBOX_HOST_PORT_MAX ? len : SANDBOX_HOST_PORT_MAX;

    for (i = 0; i < len; i++) {
        digit = (unsigned char) text[i] - (unsigned) '0';

        if (digit > 9) {
            break;
        }

        n = n * 10 + digit;
    }

    if (i == 0 || text[0] == '0' || n > 65535) {
        return 0;
    }

    *port = n;

    return i;
}


/* An id that may have capital letters. */
static int
sandbox_host_id(char id[SANDBOX_ID_SIZE], const char *text)
{
    char label[SANDBOX_ID_LEN];
    size_t i;

    for (i = 0; i < sizeof(label); i++) {
        label[i] = sandbox_host_lower(text[i]);
    }

    return sandbox_id_parse_sandbox(id, label);
}


int
sandbox_host_parse(sandbox_host_t *host, const char *domain, size_t domain_len,
                   const char *text, size_t len)
{
    size_t n, port_len;
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

    if (n - port_len != SANDBOX_ID_LEN
        || (sandbox_id_parse_sandbox(host->id, text + port_len) != 0
            && sandbox_host_id(host->id, text + port_len) != 0))
    {
        return -1;
    }

    host->port = port;

    return 0;
}


int
sandbox_host_port_allowed(unsigned port)
{
    return port != 22 && (port < 5900 || port > 5999)
           && port != SANDBOX_AGENT_PORT;
}
