/*
 * The configure operation: its request, and the steps that carry it out.
 */

#ifndef AGENT_CONFIGURE_H
#define AGENT_CONFIGURE_H

#include <netinet/in.h>
#include <stdint.h>

#include "env.h"
#include "sandbox_json.h"
#include "sandbox_path.h"

#define AGENT_ENTROPY_LEN 64
#define AGENT_TOKEN_MAX 128
#define AGENT_DNS_MAX 8
#define AGENT_HOSTNAME_MAX 63

typedef struct {
    char hostname[AGENT_HOSTNAME_MAX + 1];
    uint8_t mac[6];
    struct in_addr address; /* network order, as gateway and dns */
    int prefix;
    struct in_addr gateway;
    struct in_addr dns[AGENT_DNS_MAX];
    size_t ndns;
    int64_t time_ms;
    int64_t read_ms; /* monotonic clock when the request was read */
    uint8_t entropy[AGENT_ENTROPY_LEN];
    char token[AGENT_TOKEN_MAX + 1];
    agent_env_t envs;
    char cwd[SANDBOX_PATH_MAX];
    int grow_disk;
    int lived; /* set by the caller: a configuration has succeeded before */
} agent_config_t;

/*
 * Reads and checks the whole request before any step runs.  0, or -1 with a
 * sentence in error (size bytes); config is then empty.
 */
int agent_config_parse(agent_config_t *config, const sandbox_json_t *doc,
                       char *error, size_t size);
void agent_config_free(agent_config_t *config);

/* A step: 0, or -1 with a sentence in error. */
typedef struct {
    int (*run)(const agent_config_t *config, char *error, size_t size);
} agent_step_t;

/* Runs the steps in order up to the first that fails; returns its result. */
int agent_config_apply(const agent_config_t *config, const agent_step_t *steps,
                       size_t n, char *error, size_t size);

#endif
