/*
 * The value of an Idempotency-Key header.  Pure C, any thread.
 */

#ifndef SANDBOX_IDEM_KEY_H
#define SANDBOX_IDEM_KEY_H

#include <stddef.h>

#define SANDBOX_IDEM_KEY_MAX 255

/*
 * Writes the key that value stands for to key: value itself, or the content of
 * a string of RFC 8941 (in quotes, with \" and \\ as escapes).  Returns its
 * length, or 0 with *reason (static) set.
 */
size_t sandbox_idem_key(char key[SANDBOX_IDEM_KEY_MAX], const char *value,
                        size_t len, const char **reason);

#endif
