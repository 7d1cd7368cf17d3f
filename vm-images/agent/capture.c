/* Output kept in memory until its command has ended. */

#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "memory.h"
#include "sandbox_utf8.h"

/* The first bytes of each, which take nothing of the share of output. */
#define CAPTURE_FIRST 4096

/* Room for at least `want` bytes if limits and memory allow; 0 or -1. */
static int
capture_grow(agent_capture_t *c, size_t want)
{
    char *data;
    size_t size, more;

    size = c->size ? c->size : CAPTURE_FIRST;
    more = 0;

    while (size < want) {
        more += size;
        size *= 2;
    }

    if (agent_memory_take(AGENT_MEMORY_OUTPUT, more) == -1) {
        return -1;
    }

    data = realloc(c->data, size);
    if (data == NULL) {
        agent_memory_give(AGENT_MEMORY_OUTPUT, more);
        return -1;
    }

    c->data = data;
    c->size = size;
    c->taken += more;

    return 0;
}


void
agent_capture_add(agent_capture_t *c, const char *buf, size_t len)
{
    if (c->truncated) {
        return;
    }

    if (len > AGENT_CAPTURE_MAX - c->len) {
        len = AGENT_CAPTURE_MAX - c->len;
        c->truncated = 1;
    }

    if (c->len + len > c->size && capture_grow(c, c->len + len) == -1) {
        if (c->size == 0) {
            (void) capture_grow(c, CAPTURE_FIRST);
        }

        len = c->size - c->len;
        c->truncated = 1;
    }

    if (len > 0) {
        memcpy(c->data + c->len, buf, len);
        c->len += len;
    }

    if (c->truncated) {
        c->len = sandbox_utf8_whole((const uint8_t *) c->data, c->len);
    }
}


void
agent_capture_uncount(agent_capture_t *c)
{
    agent_memory_give(AGENT_MEMORY_OUTPUT, c->taken);
    c->taken = 0;
}


void
agent_capture_halve(agent_capture_t *c)
{
    c->len = sandbox_utf8_whole((const uint8_t *) c->data, c->len / 2);
    c->truncated = 1;
}


void
agent_capture_free(agent_capture_t *c)
{
    agent_capture_uncount(c);
    free(c->data);
    memset(c, 0, sizeof(*c));
}
