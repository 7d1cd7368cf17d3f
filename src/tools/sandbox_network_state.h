/*
 * The guests that are admitted to the network of this hypervisor: a file for
 * each, and the elements in the kernel that follow from the files.  One at a
 * time, by a lock that ends with its process.
 *
 * A file is written before its elements and removed after them, so that the
 * files say what may be in the kernel; when a change of single elements fails,
 * all of them are made anew from the files, in one transaction.  Blocks; root
 * only.
 */

#ifndef SANDBOX_NETWORK_STATE_H
#define SANDBOX_NETWORK_STATE_H

#include "sandbox_network.h"

typedef struct {
    sandbox_network_t network;
    char uuid[SANDBOX_UUID_SIZE];
    int64_t seconds; /* since the epoch: when the file was written */
} network_guest_t;

/* All return 0 or -1; then a line on standard error says why. */

/* Makes the directory, and waits for the lock; network_unlock() follows. */
int network_lock(void);
void network_unlock(void);

/* With the lock, as all that follow.  *guests is malloc'd. */
int network_list(network_guest_t **guests, size_t *n);

/* Lets the guest in; who had its address before is shut out. */
int network_admit(const sandbox_network_t *network, const char *uuid);

/* Shuts the guest out; 0 as well if it is not in. */
int network_expel(const char *tap, const char *uuid);

/*
 * Another policy for a guest that is in.  When it cannot be put in force the
 * old one stays.
 */
int
network_alter(const network_guest_t *guest, const sandbox_network_t *wanted);

/* The elements of these guests, none else; bridge may be NULL. */
int network_rebuild(const char *bridge);

/* sandbox_network_flows.c: forgets all connections from and to an address. */
int network_forget_flows(uint32_t address);

#endif
