/* A sandbox's network as metadata of its domain; see the header. */

#include "sandbox_network.h"

#include <arpa/inet.h>
#include <libxml/parser.h>
#include <libxml/tree.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for a list: 64 blocks with their commas have 3,200 bytes at most. */
#define NETWORK_VALUE_MAX 8192


/*
 * 1 if the text is not empty and has only letters, digits and the characters of
 * `also`: so it needs no quotes in a command of nft, and no escapes in XML.
 */
static int
network_plain(const char *text, const char *also)
{
    if (*text == '\0') {
        return 0;
    }

    for (; *text; text++) {
        if (!((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z')
              || (*text >= '0' && *text <= '9') || strchr(also, *text)))
        {
            return 0;
        }
    }

    return 1;
}


int
sandbox_network_is_bridge(const char *name)
{
    return strlen(name) < SANDBOX_NETWORK_NAME_SIZE
           && network_plain(name, "_-");
}


void
sandbox_network_name(sandbox_network_t *network, const char *bridge,
                     uint32_t address)
{
    network->address = address;
    sandbox_net_mac(network->mac, address);
    (void) snprintf(network->tap, sizeof(network->tap), "sbx%08x",
                    (unsigned) address);
    (void) snprintf(network->bridge, sizeof(network->bridge), "%s", bridge);
}


char *
sandbox_network_xml(const sandbox_network_t *network)
{
    char address[16];
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    sandbox_net_ipv4(address, network->address);

    /* no value has a character that must be escaped: the bridge was checked */
    sandbox_text_fmt(&t,
                     "<network generation=\"%lld\" bridge=\"%s\" tap=\"%s\" "
                     "mac=\"%s\" address=\"%s\"%s internet=\"%s\" allow=\"",
                     (long long) network->generation, network->bridge,
                     network->tap, network->mac, address,
                     network->silent ? " silent=\"yes\"" : "",
                     network->policy.internet ? "yes" : "no");
    sandbox_cidrs_format(&t, &network->policy.allow);
    sandbox_text_str(&t, "\" deny=\"");
    sandbox_cidrs_format(&t, &network->policy.deny);
    sandbox_text_str(&t, "\"/>");

    if (sandbox_text_failed(&t)) {
        sandbox_text_free(&t);
        return NULL;
    }

    return t.data;
}


/* Copies an attribute's value, with its NUL; -1: it is absent or too long. */
static int
network_attribute(char *value, size_t size, xmlNodePtr node, const char *name)
{
    int rc;
    size_t len;
    xmlChar *text;

    text = xmlGetNoNsProp(node, (const xmlChar *) name);
    if (text == NULL) {
        return -1;
    }

    rc = -1;
    len = strnlen((const char *) text, size);

    if (len < size) {
        memcpy(value, text, len + 1);
        rc = 0;
    }

    xmlFree(text);
    return rc;
}


/* Reads all but `silent` and the policy; 0 or -1. */
static int
network_guest(sandbox_network_t *network, xmlNodePtr node)
{
    char text[24], *end;
    struct in_addr address;

    if (network_attribute(network->bridge, sizeof(network->bridge), node,
                          "bridge")
            != 0
        || network_attribute(network->tap, sizeof(network->tap), node, "tap")
               != 0
        || network_attribute(network->mac, sizeof(network->mac), node, "mac")
               != 0
        || !sandbox_network_is_bridge(network->bridge)
        || !network_plain(network->tap, "_-")
        || !network_plain(network->mac, ":")
        || network_attribute(text, sizeof(text), node, "address") != 0
        || inet_pton(AF_INET, text, &address) != 1)
    {
        return -1;
    }

    network->address = ntohl(address.s_addr);

    if (network_attribute(text, sizeof(text), node, "generation") != 0
        || text[0] < '0' || text[0] > '9')
    {
        return -1;
    }

    errno = 0;
    network->generation = strtoll(text, &end, 10);

    return errno == 0 && *end == '\0' ? 0 : -1;
}


/* Reads `silent`, which is "yes" or absent; 0 or -1. */
static int
network_silent(sandbox_network_t *network, xmlNodePtr node)
{
    char text[4];

    network->silent = xmlHasProp(node, (const xmlChar *) "silent") != NULL;

    return network->silent
                   && (network_attribute(text, sizeof(text), node, "silent")
                           != 0
                       || strcmp(text, "yes") != 0)
               ? -1
               : 0;
}


static int
network_policy(sandbox_policy_t *policy, xmlNodePtr node)
{
    int rc, internet;
    char *allow, *deny;

    allow = malloc(NETWORK_VALUE_MAX * 2);
    if (allow == NULL) {
        return -1;
    }

    rc = -1;
    deny = allow + NETWORK_VALUE_MAX;

    if (network_attribute(allow, NETWORK_VALUE_MAX, node, "internet") == 0
        && (strcmp(allow, "yes") == 0 || strcmp(allow, "no") == 0))
    {
        internet = strcmp(allow, "yes") == 0;

        if (network_attribute(allow, NETWORK_VALUE_MAX, node, "allow") == 0
            && network_attribute(deny, NETWORK_VALUE_MAX, node, "deny") == 0)
        {
            rc = sandbox_policy_parse(policy, internet, allow, deny);
        }
    }

    free(allow);
    return rc;
}


int
sandbox_network_read(sandbox_network_t *network, const char *document,
                     size_t len)
{
    int rc;
    xmlDocPtr doc;
    xmlNodePtr node;

    if (len == 0 || len > SANDBOX_NETWORK_XML_MAX) {
        return -1;
    }

    doc = xmlReadMemory(document, (int) len, NULL, NULL,
                        XML_PARSE_NONET | XML_PARSE_NOERROR
                            | XML_PARSE_NOWARNING);
    if (doc == NULL) {
        return -1;
    }

    node = xmlDocGetRootElement(doc);

    rc = node && strcmp((const char *) node->name, "network") == 0
                 && network_guest(network, node) == 0
                 && network_silent(network, node) == 0
                 && network_policy(&network->policy, node) == 0
             ? 0
             : -1;

    xmlFreeDoc(doc);
    return rc;
}
