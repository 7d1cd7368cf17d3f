/* Clients of WebSockets for tests; see the header. */

#define _GNU_SOURCE

#include <string.h>
#include <sys/socket.h>

#include "check_ws.h"


void
masked(sandbox_text_t *t, int first, const char *payload, size_t len)
{
    size_t i;
    char head[8];
    static const uint8_t mask[4] = { 0x12, 0xe4, 0x56, 0x78 };

    head[0] = (char) first;
    if (len < 126) {
        head[1] = (char) (0x80 | len);
        sandbox_text_add(t, head, 2);
    } else if (len < 65536) {
        head[1] = (char) (0x80 | 126);
        head[2] = (char) (len >> 8);
        head[3] = (char) len;
        sandbox_text_add(t, head, 4);
    } else {
        head[1] = (char) (0x80 | 127);
        sandbox_text_add(t, head, 2);
        for (i = 0; i < 8; i++) {
            head[0] = (char) ((uint64_t) len >> (56 - 8 * i));
            sandbox_text_add(t, head, 1);
        }
    }

    sandbox_text_add(t, (const char *) mask, 4);
    for (i = 0; i < len; i++) {
        head[0] = (char) (payload[i] ^ mask[i % 4]);
        sandbox_text_add(t, head, 1);
    }
}


int
open_socket(const char *query)
{
    int fd, n;
    char head[4096];

    fd = dial();
    n = snprintf(head, sizeof(head),
                 "GET /v1/sandboxes/sb_1/ws%s HTTP/1.1\r\nHost: x\r\n" AUTH
                 "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                 "Sec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                 query);
    transmit(fd, head, (size_t) n);

    for (n = 0; n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0; n++) {
        expect(n < (int) sizeof(head) - 1);
        expect(recv(fd, head + n, 1, 0) == 1);
    }

    head[n] = '\0';
    expect(strstr(head, "HTTP/1.1 101 ") == head);
    expect(
        strcasestr(head, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        != NULL);

    return fd;
}


void
say(int fd, int first, const char *text)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    masked(&t, first, text, strlen(text));
    transmit(fd, t.data, t.len);
    sandbox_text_free(&t);
}


static void
receive_all(int fd, char *buf, size_t len)
{
    ssize_t n;

    for (; len > 0; len -= (size_t) n, buf += n) {
        n = recv(fd, buf, len, 0);
        expect(n > 0);
    }
}


int
hear(int fd, char *buf, size_t size)
{
    size_t len;
    uint8_t head[4];

    receive_all(fd, (char *) head, 2);
    expect(!(head[1] & 0x80));
    len = head[1];
    expect(len != 127);
    if (len == 126) {
        receive_all(fd, (char *) head + 2, 2);
        len = (size_t) head[2] << 8 | head[3];
    }

    expect(len < size);
    receive_all(fd, buf, len);
    buf[len] = '\0';

    return head[0] & 0x0f;
}
