/* Binary search by name; see the header. */

#include "sandbox_sorted.h"

#include <string.h>


size_t
sandbox_sorted_place(const void *list, size_t n, size_t size, const char *name)
{
    size_t low, high, middle;

    low = 0;
    high = n;

    while (low < high) {
        middle = low + (high - low) / 2;

        if (strcmp((const char *) list + middle * size, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }

    return low;
}
