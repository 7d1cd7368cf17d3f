/* Waiting with the loop; see the header. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "check.h"
#include "loop.h"

#include <cmocka.h>


static void
idle_end(void *data)
{
    (void) data;
    agent_loop_stop();
}


void
idle(int64_t ms)
{
    static agent_timer_t timer;

    timer.handler = idle_end;
    agent_loop_timer(&timer, ms);
    assert_int_equal(agent_loop_run(), 0);
}
