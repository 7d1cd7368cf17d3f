/*
 * libFuzzer target of QEMU's migration stream: any bytes give the same in
 * pieces as they do at once, and no page is outside of a block that was
 * listed.  The first byte says how long the pieces are, the second one which
 * call is refused.
 */

#include "fuzz.h"
#include "sandbox_stream.h"

typedef struct {
    char names[SANDBOX_STREAM_BLOCKS][SANDBOX_STREAM_NAME + 1];
    uint64_t lengths[SANDBOX_STREAM_BLOCKS];
    size_t nblocks;
    size_t pages;
    uint64_t sum;    /* of all that was said */
    unsigned refuse; /* so many calls later; 0: never */
    int done;
    uint64_t at;
    const char *error;
} seen_t;


static int
see(seen_t *seen, uint64_t what)
{
    seen->sum = seen->sum * 31 + what;

    return seen->refuse && --seen->refuse == 0;
}


static int
see_block(void *data, const char *name, uint64_t length)
{
    size_t i, n;
    seen_t *seen = data;

    require(seen->nblocks < SANDBOX_STREAM_BLOCKS);
    require(seen->pages == 0);
    require(length > 0 && length % SANDBOX_STREAM_PAGE == 0);

    n = strlen(name);
    require(n > 0 && n <= SANDBOX_STREAM_NAME);

    for (i = 0; i < seen->nblocks; i++) {
        require(strcmp(seen->names[i], name) != 0);
    }

    memcpy(seen->names[i], name, n + 1);
    seen->lengths[i] = length;
    seen->nblocks++;

    return see(seen, length);
}


static int
see_page(void *data, const char *block, uint64_t offset,
         const unsigned char *content)
{
    size_t i;
    seen_t *seen = data;

    for (i = 0; i < seen->nblocks && strcmp(seen->names[i], block) != 0; i++) {
        /* void */
    }

    require(i < seen->nblocks);
    require(offset % SANDBOX_STREAM_PAGE == 0);
    require(offset <= seen->lengths[i] - SANDBOX_STREAM_PAGE);

    seen->pages++;
    seen->sum += i;

    for (i = 0; content && i < SANDBOX_STREAM_PAGE; i++) {
        seen->sum = seen->sum * 31 + content[i];
    }

    return see(seen, offset + (content != NULL));
}


/*
 * In pieces of so many bytes, each longer by step.  They are copied, so that
 * it is seen if one is read behind its end.
 */
static void
parse(seen_t *seen, const uint8_t *data, size_t size, size_t piece, size_t step)
{
    size_t from, to;
    ssize_t used;
    uint8_t *copy;
    uint64_t at;
    sandbox_stream_t s;

    sandbox_stream_init(&s);
    s.block = see_block;
    s.page = see_page;
    s.data = seen;
    used = 0;

    for (from = 0, to = 0; to < size && used != -1; piece += step) {
        to += piece < size - to ? piece : size - to;

        copy = malloc(to - from);
        require(copy != NULL);
        memcpy(copy, data + from, to - from);
        at = s.at;
        used = sandbox_stream_feed(&s, copy, to - from);
        free(copy);

        if (used == -1) {
            require(s.error != NULL && s.at >= at && s.at <= to);
            continue;
        }

        require(s.error == NULL && used >= 0 && (size_t) used <= to - from);
        require(s.at == at + (size_t) used);
        from += (size_t) used;

        /* a record that is there as a whole is taken */
        require(s.done || to - from < SANDBOX_STREAM_RECORD_MAX);
    }

    require(!s.done
            || (s.error == NULL && (data[s.at] == 4 || data[s.at] == 0)));

    if (s.done || s.error) {
        at = s.at;
        used = sandbox_stream_feed(&s, data, size);
        require(used == (s.error ? -1 : 0) && s.at == at);
    }

    seen->done = s.done;
    seen->at = s.at;
    seen->error = s.error;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static seen_t whole, pieces;

    if (size < 3) {
        return 0;
    }

    memset(&whole, 0, sizeof(whole));
    memset(&pieces, 0, sizeof(pieces));
    whole.refuse = pieces.refuse = data[1];

    parse(&whole, data + 2, size - 2, size, 0);
    parse(&pieces, data + 2, size - 2, data[0] % 16 + 1, data[0] / 16);

    require(whole.done == pieces.done && whole.at == pieces.at);
    require(whole.error == pieces.error && whole.sum == pieces.sum);
    require(whole.nblocks == pieces.nblocks && whole.pages == pieces.pages);

    return 0;
}
