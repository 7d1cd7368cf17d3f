/* Directories, moving and deleting. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "file_params.h"
#include "file_routes.h"
#include "fs.h"
#include "lock.h"
#include "worker.h"
#include "tree.h"

typedef struct {
    char path[SANDBOX_PATH_MAX];
    int recursive;
    agent_conditions_t conditions;
} delete_t;

typedef struct {
    char from[SANDBOX_PATH_MAX];
    char to[SANDBOX_PATH_MAX];
    int overwrite;
} move_t;


/* {"path": …} with one more member unless it is NULL. */
static void
change_text(sandbox_text_t *t, const char *path, const char *more,
            const char *value)
{
    sandbox_text_str(t, "{\"path\":");
    sandbox_text_json_string(t, path, strlen(path));

    if (more != NULL) {
        sandbox_text_fmt(t, ",\"%s\":", more);
        sandbox_text_json_string(t, value, strlen(value));
    }

    sandbox_text_str(t, "}");
}


/* The directory of a path that clients may change; -1 with errno set. */
static int
change_parent(int root, const char *path, const char **name)
{
    int dir;

    dir = agent_fs_parent(root, path, name);

    if (dir != -1 && ((*name)[0] == '\0' || agent_fs_is_private_at(dir, *name)))
    {
        close(dir);
        errno = (*name)[0] == '\0' ? EBUSY : EPERM;
        dir = -1;
    }

    return dir;
}


void
agent_file_mkdir(agent_request_t *r, const char *body, size_t len)
{
    int made, root, parents;
    char text[8], path[SANDBOX_PATH_MAX];
    mode_t mode;
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    agent_field_t members[] = {
        { .name = "path",
          .kind = AGENT_FIELD_PATH,
          .value = path,
          .required = 1 },
        { .name = "mode", .kind = AGENT_FIELD_MODE, .value = &mode },
        { .name = "parents", .kind = AGENT_FIELD_BOOL, .value = &parents },
    };

    mode = 0755;
    parents = 0;

    if (agent_file_body(r, members, 3, body, len) == -1) {
        return;
    }

    root = agent_fs_root();
    made = root == -1 ? -1 : agent_fs_mkdir(root, path, &mode, parents);

    if (made == -1) {
        agent_http_fault(r, errno, "path");
    } else {
        agent_fs_mode(text, mode);
        change_text(&t, path, "mode", text);
        agent_http_answer(r, made ? 201 : 200, &t);
    }

    if (root != -1) {
        close(root);
    }
}


/* *field is set to the member at fault. */
static int
move_at(int root, const char *from, const char *to, int overwrite,
        const char **field)
{
    int rc, err, source, target;
    const char *old, *new;

    rc = target = -1;
    *field = "from";
    source = change_parent(root, from, &old);

    if (source != -1 && faccessat(source, old, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
    {
        *field = "to";
        target = change_parent(root, to, &new);
    }

    if (target != -1 && agent_lock_both(source, target) == 0) {
        rc = renameat2(source, old, target, new,
                       overwrite ? 0 : RENAME_NOREPLACE);
        agent_unlock();
    }

    err = errno;

    if (source != -1) {
        close(source);
    }

    if (target != -1) {
        close(target);
    }

    errno = err;

    return rc;
}


static void
move_run(int peer, void *data)
{
    int root;
    move_t *move = data;
    const char *field;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    field = NULL;
    root = agent_fs_root();

    if (root == -1
        || move_at(root, move->from, move->to, move->overwrite, &field) == -1)
    {
        agent_worker_fault_at(peer, errno, field);
        return;
    }

    change_text(&t, move->to, "from", move->from);
    agent_worker_answer(peer, 200, &t, NULL, NULL);
}


void
agent_file_move(agent_request_t *r, const char *body, size_t len)
{
    move_t move;
    agent_field_t members[] = {
        { .name = "from",
          .kind = AGENT_FIELD_PATH,
          .value = move.from,
          .required = 1 },
        { .name = "to",
          .kind = AGENT_FIELD_PATH,
          .value = move.to,
          .required = 1 },
        { .name = "overwrite",
          .kind = AGENT_FIELD_BOOL,
          .value = &move.overwrite },
    };

    memset(&move, 0, sizeof(move));

    if (agent_file_body(r, members, 3, body, len) == -1) {
        return;
    }

    if (strcmp(move.from, move.to) != 0
        && sandbox_path_within(move.to, move.from)) {
        agent_http_error(r, 400, "invalid_request",
                         "A directory cannot be moved into itself.", "to",
                         "lies in what is to be moved");
        return;
    }

    agent_worker_start(r, move_run, &move);
}


/*
 * Removes what is at name under the lock of its directory; 0, or -1 after an
 * answer.  A tree takes the locks of its own directories, one by one.
 */
static int
delete_at(int peer, const delete_t *delete, int dir, const char *name)
{
    int rc;
    struct stat st;

    if (agent_lock(dir) == -1
        || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1) {
        agent_worker_fault(peer, errno);
        return -1;
    }

    if (agent_file_allowed(peer, &delete->conditions, &st) == -1) {
        return -1;
    }

    if (delete->recursive && S_ISDIR(st.st_mode)) {
        agent_unlock();
        rc = agent_tree_remove(dir, name);
    } else {
        rc = unlinkat(dir, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
        agent_unlock();
    }

    if (rc == -1) {
        agent_worker_fault(peer, errno);
    }

    return rc;
}


static void
delete_run(int peer, void *data)
{
    int dir, root;
    const char *name;
    delete_t *delete = data;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    root = agent_fs_root();
    dir = root == -1 ? -1 : change_parent(root, delete->path, &name);

    if (dir == -1) {
        agent_worker_fault(peer, errno);
        return;
    }

    if (delete_at(peer, delete, dir, name) == 0) {
        change_text(&t, delete->path, NULL, NULL);
        agent_worker_answer(peer, 200, &t, NULL, NULL);
    }
}


void
agent_file_delete(agent_request_t *r)
{
    delete_t delete;
    agent_field_t members[] = {
        { .name = "path",
          .kind = AGENT_FIELD_PATH,
          .value = delete.path,
          .required = 1 },
        { .name = "recursive",
          .kind = AGENT_FIELD_BOOL,
          .value = &delete.recursive },
    };

    memset(&delete, 0, sizeof(delete));

    if (agent_file_query(r, members, 2) == 0) {
        agent_file_conditions(r, &delete.conditions);
        agent_worker_start(r, delete_run, &delete);
    }
}
