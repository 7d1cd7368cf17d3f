/*
 * Bodies of creates, for the tests of their schema: limits, templates, and
 * lists of bodies that are refused or accepted.
 */

#ifndef CREATE_BODY_H
#define CREATE_BODY_H

#include "sandbox_create.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef struct {
    const char *body;
    sandbox_body_status_t status;
    const char *field;  /* exact */
    const char *reason; /* a part of it, or NULL */
} refusal_t;

extern sandbox_template_t create_base, create_desktop;
extern const sandbox_create_limits_t create_limits;

/* Parses a copy without a NUL behind it: sanitizers see a read past its end. */
sandbox_body_status_t create_parse(sandbox_create_t *create,
                                   sandbox_body_error_t *err, const char *body);

void check_refusals(const refusal_t *list, size_t n);
void check_accepted(const char *const *list, size_t n);

#endif
