/*
 * Finding and serving the virtio-serial port.  Owns its descriptor and a
 * bounded output buffer; must not know what is said.
 *
 * The port is watched edge-triggered: as long as no host is connected, a
 * level-triggered watch would report a hang-up without end.
 */

#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "console.h"
#include "loop.h"
#include "port.h"
#include "sandbox_agent.h"

#define PORTS_DIR "/sys/class/virtio-ports"
#define PORT_WAIT_MS 30000
#define PORT_STEP_MS 5
#define PORT_OUTPUT_SIZE 16384

static struct {
    agent_watch_t watch;
    void (*input)(void *data, const char *buf, size_t len);
    void *data;
    char output[PORT_OUTPUT_SIZE];
    size_t len;
} port;


static int
port_named(const char *dir, const char *name)
{
    FILE *f;
    char path[320], line[64];

    snprintf(path, sizeof(path), PORTS_DIR "/%s/name", dir);

    f = fopen(path, "re");
    if (f == NULL) {
        return 0;
    }

    if (fgets(line, sizeof(line), f) == NULL) {
        line[0] = '\0';
    }

    fclose(f);
    line[strcspn(line, "\n")] = '\0';

    return strcmp(line, name) == 0;
}


static int
port_find(void)
{
    int fd;
    DIR *dir;
    char path[320];
    struct dirent *entry;

    dir = opendir(PORTS_DIR);
    if (dir == NULL) {
        return -1;
    }

    fd = -1;

    while (fd == -1 && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.'
            && port_named(entry->d_name, SANDBOX_AGENT_CHANNEL)) {
            snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
            fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        }
    }

    closedir(dir);

    return fd;
}


static void
port_flush(void)
{
    ssize_t n;

    while (port.len > 0) {
        n = write(port.watch.fd, port.output, port.len);
        if (n <= 0) {
            if (n == -1 && errno == EINTR) {
                continue;
            }

            return; /* an event says when to go on */
        }

        port.len -= n;
        memmove(port.output, port.output + n, port.len);
    }
}


static void
port_event(void *data, uint32_t events)
{
    ssize_t n;
    char buf[4096];

    (void) data;
    (void) events;

    for (;;) {
        n = read(port.watch.fd, buf, sizeof(buf));
        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            break; /* nothing there, or no host: both end with an event */
        }

        port.input(port.data, buf, n);
    }

    port_flush();
}


int
agent_port_open(void (*input)(void *data, const char *buf, size_t len),
                void *data)
{
    int fd, waited;
    struct timespec step = { 0, PORT_STEP_MS * 1000000L };

    for (waited = 0; (fd = port_find()) == -1; waited += PORT_STEP_MS) {
        if (waited >= PORT_WAIT_MS) {
            agent_log("the port %s did not appear", SANDBOX_AGENT_CHANNEL);
            return -1;
        }

        nanosleep(&step, NULL);
    }

    port.input = input;
    port.data = data;
    port.watch.handler = port_event;

    if (agent_loop_watch(&port.watch, fd, EPOLLIN | EPOLLOUT | EPOLLET) == -1) {
        agent_log("the port %s could not be watched: %s", SANDBOX_AGENT_CHANNEL,
                  strerror(errno));
        close(fd);
        return -1;
    }

    return 0;
}


void
agent_port_write(const char *buf, size_t len)
{
    if (len > PORT_OUTPUT_SIZE) {
        return;
    }

    /* A host that reads again starts with a new nonce: the old is of no use. */
    if (len > PORT_OUTPUT_SIZE - port.len) {
        port.len = 0;
    }

    memcpy(port.output + port.len, buf, len);
    port.len += len;
    port_flush();
}
