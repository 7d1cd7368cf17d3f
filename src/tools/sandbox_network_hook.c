/*
 * libvirt's hook of QEMU domains, called through sandbox_network_gate.c: lets a
 * sandbox's guest into the network before it runs, and shuts it out when it has
 * ended.  What is not zero here forbids the start.  libvirtd waits for it.
 */

#include "sandbox_network_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A lock that is never let go must not hold libvirtd for ever. */
#define HOOK_SECONDS 20


/* All of standard input, malloc'd; NULL if there is too much. */
static char *
hook_input(size_t *len)
{
    char *text;
    ssize_t n;

    *len = 0;

    text = malloc(SANDBOX_NETWORK_XML_MAX + 1);
    if (text == NULL) {
        return NULL;
    }

    while (*len <= SANDBOX_NETWORK_XML_MAX) {
        n = read(STDIN_FILENO, text + *len, SANDBOX_NETWORK_XML_MAX + 1 - *len);

        if (n == 0) {
            return text;
        }

        if (n == -1 && errno != EINTR) {
            break;
        }

        *len += n == -1 ? 0 : (size_t) n;
    }

    free(text);
    return NULL;
}


static int
hook_apply(const char *operation, const sandbox_network_t *network,
           const char *uuid)
{
    int rc;

    if (network_lock() != 0) {
        return -1;
    }

    rc = strcmp(operation, "prepare") == 0 ? network_admit(network, uuid)
                                           : network_expel(network->tap, uuid);
    network_unlock();

    return rc;
}


/* hook DOMAIN OPERATION SUB-OPERATION EXTRA, and the domain's XML. */
int
main(int argc, char **argv)
{
    int rc;
    char *text, uuid[SANDBOX_UUID_SIZE];
    size_t len;
    sandbox_network_t network;

    if (argc < 3) {
        (void) fprintf(stderr, "sandbox-network: is called by libvirt\n");
        return 2;
    }

    if (strcmp(argv[2], "prepare") != 0 && strcmp(argv[2], "release") != 0) {
        return 0;
    }

    (void) alarm(HOOK_SECONDS);

    text = hook_input(&len);
    if (text == NULL) {
        (void) fprintf(stderr,
                       "sandbox-network: the XML of \"%s\" cannot be "
                       "read\n",
                       argv[1]);
        return 1;
    }

    rc = sandbox_network_read(&network, uuid, text, len);
    free(text);

    if (rc == -1) {
        (void) fprintf(stderr, "sandbox-network: \"%s\" has bad metadata\n",
                       argv[1]);
        return 1;
    }

    return rc == 1 && hook_apply(argv[2], &network, uuid) != 0 ? 1 : 0;
}
