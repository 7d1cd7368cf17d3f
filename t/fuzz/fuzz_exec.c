/*
 * libFuzzer target of the agent's exec requests: any bytes as a body, and the
 * promises of the header about what is set.
 */

#include <string.h>

#include "fuzz.h"
#include "exec_request.h"


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t i;
    agent_body_error_t err;
    agent_exec_request_t req;
    agent_body_status_t status;

    memset(&err, 0, sizeof(err));
    status = agent_exec_parse(&req, (const char *) data, size, &err);

    if (status == AGENT_BODY_OK) {
        require(req.argc > 0 && req.argv[req.argc] == NULL);

        for (i = 0; i < req.argc; i++) {
            require(req.argv[i] != NULL);
        }

        require(req.argv[0][0] != '\0');
        require(req.timeout_secs >= !req.background
                && req.timeout_secs <= AGENT_EXEC_TIMEOUT_MAX);
        require(req.input == NULL || req.input_len <= size);
        require(req.signal >= 1 && req.signal <= 31);
        require(req.cwd[0] == '\0' || req.cwd[0] == '/');
        agent_exec_free(&req);
        return 0;
    }

    require(status != AGENT_BODY_NO_MEMORY);
    require(memchr(err.field, '\0', sizeof(err.field)) != NULL);
    require(memchr(err.reason, '\0', sizeof(err.reason)) != NULL);
    require(err.reason[0] != '\0');
    require(!req.argv && !req.envs.list && !req.input);

    return 0;
}
