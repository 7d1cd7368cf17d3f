/* Writing a file of any size, by a worker. */

#define _GNU_SOURCE

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nettle/sha2.h>

#include "fault.h"
#include "file_params.h"
#include "file_routes.h"
#include "fs.h"
#include "worker.h"
#include "replace.h"
#include "sum.h"

#define PUT_PIECE 65536
#define PUT_AHEAD_NS 100000000

typedef struct {
    char path[SANDBOX_PATH_MAX];
    char user[AGENT_USER_SIZE];
    char sha256[AGENT_SHA256_HEX_SIZE]; /* what it must have, "" for any */
    mode_t mode;
    uid_t uid;
    gid_t gid;
    int parents;
    int has_mode;
    int has_user;
    agent_conditions_t conditions;
} put_t;


/* 0, or -1 after an answer. */
static int
put_allowed(int peer, const put_t *put, const agent_replace_t *p)
{
    return agent_file_allowed(peer, &put->conditions,
                              p->exists ? &p->old : NULL);
}


/* Moves the body to the file; 0, or -1 with errno set. */
static int
put_copy(int peer, const put_t *put, int fd, int64_t *size, char *hex)
{
    ssize_t n;
    char buf[PUT_PIECE];
    struct sha256_ctx sum;

    *size = 0;
    sha256_init(&sum);

    while ((n = agent_worker_read(peer, buf, sizeof(buf))) > 0) {
        if (agent_fs_write(fd, buf, (size_t) n) == -1) {
            return -1;
        }

        if (put->sha256[0] != '\0') {
            sha256_update(&sum, (size_t) n, (uint8_t *) buf);
        }

        *size += n;
    }

    agent_sum_hex(hex, &sum);

    return n == -1 ? -1 : 0;
}


/*
 * Makes the new file younger than the one it replaces.  The kernel's clock has
 * ticks of milliseconds, and the number of a removed inode is soon given again:
 * of three files within one tick the last could have the first one's tag.  An
 * old file whose time is ahead by more than that is another matter.
 */
static int
put_age(const agent_replace_t *p, struct stat *st)
{
    int64_t ahead;
    struct timespec times[2];
    const struct timespec *old = &p->old.st_mtim, *new = &st->st_mtim;

    if (!p->exists || old->tv_sec < new->tv_sec - 1
        || old->tv_sec > new->tv_sec + 1)
    {
        return 0;
    }

    ahead = (old->tv_sec - new->tv_sec) * 1000000000LL + old->tv_nsec
            - new->tv_nsec;
    if (ahead < 0 || ahead > PUT_AHEAD_NS) {
        return 0;
    }

    times[0].tv_nsec = UTIME_OMIT;
    times[1] = *old;
    times[1].tv_nsec++;

    if (times[1].tv_nsec == 1000000000) {
        times[1].tv_nsec = 0;
        times[1].tv_sec++;
    }

    return futimens(p->fd, times) == -1 ? -1 : fstat(p->fd, st);
}


static void
put_answer(int peer, const put_t *put, const struct stat *st, int created,
           int64_t size)
{
    char mode[8], etag[AGENT_FS_ETAG_SIZE];
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    agent_fs_mode(mode, st->st_mode);
    agent_fs_etag(etag, st);

    sandbox_text_str(&t, "{\"path\":");
    sandbox_text_json_string(&t, put->path, strlen(put->path));
    sandbox_text_fmt(&t, ",\"size\":%lld,\"mode\":\"%s\"", (long long) size,
                     mode);

    if (put->sha256[0] != '\0') {
        sandbox_text_fmt(&t, ",\"sha256\":\"%s\"", put->sha256);
    }

    sandbox_text_str(&t, "}");
    agent_worker_answer(peer, created ? 201 : 200, &t, "ETag", etag);
}


/* The new file is open: fills it and puts it in place. */
static void
put_fill(int peer, const put_t *put, agent_replace_t *p)
{
    int created, exclusive;
    int64_t size;
    char hex[AGENT_SHA256_HEX_SIZE];
    struct stat st;

    if (put_copy(peer, put, p->fd, &size, hex) == -1
        || (put->has_user && fchown(p->fd, put->uid, put->gid) == -1)
        || (put->has_mode && fchmod(p->fd, put->mode) == -1)
        || fstat(p->fd, &st) == -1)
    {
        if (errno != ECANCELED) {
            agent_worker_fault(peer, errno);
        }

        return;
    }

    if (put->sha256[0] != '\0' && strcmp(put->sha256, hex) != 0) {
        agent_worker_error(
            peer, 409, "conflict", "X-Content-SHA256",
            "is not that of the body",
            "The body has another SHA-256 than the request says.");
        return;
    }

    /* a body may take long, and others may have written the file meanwhile */
    if (agent_replace_again(p) == -1) {
        agent_worker_fault(peer, errno);
        return;
    }

    if (put_allowed(peer, put, p) == -1) {
        return;
    }

    if (put_age(p, &st) == -1) {
        agent_worker_fault(peer, errno);
        return;
    }

    created = !p->exists;
    exclusive = put->conditions.none_match != NULL
                && strcmp(put->conditions.none_match, "*") == 0;

    if (agent_replace_commit(p, exclusive) == 0) {
        put_answer(peer, put, &st, created, size);

    } else if (exclusive && errno == EEXIST) {
        agent_worker_error(peer, 412, "conflict", NULL, NULL,
                           "There is such a file meanwhile.");
    } else {
        agent_worker_fault(peer, errno);
    }
}


static void
put_run(int peer, void *data)
{
    int root;
    char dir[SANDBOX_PATH_MAX];
    put_t *put = data;
    agent_replace_t p;

    root = agent_fs_root();
    if (root == -1) {
        agent_worker_fault(peer, errno);
        return;
    }

    if (put->parents) {
        agent_fs_above(dir, put->path);

        if (agent_fs_mkdirs(root, dir, 0755) == -1) {
            agent_worker_fault(peer, errno);
            return;
        }
    }

    if (agent_replace_find(&p, root, put->path, AGENT_REPLACE_FOLLOW) == -1) {
        agent_worker_fault(peer, errno);
        return;
    }

    if (put_allowed(peer, put, &p) == 0) {
        if (agent_replace_open(&p) == -1) {
            agent_worker_fault(peer, errno);
        } else {
            put_fill(peer, put, &p);
        }
    }

    agent_replace_abort(&p);
}


void
agent_file_put(agent_request_t *r)
{
    put_t put;
    agent_field_t members[] = {
        { .name = "path",
          .kind = AGENT_FIELD_PATH,
          .value = put.path,
          .required = 1 },
        { .name = "mode", .kind = AGENT_FIELD_MODE, .value = &put.mode },
        { .name = "user", .kind = AGENT_FIELD_USER, .value = put.user },
        { .name = "parents", .kind = AGENT_FIELD_BOOL, .value = &put.parents },
    };

    memset(&put, 0, sizeof(put));

    if (agent_file_query(r, members, 4) == -1
        || agent_file_sha256(r, put.sha256) == -1
        || agent_file_user(r, put.user, &put.uid, &put.gid) == -1)
    {
        return;
    }

    put.has_mode = members[1].given;
    put.has_user = members[2].given;
    agent_file_conditions(r, &put.conditions);
    agent_worker_start(r, put_run, &put);
}
