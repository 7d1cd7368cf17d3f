/*
 * Ranges and conditions of HTTP requests (RFC 9110) for a file.  A header value
 * that is NULL was not sent.  No I/O.
 */

#ifndef AGENT_CONDITIONS_H
#define AGENT_CONDITIONS_H

#include <stdint.h>
#include <time.h>

typedef enum {
    AGENT_RANGE_ALL = 0, /* no range, or one that is ignored */
    AGENT_RANGE_PART,
    AGENT_RANGE_BAD /* 416 */
} agent_range_t;

/*
 * Reads a single range of a file of size bytes.  PART sets first and len, which
 * lie in the file.  Several ranges are ignored, as the RFC allows.
 */
agent_range_t
agent_range(const char *value, int64_t size, int64_t *first, int64_t *len);

typedef struct {
    const char *match;
    const char *none_match;
    const char *modified_since;
    const char *unmodified_since;
    const char *range; /* If-Range */
} agent_conditions_t;

/*
 * Returns 0 to go on, or 304 or 412.  etag is NULL if there is no file; reads
 * is 1 for GET and HEAD.
 */
unsigned agent_conditions(const agent_conditions_t *c, const char *etag,
                          time_t modified, int reads);

/* 1 if If-Range, if sent, allows a part. */
int agent_condition_range(const agent_conditions_t *c, const char *etag);

#define AGENT_DATE_SIZE 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and its NUL */

void agent_date(char out[AGENT_DATE_SIZE], time_t t);

#endif
