/*
 * libFuzzer target: any bytes as a Host header and as a path.  The first byte
 * says how much of the rest is the domain.
 */

#include <string.h>

#include "fuzz.h"
#include "sandbox_edge.h"


static void
check(const sandbox_host_t *host)
{
    require(host->port >= 1 && host->port <= 65535);
    require(strlen(host->id) == SANDBOX_ID_LEN);
    require(strncmp(host->id, "sb_", 3) == 0);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t domain_len, prefix;
    const char *text;
    sandbox_host_t host;

    if (size == 0) {
        return 0;
    }

    text = (const char *) data + 1;
    size--;
    domain_len = data[0] < size ? data[0] : size;

    if (sandbox_host_parse(&host, text, domain_len, text + domain_len,
                           size - domain_len)
        == 0)
    {
        check(&host);
    }

    if (sandbox_edge_parse(&host, &prefix, text, size) == 0) {
        check(&host);
        require(prefix <= size);
    }

    return 0;
}
