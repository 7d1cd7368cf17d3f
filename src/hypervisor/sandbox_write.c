/* Writing all of a piece to a file; see the header. */

#include "sandbox_write.h"

#include <errno.h>
#include <unistd.h>


int
sandbox_write(int fd, const unsigned char *data, size_t len, off_t at)
{
    ssize_t n;

    while (len) {
        n = pwrite(fd, data, len, at);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            return -1;
        }

        data += n;
        len -= (size_t) n;
        at += n;
    }

    return 0;
}
