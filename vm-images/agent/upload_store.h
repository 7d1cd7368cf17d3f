/*
 * The sessions of resumable uploads, kept on the disk only: after a resume from
 * a checkpoint, or a restart, the agent finds them as they were.  Blocking; in
 * a worker.
 *
 * A session is a directory below AGENT_FS_PRIVATE:
 *
 *   request   the body of the create request, in canonical JSON
 *   answer    the answer to that request
 *   parts/N   a part (N has five digits): its bytes, then its SHA-256 of 32
 *             bytes, so that one rename publishes both
 *   result    of its completion, see upload_join.c
 */

#ifndef AGENT_UPLOAD_STORE_H
#define AGENT_UPLOAD_STORE_H

#include <stdint.h>

#include "body.h"
#include "sandbox_text.h"

#define AGENT_UPLOAD_ID_SIZE 31 /* "upl_", 26 characters and a NUL */
#define AGENT_UPLOAD_OPEN_MAX 64
#define AGENT_UPLOAD_LIFE_MS (24 * 3600 * 1000LL)

typedef struct {
    char path[SANDBOX_PATH_MAX];
    int64_t size;
    char sha256[AGENT_SHA256_HEX_SIZE]; /* "" if not given */
    mode_t mode;
    char user[AGENT_USER_SIZE]; /* "" if not given */
    unsigned has_size : 1;
    unsigned has_mode : 1;
} agent_upload_request_t;

typedef struct {
    char id[AGENT_UPLOAD_ID_SIZE];
    int dir; /* locked until it is closed; -1 */
    int parts;
    int completed;
    int64_t expires_ms;
    agent_upload_request_t request;
} agent_upload_t;

typedef struct {
    unsigned number;
    int64_t size;
    char sha256[AGENT_SHA256_HEX_SIZE];
} agent_upload_part_t;

/*
 * Reads the request of a session; canonical gets its canonical text, which the
 * caller frees.  err is set unless OK.
 */
agent_body_status_t
agent_upload_request(agent_upload_request_t *request, sandbox_text_t *canonical,
                     const char *body, size_t len, agent_body_error_t *err);

/* The canonical form of a JSON object, without members that are null. */
int agent_upload_canonical(sandbox_text_t *t, const char *body, size_t len);

/* The session id that an Idempotency-Key gives. */
void
agent_upload_id(char id[AGENT_UPLOAD_ID_SIZE], const char *key, size_t len);

/* Opens the directory of all sessions, and makes it if it is missing. */
int agent_upload_store(void);

/*
 * Makes a session.  0; 1 if that id exists; -1 with errno set, EMFILE if there
 * are too many sessions.  The caller has locked the store.
 */
int agent_upload_make(int store, const char *id, const char *request,
                      const char *answer);

/* Opens and locks a session; -1 with errno set: ENOENT if it has expired. */
int agent_upload_open(agent_upload_t *u, int store, const char *id);
void agent_upload_close(agent_upload_t *u);

/* Removes a session, or all that have expired. */
int agent_upload_remove(int store, const char *id);
void agent_upload_sweep(int store);

/*
 * Lists the parts of a session in order, in memory the caller frees; returns
 * their number, or -1 with errno set.
 */
int agent_upload_parts(const agent_upload_t *u, agent_upload_part_t **parts);

/* Removes the parts of a session that is completed. */
void agent_upload_empty(const agent_upload_t *u);

/*
 * The text of a small file of a session, freed by the caller; or NULL with
 * errno set.
 */
char *agent_upload_text(int dir, const char *name);
int agent_upload_write(int dir, const char *name, const char *text, size_t len);

/* Bytes that uploads may still use on the disk of fd. */
int64_t agent_upload_room(int fd);

#endif
