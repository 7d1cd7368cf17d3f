/*
 * A growing text buffer, and JSON written into it.
 *
 * Errors are sticky: after memory ran out every call does nothing, and
 * sandbox_text_failed() tells; a writer checks once at its end.  What adds to a
 * buffer may move its data.
 * Any thread; one buffer belongs to one thread at a time.
 */

#ifndef SANDBOX_TEXT_H
#define SANDBOX_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "sandbox_json.h"

typedef struct {
    char *data; /* NUL-terminated once anything was added; may be NULL */
    size_t len; /* without the NUL */
    size_t size;
    int failed;
} sandbox_text_t;

#define SANDBOX_TEXT_INIT                                                      \
    {                                                                          \
        NULL, 0, 0, 0                                                          \
    }

void sandbox_text_free(sandbox_text_t *t);
int sandbox_text_failed(const sandbox_text_t *t);

void sandbox_text_add(sandbox_text_t *t, const char *data, size_t len);
void sandbox_text_str(sandbox_text_t *t, const char *s);
void sandbox_text_int(sandbox_text_t *t, int64_t n);
void sandbox_text_fmt(sandbox_text_t *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void sandbox_text_json_string(sandbox_text_t *t, const char *s, size_t len);

/*
 * The canonical form of a JSON value, for comparison only: members sorted by
 * unescaped name, no white space, one spelling for equal numbers (1, 1.0 and
 * 10e-1 are equal; no precision is lost on long ones), one for equal strings.
 */
void sandbox_text_json_canonical(sandbox_text_t *t, const sandbox_json_t *doc,
                                 const sandbox_json_node_t *node);

/* 1 if two JSON texts have the same canonical form; 0 also if memory is out. */
int sandbox_json_equal(const char *a, const char *b);

/* Standard base64 with padding. */
void sandbox_text_base64(sandbox_text_t *t, const uint8_t *data, size_t len);

/* Decodes into out (size bytes); the length, or -1 if malformed or too long. */
int64_t
sandbox_base64_decode(uint8_t *out, size_t size, const char *s, size_t len);

#endif
