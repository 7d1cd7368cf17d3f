/* Dotted paths of members; see the header. */

#include "sandbox_json_path.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>


void
sandbox_json_path_name(char path[SANDBOX_JSON_PATH_SIZE], const char *name)
{
    size_t n, mark;

    mark = strlen(path);
    n = mark;

    if (mark && n < SANDBOX_JSON_PATH_SIZE - 1) {
        path[n++] = '.';
    }

    /* by hand, since this runs for each member of a body */
    for (name = name[0] ? name : "\"\"";
         *name && n < SANDBOX_JSON_PATH_SIZE - 1; name++)
    {
        path[n++] = *name;
    }

    path[n] = '\0';

    /* A client's own name may be too long: cut it between characters. */

    if (n == SANDBOX_JSON_PATH_SIZE - 1) {
        while (n > mark && ((uint8_t) path[n - 1] & 0xc0) == 0x80) {
            n--;
        }

        if (n > mark && (uint8_t) path[n - 1] >= 0xc0) {
            n--;
        }

        path[n] = '\0';
    }
}


void
sandbox_json_path_index(char path[SANDBOX_JSON_PATH_SIZE], size_t index)
{
    size_t mark;

    mark = strlen(path);

    (void) snprintf(path + mark, SANDBOX_JSON_PATH_SIZE - mark, "[%zu]", index);
}
