/*
 * What became of a TCP connection attempt, also after somebody else has read
 * and thereby cleared SO_ERROR.  Any thread; no nginx.
 */

#ifndef SANDBOX_CONNECT_H
#define SANDBOX_CONNECT_H

typedef enum {
    SANDBOX_CONNECT_DONE = 0, /* the handshake was completed once */
    SANDBOX_CONNECT_REFUSED,  /* the other end answered it with a reset */
    SANDBOX_CONNECT_FAILED    /* no answer yet, no route, or not TCP */
} sandbox_connect_e;

sandbox_connect_e sandbox_connect_result(int fd);

#endif
