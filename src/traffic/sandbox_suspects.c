/* Which sandbox is reported, and when; see the header. */

#include "sandbox_suspects.h"

#include <stdio.h>
#include <string.h>


int
sandbox_suspects_new(sandbox_suspects_t *s, const char *id, int64_t now_ms)
{
    size_t i;
    sandbox_suspect_t *e, *room;

    room = NULL;

    for (i = 0; i < SANDBOX_SUSPECTS_MAX; i++) {
        e = &s->entries[i];

        if (e->until_ms <= now_ms) {
            room = e;

        } else if (strcmp(e->id, id) == 0) {
            return 0;
        }
    }

    if (room == NULL) {
        return 0;
    }

    (void) snprintf(room->id, sizeof(room->id), "%s", id);
    room->until_ms = now_ms + SANDBOX_SUSPECTS_INTERVAL_MS;

    return 1;
}
