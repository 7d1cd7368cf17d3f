/*
 * The kept output of a command: bounded per stream, and bounded over all
 * commands by a share of the guest's memory.  Output beyond the bounds is
 * dropped, and noted as truncated; the command never waits.
 */

#ifndef AGENT_CAPTURE_H
#define AGENT_CAPTURE_H

#include <stddef.h>

#define AGENT_CAPTURE_MAX (8 * 1024 * 1024)

typedef struct {
    char *data;
    size_t len;
    size_t size;
    size_t taken; /* bytes of the share of all commands */
    int truncated;
} agent_capture_t;

void agent_capture_add(agent_capture_t *c, const char *buf, size_t len);

/*
 * Gives the capture's share back before it is freed, so that the answer that is
 * made from it may take the share.
 */
void agent_capture_uncount(agent_capture_t *c);

/* Drops the second half, without splitting a character. */
void agent_capture_halve(agent_capture_t *c);

void agent_capture_free(agent_capture_t *c);

#endif
