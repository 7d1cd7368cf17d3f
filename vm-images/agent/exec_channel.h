/*
 * Commands over a WebSocket: the channels "exec" and "pty".  A stream is a
 * view of a job (job.h): when its socket has ended, a stream of another socket
 * may go on from the same offset.
 */

#ifndef AGENT_EXEC_CHANNEL_H
#define AGENT_EXEC_CHANNEL_H

#include "ws.h"

extern const agent_ws_channel_t agent_exec_channel;
extern const agent_ws_channel_t agent_pty_channel;

#endif
