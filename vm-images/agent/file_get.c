/*
 * Reading files and what is known of them.  The bytes go from the file to the
 * connection by the kernel, a bounded piece a turn of the loop.
 */

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


static void
get_headers(agent_request_t *r, const char *etag, time_t modified)
{
    char date[AGENT_DATE_SIZE];

    agent_date(date, modified);
    agent_http_add_header(r, "ETag", etag);
    agent_http_add_header(r, "Last-Modified", date);
    agent_http_add_header(r, "Accept-Ranges", "bytes");
}


static void
get_unsatisfiable(agent_request_t *r, int64_t size)
{
    char range[48];

    snprintf(range, sizeof(range), "bytes */%lld", (long long) size);
    agent_http_error(r, 416, "range_not_satisfiable",
                     "The file does not have these bytes.", "Range",
                     "is not within the file");
    agent_http_add_header(r, "Content-Range", range);
}


/* Answers with what is asked for of an open file, whose fd is taken over. */
static void
get_answer(agent_request_t *r, int fd, const struct stat *st,
           const agent_conditions_t *c)
{
    char etag[AGENT_FS_ETAG_SIZE], range[80];
    int64_t first, len;
    agent_range_t part;

    agent_fs_etag(etag, st);

    switch (agent_conditions(c, etag, st->st_mtime, 1)) {
    case 304:
        close(fd);
        agent_http_empty(r, 304);
        get_headers(r, etag, st->st_mtime);
        return;

    case 412:
        close(fd);
        agent_http_error(r, 412, "conflict",
                         "The file is not the one that the request is about.",
                         NULL, NULL);
        return;

    default:
        break;
    }

    first = 0;
    len = st->st_size;
    part = AGENT_RANGE_ALL;

    if (agent_condition_range(c, etag)) {
        part = agent_range(agent_http_header(r, "Range"), st->st_size, &first,
                           &len);
    }

    if (part == AGENT_RANGE_BAD) {
        close(fd);
        get_unsatisfiable(r, st->st_size);
        return;
    }

    (void) posix_fadvise(fd, first, len, POSIX_FADV_SEQUENTIAL);
    agent_http_file(r, part == AGENT_RANGE_PART ? 206 : 200, fd, first, len);
    get_headers(r, etag, st->st_mtime);

    if (part == AGENT_RANGE_PART) {
        snprintf(range, sizeof(range), "bytes %lld-%lld/%lld",
                 (long long) first, (long long) (first + len - 1),
                 (long long) st->st_size);
        agent_http_add_header(r, "Content-Range", range);
    }
}


void
agent_file_get(agent_request_t *r)
{
    int fd, err, root;
    char path[SANDBOX_PATH_MAX];
    struct stat st;
    agent_conditions_t c;

    if (agent_file_query_path(r, path) == -1) {
        return;
    }

    root = agent_fs_root();
    fd = root == -1 ? -1 : agent_fs_open_file(root, path, &st);
    err = errno;

    if (root != -1) {
        close(root);
    }

    if (fd == -1) {
        agent_http_fault(r, err, "path");
        return;
    }

    agent_file_conditions(r, &c);
    get_answer(r, fd, &st, &c);
}


/* Answers about a link itself, not about what it leads to. */
void
agent_file_stat(agent_request_t *r)
{
    int dir, root;
    char path[SANDBOX_PATH_MAX];
    const char *name;
    struct stat st;
    agent_fs_names_t names;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    if (agent_file_query_path(r, path) == -1) {
        return;
    }

    memset(&names, 0, sizeof(names));
    root = agent_fs_root();
    dir = root == -1 ? -1 : agent_fs_parent(root, path, &name);

    if (dir == -1) {
        agent_http_fault(r, errno, "path");

    } else if (agent_fs_is_private_at(dir, name)) {
        agent_http_fault(r, ENOENT, "path");

    } else if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)
               == -1) {
        agent_http_fault(r, errno, "path");

    } else {
        agent_fs_json(&t, path, &st, dir, name, &names);
        agent_http_answer(r, 200, &t);
    }

    if (dir != -1) {
        close(dir);
    }

    if (root != -1) {
        close(root);
    }
}
