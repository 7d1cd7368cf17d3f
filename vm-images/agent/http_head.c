/*
 * The head of a request: its path, query, id and type.  Knows the library's
 * connections, but neither the server nor its routes.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "console.h"
#include "http_head.h"
#include "sandbox_base32.h"

#define HEAD_ID_MAX 64
#define HEAD_PREFIX "/v1/sandboxes/"


typedef struct {
    const char *const *names;
    unsigned seen; /* a bit for each name */
    char *fault;   /* size bytes */
    size_t size;
    const char *reason;
} head_query_t;


static enum MHD_Result
head_query_one(void *data, enum MHD_ValueKind kind, const char *key,
               size_t key_len, const char *value, size_t len)
{
    size_t i;
    head_query_t *q = data;

    (void) kind;

    for (i = 0; q->names[i] != NULL; i++) {
        if (strcmp(key, q->names[i]) == 0 && key_len == strlen(key)) {
            break;
        }
    }

    if (q->names[i] == NULL) {
        q->reason = "is not a parameter of this resource";
    } else if (q->seen & 1U << i) {
        q->reason = "is given twice";
    } else if (value != NULL && memchr(value, '\0', len) != NULL) {
        q->reason = "must not contain NUL";
    } else {
        q->seen |= 1U << i;
        return MHD_YES;
    }

    snprintf(q->fault, q->size, "%s", key);

    return MHD_NO;
}


/* 1 if the first len characters may stand in an id. */
static int
head_id_valid(const char *s, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if (!(s[i] >= 'a' && s[i] <= 'z') && !(s[i] >= 'A' && s[i] <= 'Z')
            && !(s[i] >= '0' && s[i] <= '9') && s[i] != '_' && s[i] != '-')
        {
            return 0;
        }
    }

    return len > 0 && len <= HEAD_ID_MAX;
}


void
agent_head_id(struct MHD_Connection *c, char id[AGENT_REQUEST_ID_SIZE])
{
    uint8_t random[20];
    const char *value;

    value = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "X-Request-Id");

    if (value != NULL && head_id_valid(value, strlen(value))) {
        snprintf(id, AGENT_REQUEST_ID_SIZE, "%s", value);
        return;
    }

    memset(random, 0, sizeof(random));
    if (getrandom(random, sizeof(random), GRND_NONBLOCK) == -1) {
        agent_log("a request id is not random: %s", strerror(errno));
    }

    snprintf(id, AGENT_REQUEST_ID_SIZE, "req_");
    sandbox_base32(id + 4, random, sizeof(random));
}


int
agent_head_match(const char *pattern, const char *name,
                 char segments[AGENT_SEGMENTS][AGENT_SEGMENT_SIZE])
{
    size_t len;
    unsigned n;

    for (n = 0;;) {
        if (*pattern == '*') {
            len = strcspn(name, "/");
            if (n == AGENT_SEGMENTS || len == 0 || len >= AGENT_SEGMENT_SIZE) {
                return 0;
            }

            memcpy(segments[n], name, len);
            segments[n++][len] = '\0';
            name += len;
            pattern++;
            continue;
        }

        if (*pattern != *name) {
            return 0;
        }

        if (*pattern == '\0') {
            return 1;
        }

        pattern++;
        name++;
    }
}


const char *
agent_head_name(const char *url)
{
    size_t len;

    if (strncmp(url, HEAD_PREFIX, sizeof(HEAD_PREFIX) - 1) != 0) {
        return NULL;
    }

    url += sizeof(HEAD_PREFIX) - 1;
    len = strcspn(url, "/");

    return url[len] == '/' && head_id_valid(url, len) ? url + len + 1 : NULL;
}


int
agent_head_is_json(struct MHD_Connection *c)
{
    size_t len;
    const char *type;

    type = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Type");
    if (type == NULL) {
        return 1;
    }

    len = strcspn(type, "; \t");

    return len == sizeof("application/json") - 1
           && strncasecmp(type, "application/json", len) == 0;
}


const char *
agent_head_query(struct MHD_Connection *c, const char *const *names,
                 char *fault, size_t size)
{
    head_query_t q;

    memset(&q, 0, sizeof(q));
    q.names = names;
    q.fault = fault;
    q.size = size;

    MHD_get_connection_values_n(c, MHD_GET_ARGUMENT_KIND, head_query_one, &q);

    return q.reason;
}
