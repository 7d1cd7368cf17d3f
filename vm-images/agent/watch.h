/*
 * Changes of files over a WebSocket: the channel "watch".  A stream watches one
 * path, with all below it if it is recursive.
 */

#ifndef AGENT_WATCH_H
#define AGENT_WATCH_H

#include "ws.h"

extern const agent_ws_channel_t agent_watch_channel;

#endif
