/*
 * Completing an upload: its parts are joined beside the target, the sum is
 * checked, and the file is put in place at once.
 *
 * The answer is kept in "result", behind digests of the key and of the request
 * that it answered.  If the guest ends after the file is in place and before
 * "result" is written, a repeated request does all of it again, with the same
 * outcome.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "file_params.h"
#include "fs.h"
#include "http_head.h"
#include "worker.h"
#include "replace.h"
#include "sum.h"
#include "upload_parts.h"
#include "upload_routes.h"
#include "user.h"

#define JOIN_PIECE 65536
#define JOIN_DIGESTS (2 * (AGENT_SHA256_HEX_SIZE - 1))

typedef struct {
    char id[AGENT_SEGMENT_SIZE];
    char sha256[AGENT_SHA256_HEX_SIZE]; /* required of the file, or "" */
    char digests[JOIN_DIGESTS + 1];     /* of key and request */
    agent_parts_t parts;                /* that the request names; none: all */
} join_t;


static int
join_conflict(int peer, const char *field, const char *reason,
              const char *message)
{
    agent_worker_error(peer, 409, "conflict", field, reason, "%s", message);

    return -1;
}


/* 1 if the kept answer is about a file of another sum than join asks for. */
static int
join_is_other(const join_t *join, const char *answer)
{
    char member[AGENT_SHA256_HEX_SIZE + 16];

    (void) snprintf(member, sizeof(member), "\"sha256\":\"%s\"", join->sha256);

    return join->sha256[0] != '\0' && strstr(answer, member) == NULL;
}


/* Answers for a completed upload: as before, unless the request is another. */
static void
join_replay(int peer, const join_t *join, const agent_upload_t *u)
{
    char *text;
    size_t half;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    half = AGENT_SHA256_HEX_SIZE - 1;
    text = agent_upload_text(u->dir, "result");

    if (text == NULL || strlen(text) < JOIN_DIGESTS) {
        agent_worker_fault(peer, EIO);

    } else if (memcmp(text, join->digests, half) == 0
               && memcmp(text + half, join->digests + half, half) != 0)
    {
        agent_worker_error(
            peer, 422, "idempotency_key_reused", NULL, NULL,
            "This Idempotency-Key was used with another request.");

    } else if (join_is_other(join, text + JOIN_DIGESTS)) {
        (void) join_conflict(peer, "sha256", "is not that of the file",
                             "The upload was completed with another sum.");

    } else {
        sandbox_text_str(&t, text + JOIN_DIGESTS);
        agent_worker_answer(peer, 200, &t, "Idempotent-Replayed", "true");
    }

    free(text);
}


/*
 * Reduces parts to those that are to be joined, and sets *size to the sum of
 * their sizes.  Their number, or -1 after an answer.
 */
static int
join_select(int peer, const join_t *join, agent_upload_part_t *parts, int n,
            int64_t *size)
{
    int i, k;
    unsigned number;
    char message[96];

    *size = 0;

    for (i = k = 0; k < (join->parts.n ? (int) join->parts.n : n); k++) {
        number = join->parts.n ? join->parts.list[k].number : (unsigned) k + 1;

        while (i < n && parts[i].number < number) {
            i++;
        }

        if (i == n || parts[i].number != number) {
            snprintf(message, sizeof(message), "The part %u is missing.",
                     number);
            return join_conflict(peer, "parts", "are not all there", message);
        }

        if (join->parts.n && join->parts.list[k].sha256[0] != '\0'
            && strcmp(join->parts.list[k].sha256, parts[i].sha256) != 0)
        {
            snprintf(message, sizeof(message),
                     "The part %u has another SHA-256.", number);
            return join_conflict(peer, "parts", "are not all as they are named",
                                 message);
        }

        parts[k] = parts[i];
        *size += parts[k].size;
    }

    if (k == 0) {
        return join_conflict(peer, "parts", "are not all there",
                             "The upload has no part.");
    }

    return k;
}


/* Appends a part to fd and to sum; 0, or -1 with errno set. */
static int
join_part(const agent_upload_t *u, const agent_upload_part_t *part, int fd,
          struct sha256_ctx *sum)
{
    int from;
    char name[16];
    int64_t left;
    ssize_t n;
    static char piece[JOIN_PIECE];

    snprintf(name, sizeof(name), "%05u", part->number);

    from = openat(u->parts, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (from == -1) {
        return -1;
    }

    for (left = part->size; left > 0; left -= n) {
        n = read(from, piece,
                 left < JOIN_PIECE ? (size_t) left : sizeof(piece));

        if (n <= 0 || agent_fs_write(fd, piece, (size_t) n) == -1) {
            errno = n == 0 ? EIO : errno;
            close(from);
            return -1;
        }

        sha256_update(sum, (size_t) n, (uint8_t *) piece);
    }

    close(from);

    return 0;
}


static int
join_dress(const agent_upload_t *u, const agent_replace_t *p)
{
    agent_user_t user;

    if (u->request.user[0] != '\0') {
        if (agent_user_find(&user, u->request.user) == -1
            || fchown(p->fd, user.uid, user.gid) == -1)
        {
            return -1;
        }
    }

    return u->request.has_mode ? fchmod(p->fd, u->request.mode) : 0;
}


/* 1 if a sum is asked for and is another than hex. */
static int
join_differs(const char *asked, const char *hex)
{
    return asked[0] != '\0' && strcmp(asked, hex) != 0;
}


/* Writes the joined file and puts it in place; 0, or -1 after an answer. */
static int
join_publish(int peer, const join_t *join, const agent_upload_t *u,
             agent_replace_t *p, const agent_upload_part_t *parts, int n,
             char hex[AGENT_SHA256_HEX_SIZE])
{
    int i;
    struct sha256_ctx sum;

    if (agent_replace_open(p) == -1) {
        agent_worker_fault(peer, errno);
        return -1;
    }

    sha256_init(&sum);

    for (i = 0; i < n; i++) {
        if (join_part(u, &parts[i], p->fd, &sum) == -1) {
            agent_worker_fault(peer, errno);
            return -1;
        }
    }

    agent_sum_hex(hex, &sum);

    if (join_differs(join->sha256, hex) || join_differs(u->request.sha256, hex))
    {
        return join_conflict(peer, "sha256", "is not that of the parts",
                             "The parts joined have another SHA-256.");
    }

    if (join_dress(u, p) == -1 || agent_replace_commit(p, 0) == -1) {
        agent_worker_fault(peer, errno);
        return -1;
    }

    return 0;
}


/* Keeps the answer, removes the parts, and answers. */
static void
join_finish(int peer, const join_t *join, const agent_upload_t *u, int64_t size,
            const char *hex)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT, result = SANDBOX_TEXT_INIT;

    sandbox_text_str(&t, "{\"path\":");
    sandbox_text_json_string(&t, u->request.path, strlen(u->request.path));
    sandbox_text_fmt(&t, ",\"size\":%lld,\"sha256\":\"%s\"}", (long long) size,
                     hex);
    sandbox_text_str(&result, join->digests);
    sandbox_text_add(&result, t.data, t.len);

    if (sandbox_text_failed(&t) || sandbox_text_failed(&result)) {
        agent_worker_fault(peer, ENOMEM);

    } else if (agent_upload_write(u->dir, "result", result.data, result.len)
               == -1) {
        agent_worker_fault(peer, errno);

    } else {
        agent_upload_empty(u);
        agent_worker_answer(peer, 200, &t, NULL, NULL);
    }
}


static void
join_all(int peer, const join_t *join, const agent_upload_t *u,
         agent_upload_part_t *parts, int n)
{
    int root;
    char hex[AGENT_SHA256_HEX_SIZE];
    int64_t size;
    agent_replace_t p;

    n = join_select(peer, join, parts, n, &size);
    if (n == -1) {
        return;
    }

    if (u->request.has_size && u->request.size != size) {
        join_conflict(peer, "size", "is not that of the parts",
                      "The parts joined have another size.");
        return;
    }

    root = agent_fs_root();

    if (root == -1
        || agent_replace_find(&p, root, u->request.path, AGENT_REPLACE_FOLLOW)
               == -1)
    {
        agent_worker_fault(peer, errno);
        return;
    }

    if (size > agent_upload_room(p.dir)) {
        agent_upload_no_room(peer);

    } else if (join_publish(peer, join, u, &p, parts, n, hex) == 0) {
        join_finish(peer, join, u, size, hex);
    }

    agent_replace_abort(&p);
}


static void
join_run(int peer, void *data)
{
    int n;
    join_t *join = data;
    agent_upload_t u;
    agent_upload_part_t *parts;

    if (agent_upload_find(peer, &u, join->id) == -1) {
        return;
    }

    if (u.completed) {
        join_replay(peer, join, &u);
        return;
    }

    n = agent_upload_parts(&u, &parts);

    if (n == -1) {
        agent_worker_fault(peer, errno);
    } else {
        join_all(peer, join, &u, parts, n);
    }
}


static void
join_digest(char *out, const char *data, size_t len)
{
    struct sha256_ctx sum;

    sha256_init(&sum);
    sha256_update(&sum, len, (const uint8_t *) data);
    agent_sum_hex(out, &sum);
}


void
agent_upload_complete(agent_request_t *r, const char *body, size_t len)
{
    join_t join;
    agent_upload_key_t key;
    sandbox_text_t canonical = SANDBOX_TEXT_INIT;
    agent_field_t members[] = {
        { .name = "sha256", .kind = AGENT_FIELD_SHA256, .value = join.sha256 },
        { .name = "parts", .kind = AGENT_FIELD_PARTS, .value = &join.parts },
    };

    memset(&join, 0, sizeof(join));

    if (agent_upload_key(r, &key) == 0
        && agent_file_body(r, members, 2, body, len) == 0)
    {
        if (agent_upload_canonical(&canonical, body, len) == -1) {
            agent_http_no_memory(r);
        } else {
            snprintf(join.id, sizeof(join.id), "%s", agent_http_segment(r));
            join_digest(join.digests, key.text, key.len);
            join_digest(join.digests + AGENT_SHA256_HEX_SIZE - 1,
                        canonical.data, canonical.len);
            agent_worker_start(r, join_run, &join);
        }
    }

    sandbox_text_free(&canonical);
    free(join.parts.list);
}
