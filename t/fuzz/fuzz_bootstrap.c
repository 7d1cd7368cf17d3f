/*
 * libFuzzer target of the agent's side of the bootstrap protocol: bytes that
 * reach it in pieces, up to a configuration that is read but not carried out.
 * The first byte is the size of the pieces.
 */

#include <string.h>

#include "fuzz.h"
#include "bootstrap.h"
#include "configure.h"


static void
fuzz_answer(void *data, const char *line, size_t len)
{
    sandbox_json_t doc;
    sandbox_json_error_t err;

    (void) data;

    require(len > 0 && memchr(line, '\n', len) == line + len - 1);
    require(sandbox_json_parse(&doc, line, len, &err) == 0);
    require(sandbox_json_member(&doc, &doc.nodes[0], "ok") != NULL);
    sandbox_json_free(&doc);
}


static int
fuzz_freeze(void *data, const char *nonce, int sync,
            char error[AGENT_ERROR_SIZE])
{
    (void) data;
    (void) nonce;
    (void) error;

    return sync ? 0 : -1;
}


static int
fuzz_thaw(void *data, char error[AGENT_ERROR_SIZE])
{
    (void) data;
    (void) error;

    return -1;
}


static int
fuzz_flush(void *data, const char *nonce, char error[AGENT_ERROR_SIZE])
{
    (void) error;

    require(nonce[0] != '\0' && strlen(nonce) < AGENT_NONCE_SIZE);
    agent_bootstrap_later(data, "flush", nonce, NULL);

    return AGENT_LATER;
}


static int
fuzz_configure(void *data, const sandbox_json_t *doc,
               char error[AGENT_ERROR_SIZE])
{
    agent_config_t config;

    (void) data;

    if (agent_config_parse(&config, doc, error, AGENT_ERROR_SIZE) != 0) {
        require(error[0] != '\0');
        require(config.envs.list == NULL);
        return -1;
    }

    require(config.hostname[0] && config.token[0] && config.cwd[0] == '/');
    require(config.prefix >= 1 && config.prefix <= 30);
    require(config.ndns <= AGENT_DNS_MAX);
    agent_config_free(&config);

    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n, piece;
    agent_bootstrap_t b;

    if (size == 0) {
        return 0;
    }

    b.answer = fuzz_answer;
    b.configure = fuzz_configure;
    b.freeze = fuzz_freeze;
    b.thaw = fuzz_thaw;
    b.flush = fuzz_flush;
    b.data = &b;
    require(agent_bootstrap_init(&b) == 0);

    piece = data[0] ? data[0] : size;

    for (data++, size--; size > 0; data += n, size -= n) {
        n = piece < size ? piece : size;
        agent_bootstrap_feed(&b, (const char *) data, n);
    }

    agent_bootstrap_free(&b);

    return 0;
}
