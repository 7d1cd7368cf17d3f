/*
 * The query of GET /v1/sandboxes and GET /v1/snapshots: from its text to
 * checked filters, and the tokens that lead from page to page.  Pure C: no
 * nginx, no I/O, any thread.
 *
 * A token is a position in the order of the list (newest first): creation
 * time and id of the last item of a page, whether or not that item still
 * exists, with a digest that ties them to a tenant and a kind of list.  The
 * token is no secret: it names nothing but a place in its own tenant's list.
 */

#ifndef SANDBOX_LIST_QUERY_H
#define SANDBOX_LIST_QUERY_H

#include "sandbox_id.h"
#include "sandbox_metadata_filter.h"
#include "sandbox_query.h"

#define SANDBOX_LIST_LIMIT_MAX 100

typedef enum { SANDBOX_LIST_SANDBOXES, SANDBOX_LIST_SNAPSHOTS } sandbox_list_t;

/* "nt_", 16 digits of time, the body of an id, 16 digits of digest, NUL */
#define SANDBOX_LIST_TOKEN_SIZE (3 + 16 + SANDBOX_ID_BODY_LEN + 16 + 1)

enum {
    SANDBOX_LIST_CREATING = 1,
    SANDBOX_LIST_RUNNING = 2,
    SANDBOX_LIST_PAUSED = 4,
    SANDBOX_LIST_ERROR = 8,
    SANDBOX_LIST_DESTROYED = 16,

    SANDBOX_LIST_LIVE = 15
};

typedef struct {
    int64_t created_at;       /* ms since the epoch */
    char id[SANDBOX_ID_SIZE]; /* "": before the newest */
} sandbox_list_position_t;

typedef struct {
    sandbox_list_t kind;
    unsigned asked : 1; /* for a page, not for the bare array */
    uint32_t states;    /* bits of the enum above; of sandboxes */
    uint32_t fields;    /* set of the numbers find gave */
    size_t limit;
    sandbox_list_position_t after;
    char *template;                      /* NULL: any */
    char sandbox_id[SANDBOX_ID_SIZE];    /* of snapshots; "": any */
    sandbox_metadata_filter_t *metadata; /* NULL: any */
} sandbox_list_query_t;

/*
 * Reads the query string (behind "?") of a request of tenant; find gives the
 * number of a member of a sandbox object (snapshots are always whole).  Any
 * query asks for a page of sandboxes, limit or next_token ask for one of
 * snapshots.  On OK the caller frees q with sandbox_list_query_free();
 * otherwise q is empty and err is set.
 */
sandbox_query_status_t
sandbox_list_query_parse(sandbox_list_query_t *q, sandbox_list_t kind,
                         const char *text, size_t len, const char *tenant,
                         sandbox_query_find_pt find,
                         sandbox_query_error_t *err);
void sandbox_list_query_free(sandbox_list_query_t *q);

/* 0, or -1 if OpenSSL fails. */
int sandbox_list_token_make(char token[SANDBOX_LIST_TOKEN_SIZE],
                            sandbox_list_t kind,
                            const sandbox_list_position_t *position,
                            const char *tenant);

/* 0, or -1 if token is not one of tenant's list of that kind. */
int
sandbox_list_token_read(sandbox_list_position_t *position, sandbox_list_t kind,
                        const char *token, const char *tenant);

#endif
