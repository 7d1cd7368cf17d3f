/* The tables of scripts/host-network, by nfnetlink; see the header. */

#include "sandbox_network_guard.h"

#include "sandbox_network_netlink.h"
#include "sandbox_network_rules.h"

#include <netinet/in.h> /* before the kernel's own */

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <endian.h>
#include <errno.h>
#include <string.h>


static int
guard_handle(const struct nlmsghdr *m, void *data)
{
    uint64_t *handle = data;

    const struct nlattr *attr;

    mnl_attr_for_each(attr, m, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(attr) == NFTA_TABLE_HANDLE
            && mnl_attr_validate(attr, MNL_TYPE_U64) == 0)
        {
            *handle = be64toh(mnl_attr_get_u64(attr));
        }
    }

    return MNL_CB_OK;
}


/* The handle of a table, which the kernel gives to no later table. */
static uint64_t
guard_table(int family, const char *table)
{
    char buf[NETWORK_NETLINK_SIZE];
    uint64_t handle;
    struct nlmsghdr *m;
    struct nfgenmsg *generic;

    m = network_netlink_message(
        buf, (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETTABLE, 0);
    generic = mnl_nlmsg_put_extra_header(m, sizeof(*generic));
    generic->nfgen_family = (uint8_t) family;
    generic->version = NFNETLINK_V0;
    mnl_attr_put_strz(m, NFTA_TABLE_NAME, strchr(table, ' ') + 1);

    handle = NETWORK_GUARD_UNKNOWN;

    if (network_netlink_talk(NETLINK_NETFILTER, m, guard_handle, &handle) != 0
        && errno == ENOENT)
    {
        return NETWORK_GUARD_MISSING;
    }

    return handle;
}


uint64_t
network_guard_look(const char *bridge)
{
    char name[NETWORK_RULES_TABLE_SIZE];
    uint64_t taps, table;

    network_rules_table(name, bridge);
    taps = guard_table(NFPROTO_BRIDGE, NETWORK_RULES_TAPS);
    table = guard_table(NFPROTO_INET, name);

    if (taps == NETWORK_GUARD_MISSING || table == NETWORK_GUARD_MISSING) {
        return NETWORK_GUARD_MISSING;
    }

    if (taps == NETWORK_GUARD_UNKNOWN || table == NETWORK_GUARD_UNKNOWN) {
        return NETWORK_GUARD_UNKNOWN;
    }

    /* handles count up from one in each family, so 32 bits of each do */
    return taps << 32 | (table & UINT32_MAX);
}
