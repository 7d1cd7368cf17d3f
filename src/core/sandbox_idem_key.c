/* The value of an Idempotency-Key header; see the header. */

#include "sandbox_idem_key.h"


/* Sets value to the text inside its quotes; -1 if it is no string in quotes. */
static int
idem_key_unquote(const char **value, size_t *len)
{
    if (*len < 2 || (*value)[*len - 1] != '"') {
        return -1;
    }

    *value += 1;
    *len -= 2;

    return 0;
}


size_t
sandbox_idem_key(char key[SANDBOX_IDEM_KEY_MAX], const char *value, size_t len,
                 const char **reason)
{
    int quoted;
    char c;
    size_t i, n;

    n = 0;
    quoted = len > 0 && value[0] == '"';

    if (quoted && idem_key_unquote(&value, &len) != 0) {
        *reason = "has a quote that is not closed at its end";
        return 0;
    }

    for (i = 0; i < len; i++) {
        c = value[i];

        if (quoted && c == '\\') {
            c = ++i < len ? value[i] : '\0';

            if (c != '"' && c != '\\') {
                *reason =
                    "has a \"\\\" that escapes neither a quote nor \"\\\"";
                return 0;
            }

        } else if (quoted && c == '"') {
            *reason = "has a quote inside the quotes that is not escaped";
            return 0;
        }

        if (c < 0x21 || c > 0x7e) {
            *reason = "must be visible ASCII characters";
            return 0;
        }

        if (n == SANDBOX_IDEM_KEY_MAX) {
            *reason = "must be at most 255 characters";
            return 0;
        }

        key[n++] = c;
    }

    if (n == 0) {
        *reason = "must not be empty";
    }

    return n;
}
