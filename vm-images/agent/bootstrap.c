/*
 * The bootstrap protocol: lines of JSON, each answered under its own nonce.
 * Owns the splitting into lines and the envelope of requests and answers;
 * must not know the channel, nor what configure does.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bootstrap.h"
#include "sandbox_text.h"

#define WORD_MAX (AGENT_NONCE_SIZE - 1)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

typedef struct {
    const char *name;

    /* 0, AGENT_LATER, or -1 with a sentence in error. */
    int (*run)(agent_bootstrap_t *b, const sandbox_json_t *doc,
               const char *nonce, char error[AGENT_ERROR_SIZE]);
} bootstrap_op_t;


int
agent_bootstrap_init(agent_bootstrap_t *b)
{
    b->len = 0;
    b->skipping = 0;
    b->line = malloc(AGENT_LINE_MAX);

    return b->line == NULL ? -1 : 0;
}


void
agent_bootstrap_free(agent_bootstrap_t *b)
{
    free(b->line);
    b->line = NULL;
}


/*
 * The value of "op" or "nonce", which the caller frees; or NULL.  The answer
 * repeats them as they came, so only short plain words are taken.
 */
static char *
bootstrap_word(const sandbox_json_t *doc, const char *name)
{
    size_t i, len;
    char *word;
    const sandbox_json_node_t *node;

    node = sandbox_json_member(doc, &doc->nodes[0], name);
    if (node == NULL) {
        return NULL;
    }

    word = sandbox_json_string(doc, node, &len);
    if (word == NULL) {
        return NULL;
    }

    for (i = 0; i < len; i++) {
        if (!(word[i] >= 'a' && word[i] <= 'z')
            && !(word[i] >= '0' && word[i] <= '9') && word[i] != '_')
        {
            break;
        }
    }

    if (len == 0 || len > WORD_MAX || i != len) {
        free(word);
        return NULL;
    }

    return word;
}


static void
bootstrap_answer(agent_bootstrap_t *b, const char *op, const char *nonce,
                 const char *error)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    sandbox_text_fmt(&t, "{\"op\":\"%s\",\"nonce\":\"%s\",", op, nonce);

    if (error == NULL) {
        sandbox_text_str(&t, "\"ok\":true");
    } else {
        sandbox_text_str(&t, "\"ok\":false,\"error\":");
        sandbox_text_json_string(&t, error, strlen(error));
    }

    if (strcmp(op, "sync") == 0) {
        sandbox_text_str(&t, ",\"agent\":\"" AGENT_VERSION "\"");
    }

    sandbox_text_str(&t, "}\n");

    /* Without memory there is no answer, and the host gives this guest up. */
    if (!sandbox_text_failed(&t)) {
        b->answer(b->data, t.data, t.len);
    }

    sandbox_text_free(&t);
}


static int
bootstrap_sync(agent_bootstrap_t *b, const sandbox_json_t *doc,
               const char *nonce, char error[AGENT_ERROR_SIZE])
{
    (void) b;
    (void) doc;
    (void) nonce;
    (void) error;

    return 0;
}


static int
bootstrap_configure(agent_bootstrap_t *b, const sandbox_json_t *doc,
                    const char *nonce, char error[AGENT_ERROR_SIZE])
{
    (void) nonce;

    return b->configure(b->data, doc, error);
}


static int
bootstrap_freeze(agent_bootstrap_t *b, const sandbox_json_t *doc,
                 const char *nonce, char error[AGENT_ERROR_SIZE])
{
    const sandbox_json_node_t *node;

    node = sandbox_json_member(doc, &doc->nodes[0], "sync");

    if (node == NULL || node->type == SANDBOX_JSON_NULL
        || node->type == SANDBOX_JSON_TRUE)
    {
        return b->freeze(b->data, nonce, 1, error);
    }

    if (node->type == SANDBOX_JSON_FALSE) {
        return b->freeze(b->data, nonce, 0, error);
    }

    snprintf(error, AGENT_ERROR_SIZE,
             "The member \"sync\" must be true or false.");

    return -1;
}


static int
bootstrap_thaw(agent_bootstrap_t *b, const sandbox_json_t *doc,
               const char *nonce, char error[AGENT_ERROR_SIZE])
{
    (void) doc;
    (void) nonce;

    return b->thaw(b->data, error);
}


static int
bootstrap_flush(agent_bootstrap_t *b, const sandbox_json_t *doc,
                const char *nonce, char error[AGENT_ERROR_SIZE])
{
    (void) doc;

    return b->flush(b->data, nonce, error);
}


static const bootstrap_op_t bootstrap_ops[] = {
    { "sync", bootstrap_sync },     { "configure", bootstrap_configure },
    { "freeze", bootstrap_freeze }, { "thaw", bootstrap_thaw },
    { "flush", bootstrap_flush },
};


static int
bootstrap_do(agent_bootstrap_t *b, const sandbox_json_t *doc, const char *op,
             const char *nonce, char error[AGENT_ERROR_SIZE])
{
    size_t i;

    error[0] = '\0';

    for (i = 0; i < COUNT(bootstrap_ops); i++) {
        if (strcmp(op, bootstrap_ops[i].name) == 0) {
            return bootstrap_ops[i].run(b, doc, nonce, error);
        }
    }

    snprintf(error, AGENT_ERROR_SIZE, "The operation is not known.");

    return -1;
}


static void
bootstrap_request(agent_bootstrap_t *b, const sandbox_json_t *doc)
{
    int rc;
    char *op, *nonce;
    char error[AGENT_ERROR_SIZE];

    op = bootstrap_word(doc, "op");
    nonce = bootstrap_word(doc, "nonce");

    if (op == NULL || nonce == NULL) {
        goto done;
    }

    rc = bootstrap_do(b, doc, op, nonce, error);

    if (rc != AGENT_LATER) {
        bootstrap_answer(b, op, nonce, rc == 0 ? NULL : error);
    }

done:

    free(op);
    free(nonce);
}


static void
bootstrap_line(agent_bootstrap_t *b)
{
    sandbox_json_t doc;
    sandbox_json_error_t err;

    if (sandbox_json_parse(&doc, b->line, b->len, &err) == -1) {
        return;
    }

    if (doc.nodes[0].type == SANDBOX_JSON_OBJECT) {
        bootstrap_request(b, &doc);
    }

    sandbox_json_free(&doc);
}


void
agent_bootstrap_feed(agent_bootstrap_t *b, const char *data, size_t len)
{
    size_t part;
    const char *end;

    while (len > 0) {
        end = memchr(data, '\n', len);
        part = end ? (size_t) (end - data) : len;

        if (part > AGENT_LINE_MAX - b->len) {
            b->skipping = 1;
        }

        if (!b->skipping) {
            memcpy(b->line + b->len, data, part);
            b->len += part;
        }

        if (end == NULL) {
            return;
        }

        if (!b->skipping) {
            bootstrap_line(b);

            /* The line may hold the token and the entropy of this guest. */
            explicit_bzero(b->line, b->len);
        }

        b->len = 0;
        b->skipping = 0;
        data = end + 1;
        len -= part + 1;
    }
}


void
agent_bootstrap_later(agent_bootstrap_t *b, const char *op, const char *nonce,
                      const char *error)
{
    bootstrap_answer(b, op, nonce, error);
}
