/*
 * libFuzzer target of the bootstrap conversation, host side: whatever a guest
 * says, it ends, with a sentence for the log when it is not well, and the host
 * writes one JSON object a line.
 *
 * The first byte says what fails and what is asked.  The rest is said by the
 * guest: byte 0 ends a read, byte 1 stands for the nonce it was last asked
 * with, byte 2 for the operation.
 */

#include <string.h>

#include "fuzz.h"
#include "sandbox_guest.h"
#include "sandbox_json.h"

#define FUZZ_NO_SYNC 1      /* the first write fails */
#define FUZZ_NO_CONFIGURE 2 /* the second write fails */
#define FUZZ_SILENT 4       /* in the end the time passes, else it closes */
#define FUZZ_LYING 8        /* in the end a read claims more than its room */
#define FUZZ_ASK 0xf0       /* which conversation */

typedef struct {
    uint8_t flags;
    const uint8_t *next;
    const uint8_t *last;
    unsigned written;
    char nonce[64];
    char op[16];
    const char *word; /* what of nonce or op is still to be said */
} fuzz_guest_t;


static void
copy_member(char *out, size_t size, const sandbox_json_t *doc, const char *name)
{
    char *s;
    size_t len;

    s = sandbox_json_string(doc, sandbox_json_member(doc, &doc->nodes[0], name),
                            &len);
    require(s && len > 0 && len < size);
    memcpy(out, s, len + 1);
    free(s);
}


static int
guest_write(void *channel, const char *data, size_t len, int64_t deadline_ms)
{
    sandbox_json_t doc;
    sandbox_json_error_t err;
    fuzz_guest_t *g = channel;

    (void) deadline_ms;

    if (g->flags & (g->written++ ? FUZZ_NO_CONFIGURE : FUZZ_NO_SYNC)) {
        return -1;
    }

    if (data[0] == '\n') {
        data++;
        len--;
    }

    require(memchr(data, '\n', len) == data + len - 1);
    require(sandbox_json_parse(&doc, data, len, &err) == 0);
    copy_member(g->nonce, sizeof(g->nonce), &doc, "nonce");
    copy_member(g->op, sizeof(g->op), &doc, "op");
    sandbox_json_free(&doc);

    return 0;
}


static int64_t
guest_read(void *channel, char *data, size_t size, int64_t deadline_ms)
{
    size_t n;
    fuzz_guest_t *g = channel;

    (void) deadline_ms;

    for (n = 0; n < size; /* void */) {
        if (g->word && *g->word) {
            data[n++] = *g->word++;
            continue;
        }

        if (g->next == g->last || *g->next == 0) {
            break;
        }

        g->word = *g->next == 1 ? g->nonce : *g->next == 2 ? g->op : NULL;

        if (g->word == NULL) {
            data[n++] = (char) *g->next;
        }

        g->next++;
    }

    if (n > 0) {
        return (int64_t) n;
    }

    if (g->next < g->last) {
        g->next++; /* a pause: the time passes */
        return 0;
    }

    if (g->flags & FUZZ_LYING) {
        return (int64_t) size + 1;
    }

    return g->flags & FUZZ_SILENT ? 0 : -1;
}


/* The conversation that ask says; questions gets their number. */
static sandbox_guest_status_t
talk(const sandbox_guest_channel_t *ch, uint8_t ask, char *message, size_t size,
     unsigned *questions)
{
    static const char *const dns[] = { "192.0.2.1", NULL };
    static const sandbox_guest_config_t conf = {
        .hostname = "sb-x",
        .mac = "02:5b:0a:58:00:05",
        .address = "10.88.0.5/16",
        .gateway = "10.88.0.1",
        .dns = dns,
        .token = "token",
        .envs = "{\n\"A\" :\r\n\t\"b\\n\"}",
        .cwd = "/a\n\"b",
    };

    /* a deadline that has passed: each question is asked once */
    switch (ask) {
    case 0x10:
        *questions = 1;
        return sandbox_guest_thaw(ch, 0, message, size);
    case 0x20:
        *questions = 1;
        return sandbox_guest_freeze(ch, 0, 0, message, size);
    case 0x30:
        *questions = 2;
        return sandbox_guest_freeze(ch, 1, 0, message, size);
    case 0x40:
        *questions = 2;
        return sandbox_guest_flush(ch, 0, message, size);
    default:
        *questions = 2;
        return sandbox_guest_bootstrap(ch, &conf, 0, message, size);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char message[64];
    unsigned questions;
    fuzz_guest_t g;
    sandbox_guest_status_t status;
    const sandbox_guest_channel_t channel = {
        .channel = &g,
        .write = guest_write,
        .read = guest_read,
    };
    const char *p;

    if (size == 0) {
        return 0;
    }

    memset(&g, 0, sizeof(g));
    g.flags = data[0];
    g.next = data + 1;
    g.last = data + size;

    status = talk(&channel, g.flags & FUZZ_ASK, message, sizeof(message),
                  &questions);

    require(memchr(message, '\0', sizeof(message)) != NULL);
    require((status == SANDBOX_GUEST_OK) == (message[0] == '\0'));
    require(status != SANDBOX_GUEST_OK || g.written == questions);

    for (p = message; *p; p++) {
        require(*p >= ' ' && *p <= '~');
    }

    return 0;
}
