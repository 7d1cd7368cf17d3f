/*
 * What became of a TCP connection attempt, also after somebody else has read
 * and thereby cleared SO_ERROR, and whether the other end of a connection is
 * still there.  Any thread; no nginx.
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
 * Has the kernel ask the other end, whenever a connection is idle, if it is
 * still there.  It gives up only after many minutes: whoever asks for the
 * silence has a shorter patience, and reasons for it.
 */
void sandbox_connect_watch(int fd);

/*
 * For how many ms the other end has acknowledged nothing, if something waits
 * for that: data, or a question as above; else 0.  It is the kernel of a guest
 * that answers, whatever its programs do; also one whose window is full.
 */
unsigned sandbox_connect_silence(int fd);

#endif
