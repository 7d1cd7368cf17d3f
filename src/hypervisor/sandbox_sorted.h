/*
 * Places in sorted lists whose entries begin with a name: pure, any thread.
 */

#ifndef SANDBOX_SORTED_H
#define SANDBOX_SORTED_H

#include <stddef.h>

/*
 * The index of the first of n entries, of size bytes each, whose name is not
 * less than `name` by strcmp(); n if there is none.
 */
size_t
sandbox_sorted_place(const void *list, size_t n, size_t size, const char *name);

#endif
