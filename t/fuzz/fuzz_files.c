/*
 * libFuzzer target of what the routes of files read of a request and of an
 * archive: ranges, conditions, parameters, bodies and the names of entries.
 * The first byte says which; the second half of the bytes is a header's value.
 */

#include <string.h>

#include "archive_name.h"
#include "body.h"
#include "conditions.h"
#include "fs.h"
#include "fuzz.h"


static void
fuzz_range(const char *text, size_t size)
{
    int64_t first, len, total;

    total = size ? (int64_t) size * 7919 % 100000 : 0;

    switch (agent_range(text, total, &first, &len)) {
    case AGENT_RANGE_PART:
        require(first >= 0 && len > 0 && first <= total - len);
        break;
    default:
        break;
    }
}


static void
fuzz_conditions(const char *text, const char *more)
{
    unsigned status;
    agent_conditions_t c;

    memset(&c, 0, sizeof(c));
    c.match = text;
    c.none_match = more;
    status = agent_conditions(&c, "\"a-1\"", 784111777, 1);
    require(status == 0 || status == 304 || status == 412);
    require(agent_conditions(&c, NULL, 0, 0) == 412); /* no file matches */

    memset(&c, 0, sizeof(c));
    c.modified_since = text;
    c.unmodified_since = more;
    status = agent_conditions(&c, "\"a-1\"", 784111777, 1);
    require(status == 0 || status == 304 || status == 412);
}


static void
fuzz_text(const char *text)
{
    int yes;
    mode_t mode;
    unsigned limit;
    char path[SANDBOX_PATH_MAX], user[AGENT_USER_SIZE];
    char sha256[AGENT_SHA256_HEX_SIZE];

    if (agent_field_text(AGENT_FIELD_PATH, path, text) == NULL) {
        require(path[0] == '/' && strlen(path) < SANDBOX_PATH_MAX);
        require(strstr(path, "/../") == NULL && strstr(path, "//") == NULL);
        require(!sandbox_path_within(path, AGENT_FS_PRIVATE));
    }

    if (agent_field_text(AGENT_FIELD_MODE, &mode, text) == NULL) {
        require(mode <= 07777);
    }

    if (agent_field_text(AGENT_FIELD_LIMIT, &limit, text) == NULL) {
        require(limit >= 1 && limit <= AGENT_LIMIT_MAX);
    }

    if (agent_field_text(AGENT_FIELD_USER, user, text) == NULL) {
        require(user[0] != '\0' && strlen(user) < sizeof(user));
    }

    if (agent_field_text(AGENT_FIELD_SHA256, sha256, text) == NULL) {
        require(strlen(sha256) == sizeof(sha256) - 1);
        require(sha256[strspn(sha256, "0123456789abcdef")] == '\0');
    }

    agent_field_text(AGENT_FIELD_BOOL, &yes, text);

    if (agent_archive_name(path, text) == NULL) {
        require(path[0] == '/' && strstr(path, "/../") == NULL);
        require(strlen(path) < 3
                || strcmp(path + strlen(path) - 3, "/..") != 0);
    }
}


static void
fuzz_body(const char *text, size_t size)
{
    int yes;
    unsigned i;
    mode_t mode;
    int64_t bytes;
    agent_parts_t parts;
    agent_body_error_t err;
    agent_body_status_t status;
    char path[SANDBOX_PATH_MAX], user[AGENT_USER_SIZE];
    char sha256[AGENT_SHA256_HEX_SIZE];
    agent_field_t fields[] = {
        { .name = "path",
          .kind = AGENT_FIELD_PATH,
          .value = path,
          .required = 1 },
        { .name = "mode", .kind = AGENT_FIELD_MODE, .value = &mode },
        { .name = "size", .kind = AGENT_FIELD_SIZE, .value = &bytes },
        { .name = "sha256", .kind = AGENT_FIELD_SHA256, .value = sha256 },
        { .name = "user", .kind = AGENT_FIELD_USER, .value = user },
        { .name = "parents", .kind = AGENT_FIELD_BOOL, .value = &yes },
        { .name = "parts", .kind = AGENT_FIELD_PARTS, .value = &parts },
    };

    memset(&parts, 0, sizeof(parts));
    memset(&err, 0, sizeof(err));
    status = agent_body_parse(fields, 7, text, size, &err);

    if (status == AGENT_BODY_OK) {
        require(fields[0].given);
        require(!fields[2].given || bytes >= 0);

        for (i = 1; i < parts.n; i++) {
            require(parts.list[i].number > parts.list[i - 1].number);
        }
    } else {
        require(err.reason[0] != '\0');
        require(memchr(err.field, '\0', sizeof(err.field)) != NULL);
    }

    free(parts.list);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text, *more;
    size_t half;

    if (size == 0) {
        return 0;
    }

    half = (size - 1) / 2;
    text = calloc(1, size);
    more = calloc(1, size);
    require(text != NULL && more != NULL);
    memcpy(text, data + 1, size - 1);
    memcpy(more, data + 1 + half, size - 1 - half);

    switch (data[0] % 4) {
    case 0:
        fuzz_range(text, size);
        break;
    case 1:
        fuzz_conditions(text, more);
        break;
    case 2:
        fuzz_text(text);
        break;
    default:
        fuzz_body((const char *) data + 1, size - 1);
    }

    free(text);
    free(more);

    return 0;
}
