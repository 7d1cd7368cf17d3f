/*
 * The network of a sandbox as an element of its domain's metadata: who the
 * guest is (tap, MAC, address) and its egress policy.  The engine writes the
 * element; the watcher (src/tools/sandbox_network_watch.c) reads it and sets
 * the rules of the host.
 *
 * Pure functions over libxml2; any thread; no libvirt.
 */

#ifndef SANDBOX_NETWORK_H
#define SANDBOX_NETWORK_H

#include "sandbox_id.h"
#include "sandbox_policy.h"

/* Namespace and prefix of the element. */
#define SANDBOX_NETWORK_NAMESPACE "urn:nginx-sandbox:network:1"
#define SANDBOX_NETWORK_KEY "sandboxnet"
/*
 * Namespace and prefix of the watcher's answer, which says what is in force:
 * <applied generation="…" [silent="yes"] [error="…"]/>
 */
#define SANDBOX_NETWORK_APPLIED "urn:nginx-sandbox:network-applied:1"
#define SANDBOX_NETWORK_APPLIED_KEY "sandboxnetapplied"

#define SANDBOX_NETWORK_NAME_SIZE 16 /* an interface's name, with the NUL */
#define SANDBOX_NETWORK_XML_MAX (1024 * 1024) /* bytes that are read */

typedef struct {
    char bridge[SANDBOX_NETWORK_NAME_SIZE];
    char tap[SANDBOX_NETWORK_NAME_SIZE];
    char mac[18];
    uint32_t address;   /* IPv4, host order */
    int64_t generation; /* of the policy, from 0: a later one is greater */
    int silent; /* 1: nothing of the guest passes, whatever the policy */
    sandbox_policy_t policy;
} sandbox_network_t;

/*
 * 1 if the name may be that of the guests' bridge: 1 to 15 letters, digits, "_"
 * and "-".
 */
int sandbox_network_is_bridge(const char *name);

/*
 * Sets bridge, which sandbox_network_is_bridge() must have taken, and address
 * (host order), and the MAC and tap that follow from it; no other member.
 */
void sandbox_network_name(sandbox_network_t *network, const char *bridge,
                          uint32_t address);

/* The element without namespace, malloc'd; NULL if memory is out. */
char *sandbox_network_xml(const sandbox_network_t *network);

/*
 * Reads the element from a document of len bytes.  Its names are checked: they
 * can stand in a command of nft.  0, or -1: the document is malformed, too
 * large, or another element; *network may be changed then.
 */
int sandbox_network_read(sandbox_network_t *network, const char *document,
                         size_t len);

#endif
