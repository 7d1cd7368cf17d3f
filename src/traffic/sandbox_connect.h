/*
 * What became of a TCP connection attempt, also when nginx has read and thereby
 * cleared SO_ERROR, and whether the other end of a connection is still there.
 * Any thread; no nginx.
 */

#ifndef SANDBOX_CONNECT_H
#define SANDBOX_CONNECT_H

typedef enum {
    SANDBOX_CONNECT_DONE = 0, /* the handshake was completed once */
    SANDBOX_CONNECT_REFUSED,  /* the other end answered it with a reset */
    SANDBOX_CONNECT_FAILED    /* no answer yet, no route, or not TCP */
} sandbox_connect_e;

sandbox_connect_e sandbox_connect_result(int fd);

/*
 * Turns on TCP keepalive: the kernel probes the other end whenever the
 * connection is idle.  The kernel drops the connection only after many minutes,
 * so that the callers of sandbox_connect_silence() decide, earlier.
 */
void sandbox_connect_watch(int fd);

/*
 * For how many ms the other end has acknowledged nothing, while data or a
 * keepalive probe waits for an acknowledgement; else 0.  The guest's kernel
 * acknowledges whatever its programs do, also when its window is full.
 */
unsigned sandbox_connect_silence(int fd);

#endif
