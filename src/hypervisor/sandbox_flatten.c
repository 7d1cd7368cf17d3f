/* Which layers of a deep disk are merged; see the header. */

#include "sandbox_flatten.h"


size_t
sandbox_flatten_base(const sandbox_flatten_layer_t *layers, size_t n,
                     int64_t budget, int must)
{
    size_t i, base;
    int64_t copied, largest, others;

    base = 0;
    copied = 0;
    largest = 0;

    for (i = 2; i < n; i++) {
        copied += layers[i - 1].bytes;

        if (copied > budget) {
            break;
        }

        if (layers[i - 1].bytes > largest) {
            largest = layers[i - 1].bytes;
        }

        others = layers[0].bytes + copied - largest;

        if (layers[i].named
            && (largest <= others + SANDBOX_FLATTEN_SMALL
                || (must && base == 0)))
        {
            base = i;
        }
    }

    return base;
}
