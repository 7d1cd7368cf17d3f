/* Connections of nf_conntrack; see the header. */

#include "sandbox_network_flows.h"

#include <libnetfilter_conntrack/libnetfilter_conntrack.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    struct nfct_handle *handle; /* for removing; another handle reads */
    int (*of)(uint32_t address, const void *data);
    const void *data;
    int failed;
} flows_t;


/* Checks both ends in both directions, since addresses may be translated. */
static int
flows_match(const struct nf_conntrack *flow, const flows_t *flows)
{
    size_t i;
    static const enum nf_conntrack_attr ends[] = {
        ATTR_ORIG_IPV4_SRC,
        ATTR_ORIG_IPV4_DST,
        ATTR_REPL_IPV4_SRC,
        ATTR_REPL_IPV4_DST,
    };

    for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        if (nfct_attr_is_set(flow, ends[i]) > 0
            && flows->of(ntohl(nfct_get_attr_u32(flow, ends[i])), flows->data))
        {
            return 1;
        }
    }

    return 0;
}


static int
flows_look(enum nf_conntrack_msg_type type, struct nf_conntrack *flow,
           void *data)
{
    flows_t *flows = data;

    (void) type;

    /* ENOENT: the connection has ended meanwhile, which is no failure */
    if (flows_match(flow, flows)
        && nfct_query(flows->handle, NFCT_Q_DESTROY, flow) == -1
        && errno != ENOENT)
    {
        flows->failed = errno;
    }

    return NFCT_CB_CONTINUE;
}


int
network_flows_forget(int (*of)(uint32_t address, const void *data),
                     const void *data)
{
    int rc;
    flows_t flows;
    uint32_t family;
    struct nfct_handle *reader;

    memset(&flows, 0, sizeof(flows));
    flows.of = of;
    flows.data = data;
    family = AF_INET;
    rc = -1;

    reader = nfct_open(CONNTRACK, 0);
    flows.handle = nfct_open(CONNTRACK, 0);

    if (reader && flows.handle
        && nfct_callback_register(reader, NFCT_T_ALL, flows_look, &flows) == 0)
    {
        rc = nfct_query(reader, NFCT_Q_DUMP, &family);
    }

    if (rc == 0 && flows.failed) {
        errno = flows.failed;
        rc = -1;
    }

    if (rc != 0) {
        (void) fprintf(stderr,
                       "sandbox-network: connections cannot be forgotten: %s\n",
                       strerror(errno));
    }

    if (reader) {
        (void) nfct_close(reader);
    }

    if (flows.handle) {
        (void) nfct_close(flows.handle);
    }

    return rc;
}
