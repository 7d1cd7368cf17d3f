/* What was read of the states of checkpoints; see the header. */

#include "sandbox_state_cache.h"
#include "sandbox_sorted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_CACHE_ROOM 64 /* entries that the list grows by */

typedef struct {
    char id[SANDBOX_ID_SIZE]; /* first: the key for sorting */
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
    char *files;
} state_cache_entry_t;

static pthread_mutex_t state_cache_lock = PTHREAD_MUTEX_INITIALIZER;

static state_cache_entry_t *state_cache;
static size_t state_cache_n, state_cache_size;


/*
 * The length in bytes of a list of names (see the header), the empty name at
 * its end included.
 */
static size_t
state_cache_length(const char *files)
{
    size_t n;

    for (n = 0; files[n]; n += strlen(files + n) + 1) { /* void */
    }

    return n + 1;
}


static char *
state_cache_copy(const char *files)
{
    char *copy;
    size_t len;

    len = state_cache_length(files);
    copy = malloc(len);

    return copy ? memcpy(copy, files, len) : NULL;
}


/* The index where the id's entry is, or would be inserted. */
static size_t
state_cache_place(const char *id)
{
    return sandbox_sorted_place(state_cache, state_cache_n,
                                sizeof(*state_cache), id);
}


static int
state_cache_is(size_t i, const char *id)
{
    return i < state_cache_n && strcmp(state_cache[i].id, id) == 0;
}


char *
sandbox_state_cache_get(const char *id, const struct stat *st)
{
    char *files;
    size_t i;
    const state_cache_entry_t *entry;

    files = NULL;
    (void) pthread_mutex_lock(&state_cache_lock);
    i = state_cache_place(id);

    if (state_cache_is(i, id)) {
        entry = &state_cache[i];

        if (entry->device == st->st_dev && entry->inode == st->st_ino
            && entry->size == st->st_size
            && entry->changed.tv_sec == st->st_ctim.tv_sec
            && entry->changed.tv_nsec == st->st_ctim.tv_nsec)
        {
            files = state_cache_copy(entry->files);
        }
    }

    (void) pthread_mutex_unlock(&state_cache_lock);
    return files;
}


/* Inserts an empty entry at i; NULL: the list is full, or no memory. */
static state_cache_entry_t *
state_cache_insert(size_t i)
{
    state_cache_entry_t *list;

    if (state_cache_n == SANDBOX_STATE_CACHE_MAX) {
        return NULL;
    }

    if (state_cache_n == state_cache_size) {
        list = realloc(state_cache,
                       (state_cache_size + STATE_CACHE_ROOM) * sizeof(*list));
        if (list == NULL) {
            return NULL;
        }

        state_cache = list;
        state_cache_size += STATE_CACHE_ROOM;
    }

    memmove(&state_cache[i + 1], &state_cache[i],
            (state_cache_n - i) * sizeof(*state_cache));
    memset(&state_cache[i], 0, sizeof(*state_cache));
    state_cache_n++;

    return &state_cache[i];
}


void
sandbox_state_cache_put(const char *id, const struct stat *st,
                        const char *files)
{
    char *copy;
    size_t i;
    state_cache_entry_t *entry;

    copy = state_cache_copy(files);
    if (copy == NULL) {
        return;
    }

    (void) pthread_mutex_lock(&state_cache_lock);

    i = state_cache_place(id);
    entry = state_cache_is(i, id) ? &state_cache[i] : state_cache_insert(i);

    if (entry) {
        free(entry->files);
        (void) snprintf(entry->id, sizeof(entry->id), "%s", id);
        entry->device = st->st_dev;
        entry->inode = st->st_ino;
        entry->size = st->st_size;
        entry->changed = st->st_ctim;
        entry->files = copy;
    }

    (void) pthread_mutex_unlock(&state_cache_lock);

    if (entry == NULL) {
        free(copy);
    }
}


void
sandbox_state_cache_trim(char **names, size_t n)
{
    char state[SANDBOX_CHECKPOINT_NAME_SIZE];
    size_t i, kept;

    kept = 0;
    (void) pthread_mutex_lock(&state_cache_lock);

    for (i = 0; i < state_cache_n; i++) {
        (void) snprintf(state, sizeof(state), "%s" SANDBOX_CHECKPOINT_SUFFIX,
                        state_cache[i].id);

        if (sandbox_disk_names_have(names, n, state)) {
            state_cache[kept++] = state_cache[i];
        } else {
            free(state_cache[i].files);
        }
    }

    state_cache_n = kept;

    if (kept == 0) {
        free(state_cache);
        state_cache = NULL;
        state_cache_size = 0;
    }

    (void) pthread_mutex_unlock(&state_cache_lock);
}
