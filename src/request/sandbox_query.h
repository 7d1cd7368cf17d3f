/*
 * Query strings, read strictly: each parameter is known and given at most
 * once, percent escapes are well-formed, and values are UTF-8 without NUL.
 * "+" is a blank, as in forms.  Pure C, any thread; knows no resource.
 */

#ifndef SANDBOX_QUERY_H
#define SANDBOX_QUERY_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    SANDBOX_QUERY_OK = 0,
    SANDBOX_QUERY_INVALID,
    SANDBOX_QUERY_INVALID_FIELDS, /* the mask of members */
    SANDBOX_QUERY_NO_MEMORY
} sandbox_query_status_t;

typedef struct {
    char field[64]; /* the parameter, or "query" */
    char reason[192];
} sandbox_query_error_t;

typedef struct {
    const char *name; /* NULL ends a table */
    char *value;      /* decoded; NULL: not given */
} sandbox_query_param_t;

/*
 * Fills the values of params from text, the part behind "?".  Values are
 * freed with sandbox_query_free(), also after a failure.
 */
sandbox_query_status_t
sandbox_query_parse(sandbox_query_param_t *params, const char *text, size_t len,
                    sandbox_query_error_t *err);
void sandbox_query_free(sandbox_query_param_t *params);

/* Checks nothing but percent escapes, of a query that the agent reads. */
sandbox_query_status_t
sandbox_query_escapes(const char *text, size_t len, sandbox_query_error_t *err);

/* The number (below 32) of a word, or -1. */
typedef int (*sandbox_query_find_pt)(const char *word, size_t len);

/*
 * A list of words between commas as a set of bits; empty, unknown and
 * repeated words are refused.  kind says what a word is: "state".
 */
sandbox_query_status_t
sandbox_query_words(uint32_t *set, const sandbox_query_param_t *param,
                    sandbox_query_find_pt find, const char *kind,
                    sandbox_query_error_t *err);

/* Reads a mask of members: INVALID_FIELDS if refused, all bits if not given. */
sandbox_query_status_t
sandbox_query_fields(uint32_t *set, const sandbox_query_param_t *param,
                     sandbox_query_find_pt find, sandbox_query_error_t *err);

/* Fills err; returns INVALID. */
sandbox_query_status_t
sandbox_query_refuse(sandbox_query_error_t *err, const char *field,
                     const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
