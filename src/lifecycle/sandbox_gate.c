/* Who may enter a thread pool; see the header. */

#include "sandbox_gate.h"

#include <string.h>


static size_t
sandbox_gate_count(const sandbox_gate_entry_t *list, const char *tenant)
{
    size_t n;

    for (n = 0; list; list = list->next) {
        n += strcmp(list->tenant, tenant) == 0;
    }

    return n;
}


static int
sandbox_gate_has_place(const sandbox_gate_t *gate, const char *tenant)
{
    return sandbox_gate_count(gate->inside, tenant) < gate->share;
}


static void
sandbox_gate_remove(sandbox_gate_entry_t **list, sandbox_gate_entry_t *entry)
{
    while (*list != entry) {
        list = &(*list)->next;
    }

    *list = entry->next;
}


sandbox_gate_answer_t
sandbox_gate_ask(const sandbox_gate_t *gate, const char *tenant)
{
    size_t waiting;

    waiting = sandbox_gate_count(gate->waiting, tenant);

    if (waiting == 0 && sandbox_gate_has_place(gate, tenant)) {
        return SANDBOX_GATE_OPEN;
    }

    return waiting < gate->room ? SANDBOX_GATE_WAIT : SANDBOX_GATE_FULL;
}


void
sandbox_gate_enter(sandbox_gate_t *gate, sandbox_gate_entry_t *entry)
{
    entry->next = gate->inside;
    gate->inside = entry;
}


void
sandbox_gate_wait(sandbox_gate_t *gate, sandbox_gate_entry_t *entry)
{
    sandbox_gate_entry_t **last;

    for (last = &gate->waiting; *last; last = &(*last)->next) { /* void */
    }

    entry->next = NULL;
    *last = entry;
}


sandbox_gate_entry_t *
sandbox_gate_next(const sandbox_gate_t *gate)
{
    sandbox_gate_entry_t *entry;

    for (entry = gate->waiting; entry; entry = entry->next) {
        if (sandbox_gate_has_place(gate, entry->tenant)) {
            return entry;
        }
    }

    return NULL;
}


void
sandbox_gate_pass(sandbox_gate_t *gate, sandbox_gate_entry_t *entry)
{
    sandbox_gate_remove(&gate->waiting, entry);
    sandbox_gate_enter(gate, entry);
}


void
sandbox_gate_leave(sandbox_gate_t *gate, sandbox_gate_entry_t *entry)
{
    sandbox_gate_remove(&gate->inside, entry);
}
