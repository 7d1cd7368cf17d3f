/*
 * Which layers of a deep disk are merged into the overlay: pure, no libvirt.
 */

#ifndef SANDBOX_FLATTEN_H
#define SANDBOX_FLATTEN_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of a layer that is merged however small the others are. */
#ifndef SANDBOX_FLATTEN_SMALL
#define SANDBOX_FLATTEN_SMALL 67108864
#endif

typedef struct {
    int64_t bytes; /* blocks taken */
    int named;     /* 1: it may be the base */
} sandbox_flatten_layer_t;

/*
 * The base: the index of the layer that the overlay, layers[0], is to stand on
 * when the layers in between are merged into it; 0: no merge is worth it.
 * layers[n - 1] is the template's disk.
 *
 * The base is the lowest layer whose merge fits the budget (bytes to copy) and
 * above which no layer is larger than all others together.  So copied data
 * becomes part of a layer of about twice its size, or of a small one, and is
 * not copied often; the remaining layers get larger downwards, so they are few.
 *
 * must: if there is no such layer, the nearest one whose merge fits the budget.
 */
size_t sandbox_flatten_base(const sandbox_flatten_layer_t *layers, size_t n,
                            int64_t budget, int must);

#endif
