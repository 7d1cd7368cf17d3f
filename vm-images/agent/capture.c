/*
 * Output kept in memory.  A quarter of the guest's memory is all that the
 * captures together may take, the rest of the answer's making included:
 * JSON may need several times the bytes of one stream for a short while.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "capture.h"

#define CAPTURE_SHARE 4
#define CAPTURE_FIRST 4096

static size_t capture_used;


static size_t
capture_budget(void)
{
    struct sysinfo info;
    static size_t budget;

    if (budget == 0) {
        budget = AGENT_CAPTURE_MAX;
        if (sysinfo(&info) == 0) {
            budget = info.totalram / CAPTURE_SHARE * info.mem_unit;
        }
    }

    return budget;
}


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

    if (capture_used - c->size + size > capture_budget()) {
        return -1;
    }

    data = realloc(c->data, size);
    if (data == NULL) {
        return -1;
    }

    capture_used += size - c->size;
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
    capture_used -= c->size;
    free(c->data);
    memset(c, 0, sizeof(*c));
}
