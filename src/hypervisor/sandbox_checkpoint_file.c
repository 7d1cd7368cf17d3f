/* The format of a checkpoint's file; see the header. */

#include "sandbox_checkpoint_file.h"

#include "sandbox_digest.h"
#include "sandbox_json.h"
#include "sandbox_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECKPOINT_MAGIC "sandbox-checkpoint 1 "
#define CHECKPOINT_MAGIC_LEN (sizeof(CHECKPOINT_MAGIC) - 1)
#define CHECKPOINT_DIGEST_LEN (SANDBOX_SHA256_HEX_SIZE - 1)

/* The digested part begins right after the digest, with " <10 digits>\n". */
#define CHECKPOINT_BODY (CHECKPOINT_MAGIC_LEN + CHECKPOINT_DIGEST_LEN)
#define CHECKPOINT_LENGTH_LEN (sizeof(" 0123456789\n") - 1)
#define CHECKPOINT_HEAD (CHECKPOINT_BODY + CHECKPOINT_LENGTH_LEN)

/* A member of the JSON, and where it is in the struct. */
typedef struct {
    const char *name;
    size_t offset;
} checkpoint_member_t;

static const checkpoint_member_t checkpoint_strings[] = {
    { "id", offsetof(sandbox_checkpoint_t, id) },
    { "template", offsetof(sandbox_checkpoint_t, template) },
    { "version", offsetof(sandbox_checkpoint_t, version) },
    { "kernel", offsetof(sandbox_checkpoint_t, kernel) },
    { "initrd", offsetof(sandbox_checkpoint_t, initrd) },
    { "cmdline", offsetof(sandbox_checkpoint_t, cmdline) },
    { "machine", offsetof(sandbox_checkpoint_t, machine) },
    { "accel", offsetof(sandbox_checkpoint_t, accel) },
    { "cpu", offsetof(sandbox_checkpoint_t, cpu) },
    { "ram", offsetof(sandbox_checkpoint_t, ram) },
};

static const checkpoint_member_t checkpoint_numbers[] = {
    { "qemu", offsetof(sandbox_checkpoint_t, qemu) },
    { "vcpus", offsetof(sandbox_checkpoint_t, vcpus) },
    { "memory_mb", offsetof(sandbox_checkpoint_t, memory_mb) },
    { "disk_mb", offsetof(sandbox_checkpoint_t, disk_mb) },
    { "lived", offsetof(sandbox_checkpoint_t, lived) },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))


static char **
checkpoint_string(const sandbox_checkpoint_t *c, size_t i)
{
    return (char **) ((char *) c + checkpoint_strings[i].offset);
}


static int64_t *
checkpoint_number(const sandbox_checkpoint_t *c, size_t i)
{
    return (int64_t *) ((char *) c + checkpoint_numbers[i].offset);
}


void
sandbox_checkpoint_free(sandbox_checkpoint_t *c)
{
    size_t i;

    for (i = 0; i < COUNT(checkpoint_strings); i++) {
        free(*checkpoint_string(c, i));
    }

    for (i = 0; c->layers[i]; i++) {
        free(c->layers[i]);
    }

    memset(c, 0, sizeof(*c));
}


static void
checkpoint_json(sandbox_text_t *t, const sandbox_checkpoint_t *c)
{
    size_t i;
    const char *value;

    for (i = 0; i < COUNT(checkpoint_strings); i++) {
        value = *checkpoint_string(c, i);
        sandbox_text_fmt(t, "%s\"%s\":", i ? "," : "{",
                         checkpoint_strings[i].name);
        sandbox_text_json_string(t, value, strlen(value));
    }

    for (i = 0; i < COUNT(checkpoint_numbers); i++) {
        sandbox_text_fmt(t, ",\"%s\":", checkpoint_numbers[i].name);
        sandbox_text_int(t, *checkpoint_number(c, i));
    }

    sandbox_text_str(t, ",\"layers\":[");

    for (i = 0; c->layers[i]; i++) {
        sandbox_text_str(t, i ? "," : "");
        sandbox_text_json_string(t, c->layers[i], strlen(c->layers[i]));
    }

    sandbox_text_str(t, "]}\n");
}


/* The digest of a file's content, in hex; 0 or -1. */
static int
checkpoint_digest(char hex[SANDBOX_SHA256_HEX_SIZE], const unsigned char *data,
                  size_t size)
{
    uint8_t digest[SANDBOX_SHA256_LEN];

    if (sandbox_sha256(digest, data + CHECKPOINT_BODY, size - CHECKPOINT_BODY)
        != 0) {
        return -1;
    }

    sandbox_hex(hex, digest, sizeof(digest));
    return 0;
}


unsigned char *
sandbox_checkpoint_write(const sandbox_checkpoint_t *c,
                         const unsigned char *state, size_t len, size_t *size)
{
    char hex[SANDBOX_SHA256_HEX_SIZE];
    sandbox_text_t json = SANDBOX_TEXT_INIT, t = SANDBOX_TEXT_INIT;

    checkpoint_json(&json, c);

    sandbox_text_fmt(&t, CHECKPOINT_MAGIC "%064d %010zu\n", 0, json.len);
    sandbox_text_add(&t, json.data ? json.data : "", json.len);
    sandbox_text_add(&t, (const char *) state, len);

    if (sandbox_text_failed(&json) || sandbox_text_failed(&t)
        || checkpoint_digest(hex, (const unsigned char *) t.data, t.len) != 0)
    {
        sandbox_text_free(&json);
        sandbox_text_free(&t);
        return NULL;
    }

    memcpy(t.data + CHECKPOINT_MAGIC_LEN, hex, CHECKPOINT_DIGEST_LEN);
    sandbox_text_free(&json);
    *size = t.len;

    return (unsigned char *) t.data;
}


static int
checkpoint_layers(sandbox_checkpoint_t *c, const sandbox_json_t *doc)
{
    size_t i;
    const sandbox_json_node_t *node;

    node = sandbox_json_member(doc, &doc->nodes[0], "layers");

    if (node == NULL || node->type != SANDBOX_JSON_ARRAY || node->count == 0
        || node->count > SANDBOX_CHECKPOINT_LAYERS)
    {
        return -1;
    }

    i = 0;

    for (node = sandbox_json_child(doc, node); node;
         node = sandbox_json_next(doc, node))
    {
        c->layers[i] = sandbox_json_string(doc, node, NULL);
        if (c->layers[i++] == NULL) {
            return -1;
        }
    }

    return 0;
}


/* -1: *c may have some of the strings already; the caller frees them. */
static int
checkpoint_parse(sandbox_checkpoint_t *c, const sandbox_json_t *doc)
{
    size_t i;
    char **s;
    const sandbox_json_node_t *node;

    for (i = 0; i < COUNT(checkpoint_strings); i++) {
        node = sandbox_json_member(doc, &doc->nodes[0],
                                   checkpoint_strings[i].name);
        s = checkpoint_string(c, i);
        *s = node ? sandbox_json_string(doc, node, NULL) : NULL;

        if (*s == NULL) {
            return -1;
        }
    }

    for (i = 0; i < COUNT(checkpoint_numbers); i++) {
        node = sandbox_json_member(doc, &doc->nodes[0],
                                   checkpoint_numbers[i].name);

        if (node == NULL
            || sandbox_json_integer(doc, node, checkpoint_number(c, i)) != 0)
        {
            return -1;
        }
    }

    return checkpoint_layers(c, doc);
}


/*
 * The length of the JSON as the first line says it; 0 if that is no number, or
 * more than the bytes that follow.
 */
static size_t
checkpoint_length(const unsigned char *data, size_t size)
{
    size_t i, n;
    const unsigned char *p;

    p = data + CHECKPOINT_BODY;
    n = 0;

    for (i = 1; i < CHECKPOINT_LENGTH_LEN - 1; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return 0;
        }
        n = n * 10 + (size_t) (p[i] - '0');
    }

    return n <= size - CHECKPOINT_HEAD ? n : 0;
}


/* Reads the JSON after the first line into *c, its length into *n.  0 or -1. */
static int
checkpoint_document(sandbox_checkpoint_t *c, const unsigned char *data,
                    size_t size, size_t *n)
{
    int rc;
    sandbox_json_t doc;
    sandbox_json_error_t err;

    *n = checkpoint_length(data, size);

    if (*n == 0
        || sandbox_json_parse(&doc, (const char *) data + CHECKPOINT_HEAD, *n,
                              &err)
               != 0)
    {
        return -1;
    }

    rc = checkpoint_parse(c, &doc);
    sandbox_json_free(&doc);

    if (rc != 0) {
        sandbox_checkpoint_free(c);
    }

    return rc;
}


/* 1 if data has a whole first line that begins as ours does. */
static int
checkpoint_is_ours(const unsigned char *data, size_t size)
{
    return size >= CHECKPOINT_HEAD
           && memcmp(data, CHECKPOINT_MAGIC, CHECKPOINT_MAGIC_LEN) == 0;
}


int
sandbox_checkpoint_read(sandbox_checkpoint_t *c, const unsigned char *data,
                        size_t size, const unsigned char **state, size_t *len,
                        const char **reason)
{
    size_t n;
    char hex[SANDBOX_SHA256_HEX_SIZE];

    memset(c, 0, sizeof(*c));

    if (!checkpoint_is_ours(data, size)) {
        *reason = "it is no checkpoint of this version";
        return -1;
    }

    if (checkpoint_digest(hex, data, size) != 0
        || memcmp(hex, data + CHECKPOINT_MAGIC_LEN, CHECKPOINT_DIGEST_LEN) != 0)
    {
        *reason = "it is torn";
        return -1;
    }

    if (checkpoint_document(c, data, size, &n) != 0) {
        *reason = "it is malformed";
        return -1;
    }

    *state = data + CHECKPOINT_HEAD + n;
    *len = size - CHECKPOINT_HEAD - n;
    return 0;
}


int
sandbox_checkpoint_read_head(sandbox_checkpoint_t *c, const unsigned char *data,
                             size_t size)
{
    size_t n;

    memset(c, 0, sizeof(*c));

    return checkpoint_is_ours(data, size)
               ? checkpoint_document(c, data, size, &n)
               : -1;
}
