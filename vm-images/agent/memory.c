/*
 * A quarter of the guest's memory is all that output may take.  JSON may need
 * several times the bytes of one stream besides, while it is made.
 */

#include <sys/sysinfo.h>

#include "memory.h"

#define MEMORY_SHARE 4
#define MEMORY_UNKNOWN (8 * 1024 * 1024)

static size_t memory_used;


static size_t
memory_budget(void)
{
    struct sysinfo info;
    static size_t budget;

    if (budget == 0) {
        budget = MEMORY_UNKNOWN;
        if (sysinfo(&info) == 0) {
            budget = info.totalram / MEMORY_SHARE * info.mem_unit;
        }
    }

    return budget;
}


int
agent_memory_take(size_t size)
{
    if (size > agent_memory_left()) {
        return -1;
    }

    memory_used += size;

    return 0;
}


void
agent_memory_give(size_t size)
{
    memory_used -= size;
}


size_t
agent_memory_left(void)
{
    return memory_budget() - memory_used;
}
