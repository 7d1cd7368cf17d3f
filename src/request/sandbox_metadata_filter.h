/*
 * Filters that tell if metadata has all members of an object.  Values are
 * compared as JSON: numbers by value, objects whatever the order of their
 * members. Pure C, any thread.
 */

#ifndef SANDBOX_METADATA_FILTER_H
#define SANDBOX_METADATA_FILTER_H

#include <stddef.h>

typedef struct sandbox_metadata_filter_s sandbox_metadata_filter_t;

/*
 * From the text of a JSON object.  NULL with *reason (static) if json is none,
 * or with *reason NULL if memory is out.  Freed by sandbox_metadata_filter_free
 * (which takes NULL).
 */
sandbox_metadata_filter_t *
sandbox_metadata_filter_make(const char *json, size_t len, const char **reason);
void sandbox_metadata_filter_free(sandbox_metadata_filter_t *filter);

/*
 * 1 if metadata, the text of a JSON object, has all members of the filter, 0 if
 * not (or if it is no JSON), -1 if memory is out.  The time grows with len only
 * (times log of the pairs).
 */
int sandbox_metadata_filter_match(const sandbox_metadata_filter_t *filter,
                                  const char *metadata, size_t len);

#endif
