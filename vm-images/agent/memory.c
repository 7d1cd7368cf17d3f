/*
 * Output may take a quarter of the guest's memory, and JSON may need several
 * times the bytes of one stream besides, while it is made.  Input, whose
 * pieces are small, may take an eighth.
 */

#include <sys/sysinfo.h>

#include "memory.h"

#define MEMORY_UNKNOWN (8 * 1024 * 1024)

static struct {
    size_t part; /* of the memory */
    size_t budget;
    size_t used;
} memory[] = {
    [AGENT_MEMORY_OUTPUT] = { .part = 4 },
    [AGENT_MEMORY_INPUT] = { .part = 8 },
};


static size_t
memory_budget(agent_memory_share_t share)
{
    struct sysinfo info;

    if (memory[share].budget == 0) {
        memory[share].budget = MEMORY_UNKNOWN;
        if (sysinfo(&info) == 0) {
            memory[share].budget =
                info.totalram / memory[share].part * info.mem_unit;
        }
    }

    return memory[share].budget;
}


int
agent_memory_take(agent_memory_share_t share, size_t size)
{
    if (size > agent_memory_left(share)) {
        return -1;
    }

    memory[share].used += size;

    return 0;
}


void
agent_memory_give(agent_memory_share_t share, size_t size)
{
    memory[share].used -= size;
}


size_t
agent_memory_left(agent_memory_share_t share)
{
    return memory_budget(share) - memory[share].used;
}


int
agent_memory_count(agent_memory_share_t share, size_t *counted, size_t size)
{
    size = size > AGENT_MEMORY_FREE ? size - AGENT_MEMORY_FREE : 0;

    if (size > *counted && agent_memory_take(share, size - *counted) == -1) {
        return -1;
    }

    if (size < *counted) {
        agent_memory_give(share, *counted - size);
    }

    *counted = size;

    return 0;
}
