/*
 * Which layers of a deep disk are merged into the overlay: pure, no libvirt.
 */

#ifndef SANDBOX_FLATTEN_H
#define SANDBOX_FLATTEN_H

#include <stddef.h>
#include <stdint.h>

/* So much is merged however little there is beside it. */
#ifndef SANDBOX_FLATTEN_SMALL
#define SANDBOX_FLATTEN_SMALL 67108864
#endif

typedef struct {
    int64_t bytes; /* blocks taken */
    int named;     /* 1: it may be the base */
} sandbox_flatten_layer_t;

/*
 * The index of the layer that the overlay, layers[0], is to stand on, all in
 * between merged into it; 0: none is worth it.  layers[n - 1] is the template's
 * disk.
 *
 * It is the lowest one above which no layer is larger than all others together,
 * of those whose merging fits the budget: so whatever is copied becomes part of
 * a layer of about twice its size, or of a small one, and is not copied often;
 * what is left gets larger with each layer down, so that there are few.
 *
 * must: where there is none it is the nearest, if that fits the budget.
 */
size_t sandbox_flatten_base(const sandbox_flatten_layer_t *layers, size_t n,
                            int64_t budget, int must);

#endif
