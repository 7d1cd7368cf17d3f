/*
 * Binary search in sorted arrays whose entries begin with a name, that is with
 * an array of char.  Pure; any thread.
 */

#ifndef SANDBOX_SORTED_H
#define SANDBOX_SORTED_H

#include <stddef.h>

/*
 * The index of the first of n entries, of size bytes each, whose name is not
 * less than `name` by strcmp(), the order of the list; n if there is none.
 * An entry of this name is to be inserted there, too.
 */
size_t
sandbox_sorted_place(const void *list, size_t n, size_t size, const char *name);

#endif
