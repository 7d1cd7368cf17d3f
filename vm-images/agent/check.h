/* For tests: what a child process expects, and waiting with the loop. */

#ifndef AGENT_CHECK_H
#define AGENT_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "sandbox_time.h"

#define CHECK_WAIT_MS 30000

/* In a child process: a false condition ends it, and with it the test. */
#define expect(cond)                                                           \
    do {                                                                       \
        if (!(cond)) {                                                         \
            fprintf(stderr, "line %d: not %s\n", __LINE__, #cond);             \
            _exit(1);                                                          \
        }                                                                      \
    } while (0)

/* Lets the loop run until the condition holds; needs cmocka.h. */
#define wait_for(cond)                                                         \
    do {                                                                       \
        int64_t until = sandbox_time_monotonic_ms() + CHECK_WAIT_MS;           \
        while (!(cond)) {                                                      \
            assert_true(sandbox_time_monotonic_ms() < until);                  \
            idle(10);                                                          \
        }                                                                      \
    } while (0)

/* Lets the loop run on its own for a while. */
void idle(int64_t ms);

#endif
