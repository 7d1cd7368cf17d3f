/* Names of entries; see the header. */

#include <string.h>

#include "archive_name.h"


static int
name_has_dots(const char *name)
{
    size_t len;

    for (; *name != '\0'; name += len + (name[len] != '\0')) {
        len = strcspn(name, "/");

        if (len == 2 && name[0] == '.' && name[1] == '.') {
            return 1;
        }
    }

    return 0;
}


const char *
agent_archive_name(char path[SANDBOX_PATH_MAX], const char *name)
{
    size_t len;
    const char *reason;
    char rooted[SANDBOX_PATH_MAX + 1];

    if (name == NULL || name[0] == '\0') {
        return "has no name";
    }

    /* The meaning of ".." would depend on what is there. */
    if (name_has_dots(name)) {
        return "has \"..\" in its name";
    }

    len = strlen(name);
    if (len >= SANDBOX_PATH_MAX) {
        return "has a name that is too long";
    }

    rooted[0] = '/';
    memcpy(rooted + 1, name, len + 1);

    if (sandbox_path_normalise(path, SANDBOX_PATH_MAX, rooted, len + 1, &reason)
        == -1)
    {
        return "has a name that is too long";
    }

    return NULL;
}
