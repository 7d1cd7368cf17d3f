/*
 * Escapes in JSON strings, for the parser and for readers of its nodes.  Pure
 * C, any thread.
 */

#ifndef SANDBOX_JSON_ESCAPE_H
#define SANDBOX_JSON_ESCAPE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Reads the escape whose backslash is at s into *code, a Unicode scalar
 * value other than 0; a pair of surrogates is one escape.  Returns the bytes
 * of the escape, or 0 with *reason (static) set.
 */
size_t sandbox_json_escape(const char *s, const char *last, uint32_t *code,
                           const char **reason);

#endif
