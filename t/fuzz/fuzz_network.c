/*
 * libFuzzer target of the metadata that the watcher reads: no crash, no leak;
 * what it takes comes back from its own writer, and no command of nft has a
 * character that could end it.
 */

#include <string.h>

#include "fuzz.h"
#include "sandbox_network_rules.h"


static void
require_plain(const char *text)
{
    static const char also[] = " \n.:/{}\"_-";

    for (; *text; text++) {
        require((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z')
                || (*text >= '0' && *text <= '9') || strchr(also, *text));
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *xml;
    sandbox_network_t network, again;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    memset(&network, 0, sizeof(network));

    if (sandbox_network_read(&network, (const char *) data, size) != 0) {
        return 0;
    }

    xml = sandbox_network_xml(&network);
    require(xml != NULL);
    memset(&again, 0, sizeof(again));
    require(sandbox_network_read(&again, xml, strlen(xml)) == 0);
    require(again.policy.allow.n == network.policy.allow.n);
    require(again.policy.deny.n == network.policy.deny.n);
    require(strcmp(again.tap, network.tap) == 0);
    require(again.silent == network.silent);
    free(xml);

    network_rules_all(&t, &network, 1, NULL);
    require(!sandbox_text_failed(&t));
    require_plain(t.data);
    sandbox_text_free(&t);

    return 0;
}
