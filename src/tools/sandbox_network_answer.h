/*
 * Tells the engine that a policy is in force, or why not, by metadata of the
 * domain (SANDBOX_NETWORK_APPLIED), for which the engine waits.
 *
 * Threads of this file write the metadata: in libvirt a write waits for other
 * jobs on the same domain, and a domain that hangs must not delay the answers
 * of others.
 */

#ifndef SANDBOX_NETWORK_ANSWER_H
#define SANDBOX_NETWORK_ANSWER_H

#include "sandbox_network.h"

#include <libvirt/libvirt.h>

/* Starts the threads; before the first answer.  0, or -1. */
int network_answer_init(void);

/*
 * Queues the answer that network's policy is in force, or, with error (static;
 * else NULL), why not.  conn is referenced until the answer is given.  An
 * answer that cannot be written is dropped: the engine does not wait for a
 * domain that has ended, and the watcher answers again when it has reconnected
 * to libvirtd.
 */
void network_answer(virConnectPtr conn, const char *uuid,
                    const sandbox_network_t *network, const char *error);

#endif
