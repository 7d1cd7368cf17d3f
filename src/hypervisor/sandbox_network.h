/*
 * What the hypervisor's side of a sandbox's network must know, as an element
 * of the domain's metadata: who the guest is (tap, MAC, address) and its
 * egress policy.  The engine writes it, the watcher (src/tools/) reads it.
 *
 * Pure functions over libxml2; any thread; no libvirt.
 */

#ifndef SANDBOX_NETWORK_H
#define SANDBOX_NETWORK_H

#include "sandbox_id.h"
#include "sandbox_policy.h"

#define SANDBOX_NETWORK_NAMESPACE "urn:nginx-sandbox:network:1"
#define SANDBOX_NETWORK_KEY "sandboxnet"
/*
 * What the watcher has put in force:
 * <applied generation="…" [silent="yes"] [error="…"]/>
 */
#define SANDBOX_NETWORK_APPLIED "urn:nginx-sandbox:network-applied:1"
#define SANDBOX_NETWORK_APPLIED_KEY "sandboxnetapplied"

#define SANDBOX_NETWORK_NAME_SIZE 16 /* of an interface */
#define SANDBOX_NETWORK_XML_MAX (1024 * 1024)

typedef struct {
    char bridge[SANDBOX_NETWORK_NAME_SIZE];
    char tap[SANDBOX_NETWORK_NAME_SIZE];
    char mac[18];
    uint32_t address;   /* IPv4, host order */
    int64_t generation; /* of the policy: a later one is greater */
    int silent; /* 1: nothing of the guest passes, whatever the policy */
    sandbox_policy_t policy;
} sandbox_network_t;

/*
 * 1 if the name may be that of the guests' bridge: 1 to 15 letters, digits, "_"
 * and "-".
 */
int sandbox_network_is_bridge(const char *name);

/* MAC and tap follow from the address; the policy stays as it is. */
void sandbox_network_name(sandbox_network_t *network, const char *bridge,
                          uint32_t address);

/* The element, malloc'd; NULL if memory is out. */
char *sandbox_network_xml(const sandbox_network_t *network);

/* 0; -1: the document is not the element, or malformed. */
int sandbox_network_read(sandbox_network_t *network, const char *document,
                         size_t len);

#endif
