/*
 * The sessions of resumable uploads, kept on the disk alone: a checkpoint that
 * is resumed or an agent that starts anew finds them as they were.  Blocking;
 * in a worker.
 *
 * A session is a directory below AGENT_FS_PRIVATE:
 *
 *   request   the body that made it, in canonical JSON
 *   answer    what was answered to that
 *   parts/N   a part, five digits, followed by its SHA-256 of 32 bytes, so
 *             that one rename publishes both
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
 * The request of a session; canonical is its text, freed by the caller.  err
 * is set unless OK.
 */
agent_body_status_t
agent_upload_request(agent_upload_request_t *request, sandbox_text_t *canonical,
                     const char *body, size_t len, agent_body_error_t *err);

/* The canonical form of a JSON object, without what is null. */
int agent_upload_canonical(sandbox_text_t *t, const char *body, size_t len);

/* The id that a key leads to. */
void
agent_upload_id(char id[AGENT_UPLOAD_ID_SIZE], const char *key, size_t len);

/* The directory of all sessions; it is made if it is not there. */
int agent_upload_store(void);

/*
 * Makes a session.  0; 1 if there is one for that id; -1 with errno set, EMFILE
 * if there are too many.  The store is to be locked.
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
 * The parts that are there, in order, freed by the caller; their number, or
 * -1 with errno set.
 */
int agent_upload_parts(const agent_upload_t *u, agent_upload_part_t **parts);

/* Removes the parts of a session that is completed. */
void agent_upload_empty(const agent_upload_t *u);

/* A small file of a session: its text, freed by the caller; or NULL. */
char *agent_upload_text(int dir, const char *name);
int agent_upload_write(int dir, const char *name, const char *text, size_t len);

/* Bytes that uploads may still take of the disk that fd is on. */
int64_t agent_upload_room(int fd);

#endif
