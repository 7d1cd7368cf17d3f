/*
 * The kept output of a command: bounded per stream, and bounded over all
 * commands by a share of the guest's memory.  What is beyond is dropped and
 * noted; it is never waited for.
 */

#ifndef AGENT_CAPTURE_H
#define AGENT_CAPTURE_H

#include <stddef.h>

#define AGENT_CAPTURE_MAX (8 * 1024 * 1024)

typedef struct {
    char *data;
    size_t len;
    size_t size;
    size_t taken; /* of the share of all */
    int truncated;
} agent_capture_t;

void agent_capture_add(agent_capture_t *c, const char *buf, size_t len);

/*
 * It is about to be freed, and no longer counts: what is made of it may take
 * its share.
 */
void agent_capture_uncount(agent_capture_t *c);

/* Drops half of it, between two characters. */
void agent_capture_halve(agent_capture_t *c);

void agent_capture_free(agent_capture_t *c);

#endif
