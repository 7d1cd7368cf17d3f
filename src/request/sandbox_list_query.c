/* The query of the list; see the header. */

#include "sandbox_list_query.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox_digest.h"
#include "sandbox_syntax.h"
#include "sandbox_tenant.h"

#define LIST_TIME_DIGITS 16
#define LIST_DIGEST_DIGITS 16


/* The parameters that all lists have come first. */
enum {
    P_LIMIT,
    P_NEXT_TOKEN,
    P_METADATA,
    P_STATE,
    P_TEMPLATE,
    P_FIELDS,
    P_SANDBOX_ID = P_STATE
};

/* The prefixes of ids, by kind. */
static const char *const list_prefixes[] = { "sb", "snap" };


static int
list_find_state(const char *word, size_t len)
{
    int i;
    static const char *const states[] = { "creating", "running", "paused",
                                          "error", "destroyed" };

    for (i = 0; i < (int) (sizeof(states) / sizeof(states[0])); i++) {
        if (strlen(states[i]) == len && memcmp(states[i], word, len) == 0) {
            return i;
        }
    }

    return -1;
}


/*
 * The digits that tie a position, as it is spelled in a token, to tenant and
 * kind.
 */
static int
list_digest(char digits[SANDBOX_SHA256_HEX_SIZE], sandbox_list_t kind,
            const char *position, const char *tenant)
{
    int n;
    char text[LIST_TIME_DIGITS + SANDBOX_ID_BODY_LEN + SANDBOX_TENANT_MAX + 8];
    uint8_t digest[SANDBOX_SHA256_LEN];

    n = snprintf(text, sizeof(text), "%.*s %s%s",
                 LIST_TIME_DIGITS + SANDBOX_ID_BODY_LEN, position,
                 kind == SANDBOX_LIST_SNAPSHOTS ? "snap " : "", tenant);

    if (n < 0 || (size_t) n >= sizeof(text)
        || sandbox_sha256(digest, text, (size_t) n) != 0)
    {
        return -1;
    }

    sandbox_hex(digits, digest, sizeof(digest));

    return 0;
}


int
sandbox_list_token_make(char token[SANDBOX_LIST_TOKEN_SIZE],
                        sandbox_list_t kind,
                        const sandbox_list_position_t *position,
                        const char *tenant)
{
    char digits[SANDBOX_SHA256_HEX_SIZE];

    (void) snprintf(token, SANDBOX_LIST_TOKEN_SIZE, "nt_%016" PRIx64 "%s",
                    (uint64_t) position->created_at,
                    position->id + strlen(list_prefixes[kind]) + 1);

    if (list_digest(digits, kind, token + 3, tenant) != 0) {
        return -1;
    }

    memcpy(token + SANDBOX_LIST_TOKEN_SIZE - 1 - LIST_DIGEST_DIGITS, digits,
           LIST_DIGEST_DIGITS);
    token[SANDBOX_LIST_TOKEN_SIZE - 1] = '\0';

    return 0;
}


int
sandbox_list_token_read(sandbox_list_position_t *position, sandbox_list_t kind,
                        const char *token, const char *tenant)
{
    char id[SANDBOX_ID_SIZE], digits[SANDBOX_SHA256_HEX_SIZE];
    char time[LIST_TIME_DIGITS + 1];

    if (strlen(token) != SANDBOX_LIST_TOKEN_SIZE - 1
        || strncmp(token, "nt_", 3) != 0
        || list_digest(digits, kind, token + 3, tenant) != 0
        || memcmp(token + SANDBOX_LIST_TOKEN_SIZE - 1 - LIST_DIGEST_DIGITS,
                  digits, LIST_DIGEST_DIGITS)
               != 0)
    {
        return -1;
    }

    (void) snprintf(time, sizeof(time), "%s", token + 3);
    (void) snprintf(id, sizeof(id), "%s_%.*s", list_prefixes[kind],
                    SANDBOX_ID_BODY_LEN, token + 3 + LIST_TIME_DIGITS);

    if (strspn(time, "0123456789abcdef") != LIST_TIME_DIGITS || time[0] > '7'
        || sandbox_id_parse(position->id, list_prefixes[kind], id, strlen(id))
               != 0)
    {
        return -1;
    }

    position->created_at = (int64_t) strtoull(time, NULL, 16);

    return 0;
}


static sandbox_query_status_t
list_limit(sandbox_list_query_t *q, const char *value,
           sandbox_query_error_t *err)
{
    size_t n;

    n = strspn(value, "0123456789");

    /* three digits cannot overflow; no spelling of a limit has more */
    if (n > 0 && n <= 3 && value[n] == '\0' && value[0] != '0') {
        q->limit = strtoul(value, NULL, 10);

        if (q->limit <= SANDBOX_LIST_LIMIT_MAX) {
            return SANDBOX_QUERY_OK;
        }
    }

    return sandbox_query_refuse(err, "limit", "must be an integer from 1 to %d",
                                SANDBOX_LIST_LIMIT_MAX);
}


static sandbox_query_status_t
list_metadata(sandbox_list_query_t *q, const char *value,
              sandbox_query_error_t *err)
{
    const char *reason;

    q->metadata = sandbox_metadata_filter_make(value, strlen(value), &reason);

    if (q->metadata) {
        return SANDBOX_QUERY_OK;
    }

    return reason ? sandbox_query_refuse(
               err, "metadata", "must be a JSON object, but %s", reason)
                  : SANDBOX_QUERY_NO_MEMORY;
}


/* Checks the parameters that all lists have. */
static sandbox_query_status_t
list_check(sandbox_list_query_t *q, sandbox_query_param_t *params,
           const char *tenant, sandbox_query_error_t *err)
{
    sandbox_query_status_t rc;

    rc = SANDBOX_QUERY_OK;

    if (params[P_LIMIT].value) {
        rc = list_limit(q, params[P_LIMIT].value, err);
    }

    if (rc == SANDBOX_QUERY_OK && params[P_NEXT_TOKEN].value
        && sandbox_list_token_read(&q->after, q->kind,
                                   params[P_NEXT_TOKEN].value, tenant)
               != 0)
    {
        return sandbox_query_refuse(err, "next_token",
                                    "is not a token of this list");
    }

    if (rc == SANDBOX_QUERY_OK && params[P_METADATA].value) {
        rc = list_metadata(q, params[P_METADATA].value, err);
    }

    return rc;
}


static sandbox_query_status_t
list_sandboxes(sandbox_list_query_t *q, sandbox_query_param_t *params,
               sandbox_query_find_pt find, sandbox_query_error_t *err)
{
    char *template;
    sandbox_query_status_t rc;

    rc = SANDBOX_QUERY_OK;
    template = params[P_TEMPLATE].value;

    if (params[P_STATE].value) {
        rc = sandbox_query_words(&q->states, &params[P_STATE], list_find_state,
                                 "state", err);
    }

    if (rc == SANDBOX_QUERY_OK && template) {
        if (!sandbox_syntax_reference(template)) {
            return sandbox_query_refuse(err, "template",
                                        "must be the name of a template");
        }

        q->template = template;
        params[P_TEMPLATE].value = NULL;
    }

    if (rc == SANDBOX_QUERY_OK) {
        rc = sandbox_query_fields(&q->fields, &params[P_FIELDS], find, err);
    }

    return rc;
}


static sandbox_query_status_t
list_snapshots(sandbox_list_query_t *q, sandbox_query_param_t *params,
               sandbox_query_error_t *err)
{
    const char *id;

    id = params[P_SANDBOX_ID].value;

    if (id && sandbox_id_parse(q->sandbox_id, "sb", id, strlen(id)) != 0) {
        return sandbox_query_refuse(err, "sandbox_id",
                                    "must be the id of a sandbox");
    }

    return SANDBOX_QUERY_OK;
}


static sandbox_query_status_t
list_parse(sandbox_list_query_t *q, const char *text, size_t len,
           const char *tenant, sandbox_query_find_pt find,
           sandbox_query_error_t *err)
{
    sandbox_query_status_t rc;
    sandbox_query_param_t params[] = {
        [P_LIMIT] = { "limit", NULL },
        [P_NEXT_TOKEN] = { "next_token", NULL },
        [P_METADATA] = { "metadata", NULL },
        [P_STATE] = { "state", NULL },
        [P_TEMPLATE] = { "template", NULL },
        [P_FIELDS] = { "fields", NULL },
        { NULL, NULL },
    };

    if (q->kind == SANDBOX_LIST_SNAPSHOTS) {
        params[P_SANDBOX_ID].name = "sandbox_id";
        params[P_SANDBOX_ID + 1].name = NULL;
    }

    rc = sandbox_query_parse(params, text, len, err);

    if (rc == SANDBOX_QUERY_OK) {
        rc = q->kind == SANDBOX_LIST_SNAPSHOTS
                 ? list_snapshots(q, params, err)
                 : list_sandboxes(q, params, find, err);
    }

    if (rc == SANDBOX_QUERY_OK) {
        rc = list_check(q, params, tenant, err);
    }

    q->asked = q->kind == SANDBOX_LIST_SNAPSHOTS
                   ? params[P_LIMIT].value || params[P_NEXT_TOKEN].value
                   : len > 0;

    sandbox_query_free(params);

    return rc;
}


sandbox_query_status_t
sandbox_list_query_parse(sandbox_list_query_t *q, sandbox_list_t kind,
                         const char *text, size_t len, const char *tenant,
                         sandbox_query_find_pt find, sandbox_query_error_t *err)
{
    sandbox_query_status_t rc;

    memset(q, 0, sizeof(*q));
    memset(err, 0, sizeof(*err));

    q->kind = kind;
    q->states = SANDBOX_LIST_LIVE;
    q->fields = UINT32_MAX;
    q->limit = SANDBOX_LIST_LIMIT_MAX;

    rc = list_parse(q, text, len, tenant, find, err);

    if (rc != SANDBOX_QUERY_OK) {
        sandbox_list_query_free(q);
    }

    return rc;
}


void
sandbox_list_query_free(sandbox_list_query_t *q)
{
    free(q->template);
    sandbox_metadata_filter_free(q->metadata);
    memset(q, 0, sizeof(*q));
}
