/*
 * An emulator that weighs nothing, for tests with hundreds of domains: as much
 * of QEMU's monitor as libvirt needs to believe in one that runs, until
 * SIGTERM ends it.  It emulates no machine.  What libvirt asks of an emulator
 * before it starts domains is answered by the real one.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REAL "/usr/bin/qemu-system-x86_64"
#define MONITOR "id=charmonitor,fd="


/* The socket that libvirt connects its monitor to, or -1. */
static int
monitor_fd(char **argv)
{
    char *p;

    while (*++argv) {
        p = strstr(*argv, MONITOR);
        if (p) {
            return atoi(p + sizeof(MONITOR) - 1);
        }
    }

    return -1;
}


static int
command_is(const char *line, const char *name)
{
    char text[64];

    (void) snprintf(text, sizeof(text), "\"execute\":\"%s", name);

    return strstr(line, text) != NULL;
}


/* What is asked has no parts, so most lists are empty. */
static void
answer(FILE *out, const char *line)
{
    char id[64] = "", *p;

    p = strstr(line, "\"id\":\"");
    if (p) {
        (void) sscanf(p, "\"id\":\"%63[^\"]", id);
    }

    (void) fprintf(out, "{\"return\":");

    if (command_is(line, "query-status")) {
        (void) fprintf(out, "{\"status\":\"running\",\"running\":true,"
                            "\"singlestep\":false}");

    } else if (command_is(line, "query-cpus-fast")) {
        (void) fprintf(out,
                       "[{\"thread-id\":%d,\"cpu-index\":0,"
                       "\"props\":{\"core-id\":0,\"thread-id\":0,"
                       "\"socket-id\":0},\"qom-path\":\"/machine/cpu\","
                       "\"target\":\"x86_64\"}]",
                       (int) getpid());

    } else if (command_is(line, "query-") || command_is(line, "qom-")) {
        (void) fprintf(out, "[]");

    } else {
        (void) fprintf(out, "{}");
    }

    (void) fprintf(out, ",\"id\":\"%s\"}\r\n", id);

    if (command_is(line, "cont")) {
        (void) fprintf(out, "{\"timestamp\":{\"seconds\":1,"
                            "\"microseconds\":0},\"event\":\"RESUME\"}\r\n");
    }

    (void) fflush(out);
}


int
main(int argc, char **argv)
{
    int fd;
    char *line = NULL;
    FILE *in, *out;
    size_t size = 0;

    (void) argc;
    fd = monitor_fd(argv);

    if (fd == -1) {
        argv[0] = (char *) REAL;
        (void) execv(REAL, argv);
        return 1;
    }

    fd = accept(fd, NULL, NULL);
    in = fdopen(fd, "r");
    out = fdopen(dup(fd), "w");

    if (in == NULL || out == NULL) {
        return 1;
    }

    (void) fprintf(out, "{\"QMP\":{\"version\":{\"qemu\":{\"major\":7,"
                        "\"minor\":2,\"micro\":0},\"package\":\"\"},"
                        "\"capabilities\":[]}}\r\n");
    (void) fflush(out);

    while (getline(&line, &size, in) > 0) {
        answer(out, line);
    }

    return 0;
}
