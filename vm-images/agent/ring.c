/* A ring of bytes that grows up to its limit. */

#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "ring.h"

/*
 * The smallest size, which takes nothing of the share of output; others are
 * doubles of it.
 */
#define RING_FIRST 4096
#define RING_SPARE 3 /* the first bytes once more, behind the last */


static int
ring_mark(const agent_ring_t *r, size_t at)
{
    return r->marks[at / 8] >> (at % 8) & 1;
}


static void
ring_set_marks(agent_ring_t *r, size_t at, size_t len, int mark)
{
    size_t end;

    for (end = at + len; at < end; at++) {
        if (at % 8 == 0 && end - at >= 8) {
            r->marks[at / 8] = mark ? 0xff : 0;
            at += 7;
        } else if (mark) {
            r->marks[at / 8] |= (uint8_t) (1 << (at % 8));
        } else {
            r->marks[at / 8] &= (uint8_t) ~(1 << (at % 8));
        }
    }
}


/* Adds len bytes, which fit into the ring. */
static void
ring_put(agent_ring_t *r, agent_stream_t stream, const char *buf, size_t len)
{
    size_t at, n;

    while (len > 0) {
        at = (size_t) (r->end % r->size);
        n = r->size - at < len ? r->size - at : len;

        memcpy(r->data + at, buf, n);
        ring_set_marks(r, at, n, stream == AGENT_STDERR);

        if (at < RING_SPARE) {
            memcpy(r->data + r->size, r->data, RING_SPARE);
            r->marks[r->size / 8] = r->marks[0];
        }

        buf += n;
        len -= n;
        r->end += n;
    }

    if (r->end - r->begin > r->size) {
        r->begin = r->end - r->size;
    }
}


int
agent_ring_reserve(agent_ring_t *r, size_t size)
{
    size_t n;
    uint64_t at;
    const char *data;
    agent_ring_t larger;
    agent_stream_t stream;

    n = r->size ? r->size : RING_FIRST;
    while (n < size && n < AGENT_RING_MAX) {
        n *= 2;
    }

    if (n == r->size) {
        return 0;
    }

    if (agent_memory_take(AGENT_MEMORY_OUTPUT, n - RING_FIRST) == -1) {
        return -1;
    }

    larger.data = malloc(n + RING_SPARE);
    larger.marks = calloc(1, n / 8 + 1);
    larger.size = n;
    larger.begin = larger.end = r->begin;

    if (larger.data == NULL || larger.marks == NULL) {
        agent_ring_free(&larger);
        return -1;
    }

    for (at = r->begin; at < r->end; at += n) {
        n = agent_ring_piece(r, at, AGENT_RING_MAX, &data, &stream);
        ring_put(&larger, stream, data, n);
    }

    agent_ring_free(r);
    *r = larger;

    return 0;
}


void
agent_ring_add(agent_ring_t *r, agent_stream_t stream, const char *buf,
               size_t len)
{
    if (len > r->size) {
        r->end += len - r->size;
        r->begin = r->end;
        buf += len - r->size;
        len = r->size;
    }

    ring_put(r, stream, buf, len);
}


size_t
agent_ring_piece(const agent_ring_t *r, uint64_t offset, size_t max,
                 const char **data, agent_stream_t *stream)
{
    int mark;
    size_t at, n, limit;
    uint8_t same;

    if (offset >= r->end) {
        return 0;
    }

    at = (size_t) (offset % r->size);
    limit = r->size + RING_SPARE - at;
    limit = limit < max ? limit : max;
    limit = r->end - offset < limit ? (size_t) (r->end - offset) : limit;

    mark = ring_mark(r, at);
    same = mark ? 0xff : 0;

    for (n = 1; n < limit; n++) {
        if ((at + n) % 8 == 0 && limit - n >= 8
            && r->marks[(at + n) / 8] == same) {
            n += 7;
        } else if (ring_mark(r, at + n) != mark) {
            break;
        }
    }

    *data = r->data + at;
    *stream = mark ? AGENT_STDERR : AGENT_STDOUT;

    return n;
}


uint64_t
agent_ring_from(const agent_ring_t *r, uint64_t offset)
{
    size_t i, n;
    const char *data;
    agent_stream_t stream;

    if (offset >= r->begin) {
        return offset > r->end ? r->end : offset;
    }

    n = agent_ring_piece(r, r->begin, RING_SPARE + 1, &data, &stream);

    for (i = 0; i < n && (data[i] & 0xc0) == 0x80; i++) { /* void */
    }

    return r->begin + (i <= RING_SPARE ? i : 0);
}


void
agent_ring_free(agent_ring_t *r)
{
    if (r->size > 0) {
        agent_memory_give(AGENT_MEMORY_OUTPUT, r->size - RING_FIRST);
    }

    free(r->data);
    free(r->marks);
    memset(r, 0, sizeof(*r));
}
