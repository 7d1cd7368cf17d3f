/* The egress policy of a sandbox; see the header. */

#include "sandbox_policy.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>


void
sandbox_cidr_format(char out[SANDBOX_CIDR_TEXT_SIZE],
                    const sandbox_cidr_t *cidr)
{
    char addr[INET6_ADDRSTRLEN];

    if (inet_ntop(cidr->family, cidr->addr, addr, sizeof(addr)) == NULL) {
        addr[0] = '\0';
    }

    (void) snprintf(out, SANDBOX_CIDR_TEXT_SIZE, "%s/%u", addr, cidr->prefix);
}


int
sandbox_cidr_covers(const sandbox_cidr_t *a, const sandbox_cidr_t *b)
{
    unsigned bits, bytes;

    if (a->family != b->family || a->prefix > b->prefix) {
        return 0;
    }

    bytes = a->prefix / 8;
    bits = a->prefix % 8;

    if (memcmp(a->addr, b->addr, bytes) != 0) {
        return 0;
    }

    return bits == 0
           || ((a->addr[bytes] ^ b->addr[bytes]) & (0xff << (8 - bits)) & 0xff)
                  == 0;
}


static int
sandbox_cidr_compare(const sandbox_cidr_t *a, const sandbox_cidr_t *b)
{
    int rc;

    if (a->family != b->family) {
        return a->family < b->family ? -1 : 1;
    }

    rc = memcmp(a->addr, b->addr, sizeof(a->addr));

    return rc ? rc : (int) a->prefix - (int) b->prefix;
}


int
sandbox_cidrs_add(sandbox_cidrs_t *list, const sandbox_cidr_t *cidr)
{
    int rc;
    size_t i;

    rc = 1;

    for (i = 0; i < list->n; i++) {
        rc = sandbox_cidr_compare(&list->cidr[i], cidr);
        if (rc >= 0) {
            break;
        }
    }

    if (i < list->n && rc == 0) {
        return 0;
    }

    if (list->n == SANDBOX_POLICY_CIDRS) {
        return -1;
    }

    memmove(&list->cidr[i + 1], &list->cidr[i],
            (list->n - i) * sizeof(sandbox_cidr_t));
    list->cidr[i] = *cidr;
    list->n++;

    return 0;
}


void
sandbox_cidrs_format(sandbox_text_t *t, const sandbox_cidrs_t *list)
{
    char text[SANDBOX_CIDR_TEXT_SIZE];
    size_t i;

    /* makes t->data a text for an empty list, too */
    sandbox_text_add(t, "", 0);

    for (i = 0; i < list->n; i++) {
        sandbox_cidr_format(text, &list->cidr[i]);
        sandbox_text_str(t, i ? "," : "");
        sandbox_text_str(t, text);
    }
}


int
sandbox_cidrs_parse(sandbox_cidrs_t *list, const char *text)
{
    size_t len;
    const char *reason;
    sandbox_cidr_t cidr;

    list->n = 0;

    if (*text == '\0') {
        return 0;
    }

    for (;;) {
        len = strcspn(text, ",");

        if (sandbox_cidr_parse(&cidr, text, len, &reason) != 0
            || sandbox_cidrs_add(list, &cidr) != 0)
        {
            return -1;
        }

        if (text[len] == '\0') {
            return 0;
        }

        text += len + 1;
    }
}


int
sandbox_policy_parse(sandbox_policy_t *policy, int internet, const char *allow,
                     const char *deny)
{
    policy->internet = internet;

    return sandbox_cidrs_parse(&policy->allow, allow ? allow : "") == 0
                   && sandbox_cidrs_parse(&policy->deny, deny ? deny : "") == 0
               ? 0
               : -1;
}


void
sandbox_cidrs_json(sandbox_text_t *t, const char *text)
{
    size_t len;

    sandbox_text_str(t, "[");

    while (text && *text) {
        len = strcspn(text, ",");
        sandbox_text_json_string(t, text, len);
        text += len;

        if (*text == ',') {
            sandbox_text_str(t, ",");
            text++;
        }
    }

    sandbox_text_str(t, "]");
}
