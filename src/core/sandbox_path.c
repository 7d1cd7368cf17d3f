/* Path text; see the header. */

#include "sandbox_path.h"

#include <string.h>


/* Drops the last segment of out; -1 if there is none. */
static int
sandbox_path_up(char *out, size_t *n)
{
    if (*n == 0) {
        return -1;
    }

    while (out[--*n] != '/') {
        /* back to the slash before the segment */
    }

    return 0;
}


int
sandbox_path_normalise(char *out, size_t size, const char *path, size_t len,
                       const char **reason)
{
    size_t n, start, end, seg;

    if (len == 0 || path[0] != '/') {
        *reason = "must be an absolute path";
        return -1;
    }

    if (memchr(path, '\0', len)) {
        *reason = "must not contain NUL";
        return -1;
    }

    n = 0;

    for (start = 1; start <= len; start = end + 1) {
        end = start;
        while (end < len && path[end] != '/') {
            end++;
        }

        seg = end - start;

        if (seg == 0 || (seg == 1 && path[start] == '.')) {
            continue;
        }

        if (seg == 2 && path[start] == '.' && path[start + 1] == '.') {
            if (sandbox_path_up(out, &n) != 0) {
                *reason = "must not climb above the root";
                return -1;
            }
            continue;
        }

        if (seg > SANDBOX_PATH_NAME_MAX) {
            *reason = "has a name longer than 255 bytes";
            return -1;
        }

        if (n + 1 + seg + 1 > size) {
            *reason = "is too long";
            return -1;
        }

        out[n++] = '/';
        memcpy(out + n, path + start, seg);
        n += seg;
    }

    if (n == 0) {
        if (size < 2) {
            *reason = "is too long";
            return -1;
        }
        out[n++] = '/';
    }

    out[n] = '\0';

    return 0;
}


int
sandbox_path_within(const char *path, const char *dir)
{
    size_t len;

    len = strlen(dir);

    if (len == 1) {
        return 1;
    }

    return strncmp(path, dir, len) == 0
           && (path[len] == '\0' || path[len] == '/');
}
