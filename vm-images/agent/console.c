/*
 * Console lines and the end of the machine.  Knows nothing of the rest.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "console.h"

#define LINE_SIZE 512


static void
console_write(const char *fmt, va_list args)
{
    char line[LINE_SIZE];
    int n;
    ssize_t done;

    n = snprintf(line, sizeof(line), "sandbox-agent: ");
    n += vsnprintf(line + n, sizeof(line) - n - 1, fmt, args);
    if (n > (int) sizeof(line) - 2) {
        n = sizeof(line) - 2;
    }

    line[n++] = '\n';

    /* A console that takes nothing must not stop the machine's work. */
    done = write(STDERR_FILENO, line, n);
    (void) done;
}


void
agent_log(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    console_write(fmt, args);
    va_end(args);
}


void
agent_die(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    console_write(fmt, args);
    va_end(args);

    agent_power_off();
}


void
agent_power_off(void)
{
    /* Only ever the machine this process is the first one of. */
    if (getpid() == 1) {
        sync();
        reboot(RB_POWER_OFF);
    }

    _exit(EXIT_FAILURE);
}
