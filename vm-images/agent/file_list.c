/* Listing directories, by a worker. */

#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "file_params.h"
#include "file_routes.h"
#include "fs.h"
#include "worker.h"
#include "walk.h"

#define LIST_LIMIT 1000
#define LIST_PIECE 16384 /* of text that is kept before it is sent */

typedef struct {
    char path[SANDBOX_PATH_MAX];
    int recursive;
    unsigned limit;
    agent_fs_names_t names;
} list_t;


/* Sends what there is of t; 0, or -1 if the client or memory has gone. */
static int
list_send(int peer, sandbox_text_t *t)
{
    int rc;

    rc =
        sandbox_text_failed(t) ? -1 : agent_worker_write(peer, t->data, t->len);
    sandbox_text_free(t);

    return rc;
}


static int
list_item(int peer, list_t *list, agent_walk_t *w, int first, sandbox_text_t *t)
{
    char path[2 * SANDBOX_PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", list->path[1] ? list->path : "",
             w->path);
    sandbox_text_str(t, first ? "" : ",");
    agent_fs_json(t, path, &w->st, w->dir, w->name, &list->names);

    return t->len < LIST_PIECE ? 0 : list_send(peer, t);
}


/* Sends the items; the answer has begun, so after an error it is cut off. */
static void
list_items(int peer, list_t *list, agent_walk_t *w)
{
    int rc;
    unsigned n;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    sandbox_text_str(&t, "{\"items\":[");

    for (n = 0; (rc = agent_walk_next(w)) == 1; n++) {
        if (n == list->limit) {
            w->cut = 1;
            break;
        }

        if (list_item(peer, list, w, n == 0, &t) == -1) {
            return;
        }
    }

    if (rc == -1) {
        sandbox_text_free(&t);
        return;
    }

    sandbox_text_fmt(&t, "],\"truncated\":%s}", w->cut ? "true" : "false");

    if (list_send(peer, &t) == 0) {
        agent_worker_end(peer);
    }
}


static void
list_run(int peer, void *data)
{
    int fd, root;
    list_t *list = data;
    static agent_walk_t w;

    root = agent_fs_root();
    fd = root == -1 ? -1 : agent_fs_open_dir(root, list->path);

    if (fd == -1) {
        agent_worker_fault(peer, errno);

    } else if (agent_walk_begin(&w, fd, list->recursive, list->limit) == -1) {
        agent_worker_fault(peer, errno);

    } else if (agent_worker_begin(peer, 200, -1, "application/json") == 0) {
        list_items(peer, list, &w);
    }
}


void
agent_file_list(agent_request_t *r)
{
    list_t list;
    agent_field_t members[] = {
        { .name = "path",
          .kind = AGENT_FIELD_PATH,
          .value = list.path,
          .required = 1 },
        { .name = "recursive",
          .kind = AGENT_FIELD_BOOL,
          .value = &list.recursive },
        { .name = "limit", .kind = AGENT_FIELD_LIMIT, .value = &list.limit },
    };

    memset(&list, 0, sizeof(list));
    list.limit = LIST_LIMIT;

    if (agent_file_query(r, members, 3) == 0) {
        agent_worker_start(r, list_run, &list);
    }
}
