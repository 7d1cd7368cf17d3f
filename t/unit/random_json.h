/*
 * Random JSON for tests.  A document is drawn by one generator and spelled by
 * another: two spellings of one shape say the same.
 */

#ifndef RANDOM_JSON_H
#define RANDOM_JSON_H

#include <stdint.h>

#include "sandbox_text.h"

typedef struct {
    uint64_t shape; /* neither may be 0 */
    uint64_t spelling;
} random_t;

/* From 0 to below - 1. */
uint32_t random_draw(uint64_t *state, uint32_t below);

/* White space between tokens, or none. */
void random_space(sandbox_text_t *t, random_t *r);

/* A character of a string, as it is or escaped. */
void random_code(sandbox_text_t *t, random_t *r, uint32_t code);

/* A string; first, if not 0, is put in front, so that names differ. */
void random_string(sandbox_text_t *t, random_t *r, uint32_t first);

/* An object of anything, some levels deep. */
void random_object(sandbox_text_t *t, random_t *r);

#endif
