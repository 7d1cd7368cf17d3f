/* Output kept in memory until its command has ended. */

#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "memory.h"

#define CAPTURE_FIRST 4096

/* Room for at least `want` bytes if limits and memory allow; 0 or -1. */
static int
capture_grow(agent_capture_t *c, size_t want)
{
    char *data;
    size_t size;

    size = c->size ? c->size : CAPTURE_FIRST;
    while (size < want) {
        size *= 2;
    }

    if (agent_memory_take(size - c->size) == -1) {
        return -1;
    }

    data = realloc(c->data, size);
    if (data == NULL) {
        agent_memory_give(size - c->size);
        return -1;
    }

    c->data = data;
    c->size = size;

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
        len = c->size - c->len;
        c->truncated = 1;
    }

    if (len > 0) {
        memcpy(c->data + c->len, buf, len);
        c->len += len;
    }
}


void
agent_capture_free(agent_capture_t *c)
{
    agent_memory_give(c->size);
    free(c->data);
    memset(c, 0, sizeof(*c));
}
