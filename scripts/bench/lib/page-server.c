/*
 * Answers every request on a port with one page.  For guests that are woken by
 * a request: what the first answer takes is then the wake's, and not what an
 * interpreter takes to run for the first time in a new process of QEMU.
 *
 *   page-server PORT
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER                                                                 \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"     \
    "Connection: close\r\n\r\npage\n"


/* The request is read to its empty line, in pieces of whatever size. */
static void
serve(int client)
{
    size_t len;
    ssize_t n;
    char request[4096];

    for (len = 0; len < sizeof(request) - 1; len += (size_t) n) {
        n = read(client, request + len, sizeof(request) - 1 - len);
        if (n <= 0) {
            return;
        }

        request[len + (size_t) n] = '\0';

        if (strstr(request, "\r\n\r\n")) {
            (void) !write(client, ANSWER, sizeof(ANSWER) - 1);
            return;
        }
    }
}


int
main(int argc, char **argv)
{
    int fd, client;
    struct sockaddr_in address;

    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t) (argc == 2 ? atoi(argv[1]) : 0));

    fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd == -1
        || bind(fd, (struct sockaddr *) &address, sizeof(address)) == -1
        || listen(fd, 16) == -1)
    {
        return 1;
    }

    for (;;) {
        client = accept(fd, NULL, NULL);

        if (client != -1) {
            serve(client);
            (void) close(client);
        }
    }
}
