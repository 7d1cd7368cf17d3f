/* Reading parameters; see the header. */

#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "file_params.h"
#include "fs.h"
#include "user.h"
#include "worker.h"

#define MEMBERS_MAX 7


static int
file_refuse(agent_request_t *r, const char *kind, const char *field,
            const char *reason)
{
    char message[512];

    snprintf(message, sizeof(message), "The %s \"%s\" %s.", kind, field,
             reason);
    agent_http_error(r, 400, "invalid_request", message, field, reason);

    return -1;
}


int
agent_file_query(agent_request_t *r, agent_field_t *members, size_t n)
{
    size_t i;
    const char *text, *reason, *names[MEMBERS_MAX + 1];

    for (i = 0; i < n && i < MEMBERS_MAX; i++) {
        names[i] = members[i].name;
    }

    names[i] = NULL;

    if (agent_http_query_check(r, names) == -1) {
        return -1;
    }

    for (i = 0; i < n; i++) {
        text = agent_http_query(r, members[i].name);

        if (text == NULL) {
            if (members[i].required) {
                return file_refuse(r, "parameter", members[i].name,
                                   "is required");
            }

            continue;
        }

        members[i].given = 1;
        reason = agent_field_text(members[i].kind, members[i].value, text);
        if (reason != NULL) {
            return file_refuse(r, "parameter", members[i].name, reason);
        }
    }

    return 0;
}


int
agent_file_query_path(agent_request_t *r, char path[SANDBOX_PATH_MAX])
{
    agent_field_t member = {
        .name = "path", .kind = AGENT_FIELD_PATH, .value = path, .required = 1
    };

    return agent_file_query(r, &member, 1);
}


int
agent_file_body(agent_request_t *r, agent_field_t *members, size_t n,
                const char *body, size_t len)
{
    agent_body_error_t err;
    agent_body_status_t status;

    status = agent_body_parse(members, n, body, len, &err);
    if (status == AGENT_BODY_OK) {
        return 0;
    }

    agent_answer_refuse(r, status, &err);

    return -1;
}


void
agent_file_conditions(agent_request_t *r, agent_conditions_t *c)
{
    c->match = agent_http_header(r, "If-Match");
    c->none_match = agent_http_header(r, "If-None-Match");
    c->modified_since = agent_http_header(r, "If-Modified-Since");
    c->unmodified_since = agent_http_header(r, "If-Unmodified-Since");
    c->range = agent_http_header(r, "If-Range");
}


int
agent_file_allowed(int peer, const agent_conditions_t *c, const struct stat *st)
{
    char etag[AGENT_FS_ETAG_SIZE];

    etag[0] = '\0';
    if (st != NULL && S_ISREG(st->st_mode)) {
        agent_fs_etag(etag, st);
    }

    if (agent_conditions(c, st ? etag : NULL, st ? st->st_mtime : 0, 0) == 0) {
        return 0;
    }

    agent_worker_error(peer, 412, "conflict", NULL, NULL,
                       "The file is not the one that the request is about.");

    return -1;
}


int
agent_file_user(agent_request_t *r, const char *name, uid_t *uid, gid_t *gid)
{
    agent_user_t user;

    if (agent_user_find(&user, name[0] ? name : "root") == -1) {
        return file_refuse(r, "value of", "user",
                           "is not a user of the sandbox");
    }

    *uid = user.uid;
    *gid = user.gid;

    return 0;
}


int
agent_file_sha256(agent_request_t *r, char out[AGENT_SHA256_HEX_SIZE])
{
    const char *value;

    out[0] = '\0';
    value = agent_http_header(r, "X-Content-SHA256");

    if (value != NULL && agent_sha256_read(out, value) == -1) {
        return file_refuse(r, "header", "X-Content-SHA256",
                           "must be a SHA-256 in 64 hex digits");
    }

    return 0;
}
