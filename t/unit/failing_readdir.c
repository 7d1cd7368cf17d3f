/* Readings of a directory that fail; see the header. */

#include "failing_readdir.h"

#include <dirent.h>
#include <errno.h>
#include <stddef.h>

int readdir_fails_at;
int readdir_calls;

struct dirent *__real_readdir(DIR *dir);
struct dirent *__wrap_readdir(DIR *dir);


struct dirent *
__wrap_readdir(DIR *dir)
{
    if (++readdir_calls == readdir_fails_at) {
        errno = EIO;
        return NULL;
    }

    return __real_readdir(dir);
}
