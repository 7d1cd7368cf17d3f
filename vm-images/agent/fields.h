/*
 * Flat JSON bodies as a table of members, and the kinds of values that they
 * share with query strings.  No I/O.
 */

#ifndef AGENT_FIELDS_H
#define AGENT_FIELDS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox_path.h"

#define AGENT_SHA256_LEN 32
#define AGENT_SHA256_HEX_SIZE 65
#define AGENT_USER_SIZE 33
#define AGENT_PARTS_MAX 10000
#define AGENT_LIMIT_MAX 10000

typedef enum {
    AGENT_FIELD_PATH = 0, /* char[SANDBOX_PATH_MAX], for clients' eyes */
    AGENT_FIELD_MODE,     /* mode_t */
    AGENT_FIELD_BOOL,     /* int */
    AGENT_FIELD_SIZE,     /* int64_t, not negative */
    AGENT_FIELD_SHA256,   /* char[AGENT_SHA256_HEX_SIZE], lower case */
    AGENT_FIELD_USER,     /* char[AGENT_USER_SIZE] */
    AGENT_FIELD_LIMIT,    /* unsigned, 1 to AGENT_LIMIT_MAX; of queries */
    AGENT_FIELD_PARTS     /* agent_parts_t */
} agent_field_kind_t;

typedef struct {
    unsigned n;
    struct {
        unsigned number;
        char sha256[AGENT_SHA256_HEX_SIZE]; /* "" if not given */
    } * list; /* freed by the caller, also after a failure */
} agent_parts_t;

typedef struct {
    const char *name;
    agent_field_kind_t kind;
    void *value;
    int required;
    int given; /* set here: it is there, and not null */
} agent_field_t;

typedef struct {
    const char *code; /* "invalid_json" or "invalid_request" */
    char field[128];
    char reason[256];
} agent_field_error_t;

/* 0, or -1 with err set; an empty body is an empty object. */
int agent_fields_read(agent_field_t *members, size_t n, const char *body,
                      size_t len, agent_field_error_t *err);

/*
 * A value from its text, for all kinds but SIZE and PARTS.  NULL, or why it
 * cannot be (static).
 */
const char *
agent_fields_text(agent_field_kind_t kind, void *value, const char *text);

/* 0, or -1 if text is no SHA-256 in hex. */
int agent_sha256_read(char out[AGENT_SHA256_HEX_SIZE], const char *text);

#endif
