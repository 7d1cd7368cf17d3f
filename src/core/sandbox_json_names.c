/* Sorted names of members; see the header. */

#include "sandbox_json_names.h"

#include <stdlib.h>
#include <string.h>


/* Sorting, for a hash could be attacked. */
int
sandbox_json_names_order(const void *a, const void *b)
{
    int rc;
    const sandbox_json_name_t *x = a, *y = b;

    rc = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);

    return rc ? rc : (x->len > y->len) - (x->len < y->len);
}


int
sandbox_json_names(sandbox_json_names_t *names, const sandbox_json_t *doc,
                   const sandbox_json_node_t *object)
{
    sandbox_json_name_t *name;
    const sandbox_json_node_t *child;

    names->n = 0;
    names->names = object->count <= SANDBOX_JSON_NAMES_FEW
                       ? names->few
                       : malloc(object->count * sizeof(*names->names));

    if (names->names == NULL) {
        return -1;
    }

    for (child = sandbox_json_child(doc, object); child;
         child = sandbox_json_next(doc, child))
    {
        name = &names->names[names->n++];
        name->node = child;
        name->copy = NULL;
        name->text = sandbox_json_plain_key(doc, child, &name->len);

        if (name->text == NULL) {
            name->copy = sandbox_json_key(doc, child, &name->len);
            name->text = name->copy;
        }

        if (name->text == NULL) {
            sandbox_json_names_free(names);
            return -1;
        }
    }

    qsort(names->names, names->n, sizeof(*names->names),
          sandbox_json_names_order);

    return 0;
}


void
sandbox_json_names_free(sandbox_json_names_t *names)
{
    size_t i;

    for (i = 0; i < names->n; i++) {
        free(names->names[i].copy);
    }

    if (names->names != names->few) {
        free(names->names);
    }
}
