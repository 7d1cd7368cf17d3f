/* The chains of scripts/host-network, by nfnetlink; see the header. */

#include "sandbox_network_guard.h"

#include "sandbox_network_netlink.h"
#include "sandbox_network_rules.h"

#include <netinet/in.h> /* before the kernel's own */

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <errno.h>
#include <string.h>


/* 0 only if the kernel says that it is not there. */
static int
guard_has(int family, const char *table, const char *chain)
{
    char buf[NETWORK_NETLINK_SIZE];
    struct nlmsghdr *m;
    struct nfgenmsg *generic;

    m = network_netlink_message(
        buf, (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETCHAIN, 0);
    generic = mnl_nlmsg_put_extra_header(m, sizeof(*generic));
    generic->nfgen_family = (uint8_t) family;
    generic->version = NFNETLINK_V0;
    mnl_attr_put_strz(m, NFTA_CHAIN_TABLE, table);
    mnl_attr_put_strz(m, NFTA_CHAIN_NAME, chain);

    return network_netlink_talk(NETLINK_NETFILTER, m) == 0 || errno != ENOENT;
}


/* The name of a table, behind its family. */
static const char *
guard_name(const char *table)
{
    return strchr(table, ' ') + 1;
}


/* Who flushes a ruleset, or removes a table, leaves no chains. */
int
network_guard_stands(const char *bridge)
{
    char table[NETWORK_RULES_TABLE_SIZE];

    network_rules_table(table, bridge);

    return guard_has(NFPROTO_BRIDGE, guard_name(NETWORK_RULES_TAPS),
                     "prerouting")
           && guard_has(NFPROTO_INET, guard_name(table), "input")
           && guard_has(NFPROTO_INET, guard_name(table), "forward");
}
