/*
 * Telling the engine that a policy is in force, or why not: metadata of the
 * domain (SANDBOX_NETWORK_APPLIED), for which it waits.
 *
 * Threads of its own do it: libvirt makes who writes metadata wait for whatever
 * else is done with the domain, and one that hangs must not keep others
 * waiting.
 */

#ifndef SANDBOX_NETWORK_ANSWER_H
#define SANDBOX_NETWORK_ANSWER_H

#include "sandbox_network.h"

#include <libvirt/libvirt.h>

/* Before the first answer.  0, or -1. */
int network_answer_init(void);

/*
 * What is in force is network's.  conn is referenced until the answer is given;
 * error is static, NULL if all is well.  What cannot be told is left out:
 * nobody waits for a domain that has ended, and who reconnects to libvirtd
 * answers again.
 */
void network_answer(virConnectPtr conn, const char *uuid,
                    const sandbox_network_t *network, const char *error);

#endif
