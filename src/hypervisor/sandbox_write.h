/* Writing all of a piece to a file.  Private to src/hypervisor. */

#ifndef SANDBOX_WRITE_H
#define SANDBOX_WRITE_H

#include <sys/types.h>

/* Blocks; any thread.  0, or -1 with errno: some of it may be written then. */
int sandbox_write(int fd, const unsigned char *data, size_t len, off_t at);

#endif
