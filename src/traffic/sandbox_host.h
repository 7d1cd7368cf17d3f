/*
 * Host names of public traffic, "{port}-{id}.{domain}", and the ports that
 * may be asked for.  Any thread; no I/O, no memory.
 */

#ifndef SANDBOX_HOST_H
#define SANDBOX_HOST_H

#include <stddef.h>

#include "sandbox_id.h"

typedef struct {
    char id[SANDBOX_ID_SIZE]; /* canonical, "sb_…" */
    unsigned port;            /* 1 to 65535 */
} sandbox_host_t;

/*
 * Reads a Host header: any letter case, one trailing dot and a ":port" of the
 * front end are accepted, the id as "sb-…" or "sb_…".  domain is compared
 * without regard to case and may end in a dot.  0, or -1 if the name cannot
 * be that of a sandbox; host is untouched then.
 */
int sandbox_host_parse(sandbox_host_t *host, const char *domain,
                       size_t domain_len, const char *text, size_t len);

/*
 * Reads a port of 1 to 65535 without leading zeros.  Returns its length, or 0
 * if text does not begin with one.
 */
size_t sandbox_host_port_parse(unsigned *port, const char *text, size_t len);

/* 0 for ports that are never reachable from outside: SSH, VNC, the agent. */
int sandbox_host_port_allowed(unsigned port);

#endif
