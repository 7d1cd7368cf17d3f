/* What files of checkpoints are called, however short a test's ids are. */

#include "sandbox_checkpoint_parts.h"

#include <stdio.h>
#include <string.h>


int
sandbox_checkpoint_id(char id[SANDBOX_ID_SIZE], const char *name)
{
    (void) snprintf(id, SANDBOX_ID_SIZE, "%.*s", (int) strcspn(name, "."),
                    name);
    return strncmp(name, "sb_", 3) == 0 ? -1 : 0;
}


int
sandbox_checkpoint_ends(const char *name, const char *suffix)
{
    return strlen(name) > strlen(suffix)
           && strcmp(name + strlen(name) - strlen(suffix), suffix) == 0;
}
