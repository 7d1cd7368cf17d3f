/*
 * What libvirt calls as its hook of QEMU domains,
 * /etc/libvirt/hooks/qemu.d/nginx-sandbox: hands on to the hook proper what
 * concerns a sandbox's network, and is done with all else.
 *
 * libvirtd waits for it five times in the life of each domain, whoever's it
 * is, and loading the libraries of the hook proper takes longer than this
 * does.  Linked statically; it judges nothing but by a name.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sandbox_network.h"

/* No file of qemu.d: libvirt would call it as well. */
#define GATE_HOOK "/etc/libvirt/hooks/nginx-sandbox/sandbox-network-hook"

static char gate_text[SANDBOX_NETWORK_XML_MAX + 1];


/* All of standard input; its length, or -1 if there is too much. */
static ssize_t
gate_read(void)
{
    size_t len;
    ssize_t n;

    len = 0;

    while (len < sizeof(gate_text)) {
        n = read(STDIN_FILENO, gate_text + len, sizeof(gate_text) - len);

        if (n == 0) {
            return (ssize_t) len;
        }

        if (n == -1 && errno != EINTR) {
            return -1;
        }

        len += n == -1 ? 0 : (size_t) n;
    }

    return -1;
}


/* The same text is standard input again. */
static int
gate_unread(size_t len)
{
    int fd;

    fd = memfd_create("domain", 0);

    return fd != -1 && write(fd, gate_text, len) == (ssize_t) len
                   && lseek(fd, 0, SEEK_SET) == 0 && dup2(fd, STDIN_FILENO) == 0
               ? 0
               : -1;
}


int
main(int argc, char **argv)
{
    ssize_t len;

    if (argc < 3) {
        (void) fprintf(stderr, "sandbox-network: is called by libvirt\n");
        return 2;
    }

    if (strcmp(argv[2], "prepare") != 0 && strcmp(argv[2], "release") != 0) {
        return 0;
    }

    len = gate_read();

    if (len != -1
        && memmem(gate_text, (size_t) len, SANDBOX_NETWORK_NAMESPACE,
                  sizeof(SANDBOX_NETWORK_NAMESPACE) - 1)
               == NULL)
    {
        return 0;
    }

    if (len != -1 && gate_unread((size_t) len) == 0) {
        (void) execv(GATE_HOOK, argv);
    }

    (void) fprintf(stderr,
                   "sandbox-network: \"%s\" cannot be handed to %s: "
                   "%s\n",
                   argv[1], GATE_HOOK, strerror(errno));
    return 1;
}
