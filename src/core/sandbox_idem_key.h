/*
 * The value of an Idempotency-Key header.  Pure C, any thread.
 */

#ifndef SANDBOX_IDEM_KEY_H
#define SANDBOX_IDEM_KEY_H

#include <stddef.h>

#define SANDBOX_IDEM_KEY_MAX 255

/*
 * The key that value means, into key: value itself, or what a string of
 * RFC 8941 (in quotes, with \" and \\ as escapes) stands for.  Its length,
 * or 0 with *reason (static) set.
 */
size_t sandbox_idem_key(char key[SANDBOX_IDEM_KEY_MAX], const char *value,
                        size_t len, const char **reason);

#endif
