/*
 * Changes of files over a WebSocket: the channel "watch".  A stream is one
 * path, with what is in it if that is asked for.
 */

#ifndef AGENT_WATCH_H
#define AGENT_WATCH_H

#include "ws.h"

extern const agent_ws_channel_t agent_watch_channel;

#endif
