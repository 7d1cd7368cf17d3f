/*
 * Reading the configure operation, strictly: a member that this agent does
 * not know is refused, since it asks for something that would not happen.
 * Must not know how the steps do their work.
 */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configure.h"
#include "sandbox_text.h"
#include "sandbox_time.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

typedef struct {
    const char *name;
    int required;

    /* Reads the value into config; NULL, or what is wrong with it. */
    const char *(*read)(agent_config_t *config, const sandbox_json_t *doc,
                        const sandbox_json_node_t *node);
} config_member_t;


/* Copies a string value; NULL, or what is wrong with it. */
static const char *
config_string(char *out, size_t size, const sandbox_json_t *doc,
              const sandbox_json_node_t *node)
{
    char *s;
    size_t len;

    s = sandbox_json_string(doc, node, &len);
    if (s == NULL) {
        return "must be a string";
    }

    if (len == 0 || len >= size) {
        free(s);
        return len == 0 ? "must not be empty" : "is too long";
    }

    memcpy(out, s, len + 1);
    explicit_bzero(s, len);
    free(s);

    return NULL;
}


static const char *
config_word(agent_config_t *config, const sandbox_json_t *doc,
            const sandbox_json_node_t *node)
{
    (void) config;
    (void) doc;
    (void) node;

    return NULL; /* op and nonce: read by bootstrap.c */
}


static const char *
config_hostname(agent_config_t *config, const sandbox_json_t *doc,
                const sandbox_json_node_t *node)
{
    const char *reason;

    reason =
        config_string(config->hostname, sizeof(config->hostname), doc, node);
    if (reason != NULL) {
        return reason;
    }

    /* The name is written to a line of /etc/hosts. */
    if (config->hostname[strspn(config->hostname,
                                "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")]
        != '\0')
    {
        return "must be letters, digits, \"-\", \"_\" and \".\"";
    }

    return NULL;
}


/* A hexadecimal digit's value, or -1. */
static int
config_hex(char c)
{
    const char *p;
    static const char digits[] = "0123456789abcdef";

    c = (char) (c >= 'A' && c <= 'F' ? c | ' ' : c);
    p = c ? strchr(digits, c) : NULL;

    return p ? (int) (p - digits) : -1;
}


static const char *
config_mac(agent_config_t *config, const sandbox_json_t *doc,
           const sandbox_json_node_t *node)
{
    int i, high, low;
    char text[18];
    const char *reason;

    reason = config_string(text, sizeof(text), doc, node);
    if (reason != NULL) {
        return reason;
    }

    if (strlen(text) != 17) {
        return "must be a unicast MAC address";
    }

    for (i = 0; i < 6; i++) {
        high = config_hex(text[3 * i]);
        low = config_hex(text[3 * i + 1]);

        if (high == -1 || low == -1 || (i < 5 && text[3 * i + 2] != ':')) {
            return "must be a unicast MAC address";
        }

        config->mac[i] = (uint8_t) (high << 4 | low);
    }

    return config->mac[0] & 1 ? "must be a unicast MAC address" : NULL;
}


static const char *
config_ipv4(struct in_addr *out, const sandbox_json_t *doc,
            const sandbox_json_node_t *node)
{
    char text[INET_ADDRSTRLEN];
    const char *reason;

    reason = config_string(text, sizeof(text), doc, node);
    if (reason != NULL) {
        return reason;
    }

    return inet_pton(AF_INET, text, out) == 1 ? NULL
                                              : "must be an IPv4 address";
}


static const char *
config_address(agent_config_t *config, const sandbox_json_t *doc,
               const sandbox_json_node_t *node)
{
    char text[INET_ADDRSTRLEN + 3];
    char *slash;
    const char *reason;

    reason = config_string(text, sizeof(text), doc, node);
    if (reason != NULL) {
        return reason;
    }

    slash = strchr(text, '/');
    if (slash == NULL || slash[1] == '\0' || strlen(slash + 1) > 2
        || slash[1 + strspn(slash + 1, "0123456789")] != '\0')
    {
        return "must be an IPv4 address and a prefix length";
    }

    *slash = '\0';
    config->prefix = atoi(slash + 1);

    if (config->prefix < 1 || config->prefix > 30
        || inet_pton(AF_INET, text, &config->address) != 1)
    {
        return "must be an IPv4 address and a prefix length";
    }

    return NULL;
}


static const char *
config_gateway(agent_config_t *config, const sandbox_json_t *doc,
               const sandbox_json_node_t *node)
{
    return config_ipv4(&config->gateway, doc, node);
}


static const char *
config_dns(agent_config_t *config, const sandbox_json_t *doc,
           const sandbox_json_node_t *node)
{
    const char *reason;
    const sandbox_json_node_t *item;

    if (node->type != SANDBOX_JSON_ARRAY) {
        return "must be an array";
    }

    if (node->count > AGENT_DNS_MAX) {
        return "must not have more than 8 elements";
    }

    for (item = sandbox_json_child(doc, node); item != NULL;
         item = sandbox_json_next(doc, item))
    {
        reason = config_ipv4(&config->dns[config->ndns], doc, item);
        if (reason != NULL) {
            return reason;
        }

        config->ndns++;
    }

    return NULL;
}


static const char *
config_time(agent_config_t *config, const sandbox_json_t *doc,
            const sandbox_json_node_t *node)
{
    if (sandbox_json_integer(doc, node, &config->time_ms) == -1
        || config->time_ms < 0 || config->time_ms > 253402300799999)
    {
        return "must be milliseconds since 1970";
    }

    return NULL;
}


static const char *
config_entropy(agent_config_t *config, const sandbox_json_t *doc,
               const sandbox_json_node_t *node)
{
    char text[4 * AGENT_ENTROPY_LEN];
    int64_t n;
    const char *reason;

    reason = config_string(text, sizeof(text), doc, node);
    if (reason != NULL) {
        return reason;
    }

    n = sandbox_base64_decode(config->entropy, sizeof(config->entropy), text,
                              strlen(text));
    explicit_bzero(text, sizeof(text));

    return n == AGENT_ENTROPY_LEN ? NULL : "must be 64 bytes in base64";
}


static const char *
config_token(agent_config_t *config, const sandbox_json_t *doc,
             const sandbox_json_node_t *node)
{
    return config_string(config->token, sizeof(config->token), doc, node);
}


static const char *
config_envs(agent_config_t *config, const sandbox_json_t *doc,
            const sandbox_json_node_t *node)
{
    const char *reason;
    const sandbox_json_node_t *fault;

    reason = NULL;

    return agent_env_json(&config->envs, doc, node, &fault, &reason) == 0
               ? NULL
               : reason;
}


static const char *
config_cwd(agent_config_t *config, const sandbox_json_t *doc,
           const sandbox_json_node_t *node)
{
    int rc;
    char *s;
    size_t len;
    const char *reason;

    s = sandbox_json_string(doc, node, &len);
    if (s == NULL) {
        return "must be a string";
    }

    reason = NULL;
    rc = sandbox_path_normalise(config->cwd, sizeof(config->cwd), s, len,
                                &reason);
    free(s);

    return rc == 0 ? NULL : reason;
}


static const char *
config_grow_disk(agent_config_t *config, const sandbox_json_t *doc,
                 const sandbox_json_node_t *node)
{
    (void) doc;

    if (node->type != SANDBOX_JSON_TRUE && node->type != SANDBOX_JSON_FALSE) {
        return "must be true or false";
    }

    config->grow_disk = node->type == SANDBOX_JSON_TRUE;

    return NULL;
}


static const config_member_t config_members[] = {
    { "op", 1, config_word },
    { "nonce", 1, config_word },
    { "hostname", 1, config_hostname },
    { "mac", 1, config_mac },
    { "address", 1, config_address },
    { "gateway", 1, config_gateway },
    { "dns", 0, config_dns },
    { "time_ms", 1, config_time },
    { "entropy", 1, config_entropy },
    { "token", 1, config_token },
    { "envs", 0, config_envs },
    { "cwd", 0, config_cwd },
    { "grow_disk", 0, config_grow_disk },
};


static const sandbox_json_node_t *
config_find(const sandbox_json_t *doc, const char *name)
{
    const sandbox_json_node_t *node;

    node = sandbox_json_member(doc, &doc->nodes[0], name);

    return node != NULL && node->type == SANDBOX_JSON_NULL ? NULL : node;
}


/* 0, or -1 if there is a member besides the known ones. */
static int
config_known(const sandbox_json_t *doc)
{
    size_t i, n;

    n = 0;
    for (i = 0; i < COUNT(config_members); i++) {
        if (sandbox_json_member(doc, &doc->nodes[0], config_members[i].name)
            != NULL) {
            n++;
        }
    }

    return n == doc->nodes[0].count ? 0 : -1;
}


int
agent_config_parse(agent_config_t *config, const sandbox_json_t *doc,
                   char *error, size_t size)
{
    size_t i;
    const char *reason;
    const config_member_t *m;
    const sandbox_json_node_t *node;

    memset(config, 0, sizeof(*config));
    config->cwd[0] = '/';
    config->read_ms = sandbox_time_monotonic_ms();

    if (config_known(doc) == -1) {
        snprintf(error, size, "The configuration has an unknown member.");
        return -1;
    }

    for (i = 0; i < COUNT(config_members); i++) {
        m = &config_members[i];
        node = config_find(doc, m->name);

        if (node == NULL) {
            reason = m->required ? "is missing" : NULL;
        } else {
            reason = m->read(config, doc, node);
        }

        if (reason != NULL) {
            snprintf(error, size, "The member \"%s\" %s.", m->name, reason);
            agent_config_free(config);
            return -1;
        }
    }

    return 0;
}


void
agent_config_free(agent_config_t *config)
{
    agent_env_free(&config->envs);
    explicit_bzero(config, sizeof(*config));
}


int
agent_config_apply(const agent_config_t *config, const agent_step_t *steps,
                   size_t n, char *error, size_t size)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (steps[i].run(config, error, size) == -1) {
            return -1;
        }
    }

    return 0;
}
