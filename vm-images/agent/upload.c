/*
 * The routes of resumable uploads: sessions, their state, parts and removal.
 * Completing is in upload_join.c, the disk in upload_store.c.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "answer.h"
#include "fault.h"
#include "file_params.h"
#include "fs.h"
#include "http_head.h"
#include "replace.h"
#include "sandbox_time.h"
#include "sum.h"
#include "upload_parts.h"
#include "upload_routes.h"
#include "worker.h"

#define UPLOAD_PIECE 65536
#define UPLOAD_LOOK (8 * 1024 * 1024) /* bytes between two checks of space */

typedef struct {
    char id[AGENT_UPLOAD_ID_SIZE];
    const char *request; /* canonical */
    const char *path;
    int64_t size;
} create_t;

typedef struct {
    char id[AGENT_SEGMENT_SIZE];
    unsigned number;
    int64_t size;                       /* of the body, 0 if unknown */
    char sha256[AGENT_SHA256_HEX_SIZE]; /* required of the body, or "" */
} part_t;


int
agent_upload_key(agent_request_t *r, agent_upload_key_t *key)
{
    char message[128];
    const char *value, *reason;

    reason = "is required";
    value = agent_http_header(r, "Idempotency-Key");
    key->len =
        value ? sandbox_idem_key(key->text, value, strlen(value), &reason) : 0;

    if (key->len > 0) {
        return 0;
    }

    snprintf(message, sizeof(message), "The Idempotency-Key header %s.",
             reason);
    agent_http_error(r, 400,
                     value ? "invalid_request" : "idempotency_key_required",
                     message, "Idempotency-Key", reason);

    return -1;
}


void
agent_upload_no_room(int peer)
{
    agent_worker_error(peer, 409, "conflict", NULL, NULL,
                       "There is no space left on the disk for this upload.");
}


int
agent_upload_find(int peer, agent_upload_t *u, const char *id)
{
    int err, store;

    store = agent_upload_store();
    if (store != -1 && agent_upload_open(u, store, id) == 0) {
        close(store);
        return 0;
    }

    err = errno;

    if (store != -1) {
        close(store);
    }

    if (err == ENOENT) {
        agent_worker_error(peer, 404, "not_found", NULL, NULL,
                           "There is no such upload; it may have expired.");
    } else {
        agent_worker_fault(peer, err);
    }

    return -1;
}


/* --- making ------------------------------------------------------------- */

static void
create_text(sandbox_text_t *t, const create_t *c)
{
    char at[SANDBOX_TIME_SIZE];

    sandbox_time_format(at, sandbox_time_now_ms() + AGENT_UPLOAD_LIFE_MS);
    sandbox_text_fmt(t, "{\"id\":\"%s\",\"path\":", c->id);
    sandbox_text_json_string(t, c->path, strlen(c->path));
    sandbox_text_fmt(
        t, ",\"status\":\"open\",\"parts\":[],\"expires_at\":\"%s\"}", at);
}


/*
 * Answers as before for a key that has a session already, if the request is the
 * same.
 */
static void
create_replay(int peer, int store, const create_t *c)
{
    char *request, *answer;
    agent_upload_t u;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    if (agent_upload_open(&u, store, c->id) == -1) {
        agent_worker_fault(peer, errno);
        return;
    }

    request = agent_upload_text(u.dir, "request");
    answer = agent_upload_text(u.dir, "answer");

    if (request == NULL || answer == NULL) {
        agent_worker_fault(peer, EIO);

    } else if (strcmp(request, c->request) != 0) {
        agent_worker_error(
            peer, 422, "idempotency_key_reused", NULL, NULL,
            "This Idempotency-Key was used with another request.");
    } else {
        sandbox_text_str(&t, answer);
        agent_worker_answer(peer, 201, &t, "Idempotent-Replayed", "true");
    }

    free(request);
    free(answer);
    agent_upload_close(&u);
}


/* Checks the target before any part is sent; 0, or -1 with errno set. */
static int
create_target(const create_t *c)
{
    int root, rc, err;
    agent_replace_t p;

    root = agent_fs_root();
    if (root == -1) {
        return -1;
    }

    rc = agent_replace_find(&p, root, c->path, AGENT_REPLACE_FOLLOW);
    err = errno;
    close(root);

    if (rc == 0) {
        agent_replace_abort(&p);
    }

    errno = err;

    return rc;
}


static void
create_run(int peer, void *data)
{
    int store;
    create_t *c = data;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    store = agent_upload_store();
    if (store == -1 || flock(store, LOCK_EX) == -1) {
        agent_worker_fault(peer, errno);
        return;
    }

    agent_upload_sweep(store);
    create_text(&t, c);

    if (sandbox_text_failed(&t)) {
        agent_worker_fault(peer, ENOMEM);

    } else if (faccessat(store, c->id, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        create_replay(peer, store, c);

    } else if (c->size > agent_upload_room(store)) {
        agent_upload_no_room(peer);

    } else if (create_target(c) == -1) {
        agent_worker_fault(peer, errno);

    } else if (agent_upload_make(store, c->id, c->request, t.data) == 0) {
        agent_worker_answer(peer, 201, &t, NULL, NULL);

    } else if (errno == EMFILE) {
        agent_worker_error(peer, 409, "conflict", NULL, NULL,
                           "The sandbox has 64 open uploads already.");
    } else {
        agent_worker_fault(peer, errno);
    }
}


void
agent_upload_create(agent_request_t *r, const char *body, size_t len)
{
    create_t c;
    agent_body_error_t err;
    agent_upload_key_t key;
    agent_body_status_t status;
    agent_upload_request_t request;
    sandbox_text_t canonical = SANDBOX_TEXT_INIT;
    uid_t uid;
    gid_t gid;

    if (agent_upload_key(r, &key) == -1) {
        return;
    }

    status = agent_upload_request(&request, &canonical, body, len, &err);

    if (status != AGENT_BODY_OK) {
        agent_answer_refuse(r, status, &err);

    } else if (agent_file_user(r, request.user, &uid, &gid) == 0) {
        agent_upload_id(c.id, key.text, key.len);
        c.request = canonical.data;
        c.path = request.path;
        c.size = request.size;
        agent_worker_start(r, create_run, &c);
    }

    sandbox_text_free(&canonical);
}


/* --- state and end ------------------------------------------------------ */

static void
get_parts(sandbox_text_t *t, const agent_upload_part_t *parts, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        sandbox_text_fmt(t, "%s{\"part\":%u,\"size\":%lld,\"sha256\":\"%s\"}",
                         i ? "," : "", parts[i].number,
                         (long long) parts[i].size, parts[i].sha256);
    }
}


static void
get_run(int peer, void *data)
{
    int n;
    char at[SANDBOX_TIME_SIZE];
    part_t *get = data;
    agent_upload_t u;
    agent_upload_part_t *parts;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    if (agent_upload_find(peer, &u, get->id) == -1) {
        return;
    }

    n = agent_upload_parts(&u, &parts);
    if (n == -1) {
        agent_worker_fault(peer, errno);
        return;
    }

    sandbox_time_format(at, u.expires_ms);
    sandbox_text_fmt(&t, "{\"id\":\"%s\",\"path\":", u.id);
    sandbox_text_json_string(&t, u.request.path, strlen(u.request.path));
    sandbox_text_fmt(&t, ",\"status\":\"%s\"",
                     u.completed ? "completed" : "open");

    if (u.request.has_size) {
        sandbox_text_fmt(&t, ",\"size\":%lld", (long long) u.request.size);
    }

    if (u.request.sha256[0] != '\0') {
        sandbox_text_fmt(&t, ",\"sha256\":\"%s\"", u.request.sha256);
    }

    sandbox_text_str(&t, ",\"parts\":[");
    get_parts(&t, parts, n);
    sandbox_text_fmt(&t, "],\"expires_at\":\"%s\"}", at);
    agent_worker_answer(peer, 200, &t, NULL, NULL);
}


/*
 * Starts a worker for the session of the request; agent_upload_open() checks
 * the id.
 */
static void
upload_start(agent_request_t *r, void (*run)(int peer, void *data))
{
    part_t part;

    memset(&part, 0, sizeof(part));
    snprintf(part.id, sizeof(part.id), "%s", agent_http_segment(r));
    agent_worker_start(r, run, &part);
}


void
agent_upload_get(agent_request_t *r)
{
    upload_start(r, get_run);
}


static void
delete_run(int peer, void *data)
{
    int store;
    part_t *delete = data;
    agent_upload_t u;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    if (agent_upload_find(peer, &u, delete->id) == -1) {
        return;
    }

    store = agent_upload_store();

    if (store == -1 || agent_upload_remove(store, u.id) == -1) {
        agent_worker_fault(peer, errno);
        return;
    }

    sandbox_text_fmt(&t, "{\"id\":\"%s\",\"status\":\"deleted\"}", u.id);
    agent_worker_answer(peer, 200, &t, NULL, NULL);
}


void
agent_upload_delete(agent_request_t *r)
{
    upload_start(r, delete_run);
}


/* --- parts -------------------------------------------------------------- */

static int
part_completed(int peer)
{
    agent_worker_error(peer, 409, "conflict", NULL, NULL,
                       "The upload is completed already.");

    return -1;
}


/*
 * Writes the body and its digest to fd; 0, or -1 after an answer, or if the
 * client has gone.
 */
static int
part_copy(int peer, part_t *part, int fd, char hex[AGENT_SHA256_HEX_SIZE])
{
    int64_t looked;
    ssize_t n;
    uint8_t raw[AGENT_SHA256_LEN];
    static char piece[UPLOAD_PIECE];
    struct sha256_ctx sum;

    sha256_init(&sum);
    part->size = 0;
    looked = 0;

    while ((n = agent_worker_read(peer, piece, sizeof(piece))) > 0) {
        if (part->size >= looked) {
            looked = part->size + UPLOAD_LOOK;

            if (agent_upload_room(fd) < n) {
                agent_upload_no_room(peer);
                return -1;
            }
        }

        if (agent_fs_write(fd, piece, (size_t) n) == -1) {
            agent_worker_fault(peer, errno);
            return -1;
        }

        sha256_update(&sum, (size_t) n, (uint8_t *) piece);
        part->size += n;
    }

    if (n == -1) {
        return -1; /* the client has gone */
    }

    sha256_digest(&sum, sizeof(raw), raw);
    agent_hex(hex, raw, sizeof(raw));

    if (agent_fs_write(fd, raw, sizeof(raw)) == -1) {
        agent_worker_fault(peer, errno);
        return -1;
    }

    return 0;
}


static void
part_put(int peer, part_t *part, agent_upload_t *u, agent_replace_t *p)
{
    char hex[AGENT_SHA256_HEX_SIZE];
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    if (agent_replace_open(p) == -1) {
        agent_worker_fault(peer, errno);
        return;
    }

    if (part_copy(peer, part, p->fd, hex) == -1) {
        return;
    }

    if (part->sha256[0] != '\0' && strcmp(part->sha256, hex) != 0) {
        agent_worker_error(
            peer, 409, "conflict", "X-Content-SHA256",
            "is not that of the body",
            "The body has another SHA-256 than the request says.");
        return;
    }

    /*
     * Under the session's lock again: the session may have been completed or
     * removed meanwhile.
     */
    if (flock(u->dir, LOCK_EX) == -1
        || faccessat(u->dir, "request", F_OK, 0) == -1) {
        agent_worker_fault(peer, errno);

    } else if (faccessat(u->dir, "result", F_OK, 0) == 0) {
        part_completed(peer);

    } else if (agent_replace_commit(p, 0) == -1) {
        agent_worker_fault(peer, errno);

    } else {
        sandbox_text_fmt(&t, "{\"part\":%u,\"size\":%lld,\"sha256\":\"%s\"}",
                         part->number, (long long) part->size, hex);
        agent_worker_answer(peer, 200, &t, NULL, NULL);
    }
}


static void
part_run(int peer, void *data)
{
    char name[16];
    part_t *part = data;
    agent_replace_t p;
    agent_upload_t u;

    if (agent_upload_find(peer, &u, part->id) == -1) {
        return;
    }

    if (u.completed) {
        part_completed(peer);
        return;
    }

    if (part->size > agent_upload_room(u.parts)) {
        agent_upload_no_room(peer);
        return;
    }

    snprintf(name, sizeof(name), "%05u", part->number);

    /* Parts may come at the same time, so none holds the lock meanwhile. */
    if (flock(u.dir, LOCK_UN) == -1
        || agent_replace_find(&p, u.parts, name, AGENT_REPLACE_OWN) == -1)
    {
        agent_worker_fault(peer, errno);
        return;
    }

    part_put(peer, part, &u, &p);
    agent_replace_abort(&p);
}


void
agent_upload_part(agent_request_t *r)
{
    part_t part;
    const char *number, *length;

    memset(&part, 0, sizeof(part));

    number = agent_http_second_segment(r);
    if (strlen(number) <= 5 && number[strspn(number, "0123456789")] == '\0') {
        part.number = (unsigned) strtoul(number, NULL, 10);
    }

    if (part.number < 1 || part.number > AGENT_PARTS_MAX) {
        agent_http_error(r, 400, "invalid_request",
                         "The number of a part must be from 1 to 10000.",
                         "part", "must be a number from 1 to 10000");
        return;
    }

    if (agent_file_sha256(r, part.sha256) == -1) {
        return;
    }

    length = agent_http_header(r, "Content-Length");
    part.size = length ? strtoll(length, NULL, 10) : 0;
    snprintf(part.id, sizeof(part.id), "%s", agent_http_segment(r));
    agent_worker_start(r, part_run, &part);
}
