/* Sessions on the disk; see the header.  Must not know requests. */

#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs.h"
#include "replace.h"
#include "sandbox_base32.h"
#include "sandbox_json.h"
#include "sandbox_time.h"
#include "small_file.h"
#include "sum.h"
#include "tree.h"
#include "upload_store.h"

#define STORE AGENT_FS_PRIVATE "/uploads"
#define STORE_TEXT_MAX (128 * 1024)
#define STORE_RESERVE (64 * 1024 * 1024LL) /* or a sixteenth of the disk */


/* --- requests ----------------------------------------------------------- */

int
agent_upload_canonical(sandbox_text_t *t, const char *body, size_t len)
{
    sandbox_json_t doc;
    sandbox_json_error_t err;

    if (sandbox_json_parse(&doc, len ? body : "{}", len ? len : 2, &err) == -1)
    {
        return -1;
    }

    sandbox_json_drop_nulls(&doc, &doc.nodes[0]);
    sandbox_text_json_canonical(t, &doc, &doc.nodes[0]);
    sandbox_json_free(&doc);

    return sandbox_text_failed(t) ? -1 : 0;
}


agent_body_status_t
agent_upload_request(agent_upload_request_t *request, sandbox_text_t *canonical,
                     const char *body, size_t len, agent_body_error_t *err)
{
    agent_body_status_t status;
    agent_field_t members[] = {
        { .name = "path",
          .kind = AGENT_FIELD_PATH,
          .value = request->path,
          .required = 1 },
        { .name = "size", .kind = AGENT_FIELD_SIZE, .value = &request->size },
        { .name = "sha256",
          .kind = AGENT_FIELD_SHA256,
          .value = request->sha256 },
        { .name = "mode", .kind = AGENT_FIELD_MODE, .value = &request->mode },
        { .name = "user", .kind = AGENT_FIELD_USER, .value = request->user },
    };

    memset(request, 0, sizeof(*request));

    status = agent_body_parse(members, 5, body, len, err);
    if (status != AGENT_BODY_OK) {
        return status;
    }

    request->has_size = members[1].given;
    request->has_mode = members[3].given;

    if (agent_upload_canonical(canonical, body, len) == -1) {
        return agent_body_refuse(err, "body", AGENT_FIELD_NO_MEMORY);
    }

    /* the text is kept and read again: only many slashes make it so long */
    if (canonical->len >= STORE_TEXT_MAX) {
        return agent_body_refuse(err, "path", "is too long");
    }

    return AGENT_BODY_OK;
}


void
agent_upload_id(char id[AGENT_UPLOAD_ID_SIZE], const char *key, size_t len)
{
    uint8_t raw[AGENT_SHA256_LEN];
    struct sha256_ctx sum;

    sha256_init(&sum);
    sha256_update(&sum, len, (const uint8_t *) key);
    sha256_digest(&sum, sizeof(raw), raw);

    strcpy(id, "upl_");
    sandbox_base32(id + 4, raw, AGENT_UPLOAD_ID_SIZE - 5);
}


/* --- the store ---------------------------------------------------------- */

int
agent_upload_store(void)
{
    int fd, root;

    root = agent_fs_root();
    if (root == -1) {
        return -1;
    }

    fd = -1;
    if (agent_fs_mkdirs_own(root, STORE, 0700) == 0) {
        fd = agent_fs_open(root, STORE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    }

    close(root);

    return fd;
}


int64_t
agent_upload_room(int fd)
{
    int64_t room, reserve;
    struct statvfs st;

    if (fstatvfs(fd, &st) == -1 || st.f_frsize == 0) {
        return 0;
    }

    reserve = (int64_t) (st.f_blocks / 16) * (int64_t) st.f_frsize;
    reserve = reserve < STORE_RESERVE ? reserve : STORE_RESERVE;
    room = (int64_t) st.f_bavail * (int64_t) st.f_frsize - reserve;

    return room < 0 ? 0 : room;
}


char *
agent_upload_text(int dir, const char *name)
{
    int fd;

    fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    return fd == -1 ? NULL : agent_small_file_text(fd, STORE_TEXT_MAX);
}


int
agent_upload_write(int dir, const char *name, const char *text, size_t len)
{
    int rc;
    agent_replace_t p;

    if (agent_replace_find(&p, dir, name, AGENT_REPLACE_OWN) == -1) {
        return -1;
    }

    rc = agent_replace_open(&p);

    if (rc == 0) {
        rc = agent_fs_write(p.fd, text, len);
    }

    if (rc == 0) {
        rc = agent_replace_commit(&p, 0);
    }

    agent_replace_abort(&p);

    return rc;
}


static int
store_is_id(const char *name)
{
    return strlen(name) == AGENT_UPLOAD_ID_SIZE - 1
           && strncmp(name, "upl_", 4) == 0
           && name[4 + strspn(name + 4, SANDBOX_BASE32)] == '\0';
}


/*
 * When a session expires: a day after its parts last changed; 0 if there is no
 * such session.
 */
static int64_t
store_expires(int store, const char *id)
{
    char parts[AGENT_UPLOAD_ID_SIZE + sizeof("/parts")];
    struct stat st;

    snprintf(parts, sizeof(parts), "%s/parts", id);

    if (fstatat(store, parts, &st, AT_SYMLINK_NOFOLLOW) == -1) {
        return 0;
    }

    return (int64_t) st.st_mtim.tv_sec * 1000 + AGENT_UPLOAD_LIFE_MS;
}


/*
 * Calls each() for the sessions in the store, and those that are being made.
 * The sum of what it returns, or -1 if the store cannot be read.
 */
static int
store_each(int store, int (*each)(int store, const char *name))
{
    int rc;
    DIR *dir;
    struct dirent *entry;

    dir = agent_fs_list(store);
    if (dir == NULL) {
        return -1;
    }

    rc = 0;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' || entry->d_name[1] == 'n') {
            rc += each(store, entry->d_name);
        }
    }

    closedir(dir);

    return rc;
}


/* 1 if a session is open. */
static int
store_is_open(int store, const char *name)
{
    char result[AGENT_UPLOAD_ID_SIZE + sizeof("/result")];

    if (!store_is_id(name)) {
        return 0;
    }

    snprintf(result, sizeof(result), "%s/result", name);

    return faccessat(store, result, F_OK, AT_SYMLINK_NOFOLLOW) == -1;
}


/* Removes a session that has expired, or whose making was never finished. */
static int
store_sweep_one(int store, const char *name)
{
    if (!store_is_id(name)
        || store_expires(store, name) <= sandbox_time_now_ms()) {
        (void) agent_tree_remove(store, name);
    }

    return 0;
}


void
agent_upload_sweep(int store)
{
    (void) store_each(store, store_sweep_one);
}


int
agent_upload_remove(int store, const char *id)
{
    return agent_tree_remove(store, id);
}


/* Makes a session under the name temp; it gets its id when it is whole. */
static int
store_build(int store, const char *temp, const char *id, const char *request,
            const char *answer)
{
    int dir, rc;

    if (mkdirat(store, temp, 0700) == -1) {
        return -1;
    }

    dir = openat(store, temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir == -1) {
        return -1;
    }

    rc = mkdirat(dir, "parts", 0700) == 0
                 && agent_upload_write(dir, "request", request, strlen(request))
                        == 0
                 && agent_upload_write(dir, "answer", answer, strlen(answer))
                        == 0
                 && renameat2(store, temp, store, id, RENAME_NOREPLACE) == 0
             ? 0
             : -1;
    close(dir);

    return rc;
}


int
agent_upload_make(int store, const char *id, const char *request,
                  const char *answer)
{
    int rc, err;
    char temp[AGENT_UPLOAD_ID_SIZE + 8];
    struct stat st;

    if (fstatat(store, id, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        return 1;
    }

    rc = store_each(store, store_is_open);

    if (rc == -1 || rc >= AGENT_UPLOAD_OPEN_MAX) {
        errno = rc == -1 ? errno : EMFILE;
        return -1;
    }

    snprintf(temp, sizeof(temp), ".new-%s", id);
    (void) agent_tree_remove(store, temp);

    rc = store_build(store, temp, id, request, answer);

    if (rc == -1) {
        err = errno;
        (void) agent_tree_remove(store, temp);
        errno = err;
    }

    return rc;
}


/* --- a session ---------------------------------------------------------- */

static int
store_read(agent_upload_t *u)
{
    char *text;
    agent_body_error_t err;
    agent_body_status_t status;
    sandbox_text_t canonical = SANDBOX_TEXT_INIT;

    text = agent_upload_text(u->dir, "request");
    if (text == NULL) {
        return -1;
    }

    status =
        agent_upload_request(&u->request, &canonical, text, strlen(text), &err);
    sandbox_text_free(&canonical);
    free(text);

    if (status != AGENT_BODY_OK) {
        errno = EIO;
        return -1;
    }

    return 0;
}


int
agent_upload_open(agent_upload_t *u, int store, const char *id)
{
    int err;
    struct stat st;

    memset(u, 0, sizeof(*u));
    u->dir = -1;
    u->parts = -1;
    errno = ENOENT;

    if (!store_is_id(id)) {
        return -1;
    }

    strcpy(u->id, id);
    u->expires_ms = store_expires(store, id);

    if (u->expires_ms <= sandbox_time_now_ms()) {
        errno = ENOENT;
        return -1;
    }

    u->dir = openat(store, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (u->dir != -1 && flock(u->dir, LOCK_EX) == 0 && fstat(u->dir, &st) == 0)
    {
        u->parts = openat(u->dir, "parts",
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        u->completed = faccessat(u->dir, "result", F_OK, 0) == 0;

        /* the session may have been removed while its lock was waited for */
        if (u->parts != -1 && st.st_nlink > 0 && store_read(u) == 0) {
            return 0;
        }
    }

    err = errno;
    agent_upload_close(u);
    errno = err;

    return -1;
}


void
agent_upload_close(agent_upload_t *u)
{
    if (u->parts != -1) {
        close(u->parts);
        u->parts = -1;
    }

    if (u->dir != -1) {
        close(u->dir);
        u->dir = -1;
    }
}


static int
store_part(const agent_upload_t *u, const char *name, agent_upload_part_t *part)
{
    int fd, rc;
    uint8_t sum[AGENT_SHA256_LEN];
    struct stat st;

    if (strlen(name) != 5 || name[strspn(name, "0123456789")] != '\0') {
        return 0;
    }

    fd = openat(u->parts, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    rc = -1;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
        && st.st_size >= (off_t) sizeof(sum)
        && pread(fd, sum, sizeof(sum), st.st_size - (off_t) sizeof(sum))
               == (ssize_t) sizeof(sum))
    {
        part->number = (unsigned) strtoul(name, NULL, 10);
        part->size = st.st_size - (off_t) sizeof(sum);
        agent_hex(part->sha256, sum, sizeof(sum));
        rc = 1;
    } else {
        errno = EIO;
    }

    close(fd);

    return rc;
}


static int
store_compare(const void *a, const void *b)
{
    const agent_upload_part_t *x = a, *y = b;

    return x->number < y->number ? -1 : x->number > y->number;
}


static int
store_collect(const agent_upload_t *u, DIR *dir, agent_upload_part_t *parts)
{
    int n, rc;
    struct dirent *entry;

    for (n = 0; n < AGENT_PARTS_MAX; n += rc) {
        errno = 0;
        entry = readdir(dir);

        if (entry == NULL && errno != 0) {
            return -1;
        }

        if (entry == NULL) {
            break;
        }

        rc = store_part(u, entry->d_name, &parts[n]);
        if (rc == -1) {
            return -1;
        }
    }

    qsort(parts, (size_t) n, sizeof(*parts), store_compare);

    return n;
}


int
agent_upload_parts(const agent_upload_t *u, agent_upload_part_t **parts)
{
    int n;
    DIR *dir;

    *parts = calloc(AGENT_PARTS_MAX, sizeof(**parts));
    if (*parts == NULL) {
        return -1;
    }

    dir = agent_fs_list(u->parts);

    if (dir == NULL) {
        n = -1;
    } else {
        n = store_collect(u, dir, *parts);
        closedir(dir);
    }

    if (n == -1) {
        free(*parts);
        *parts = NULL;
    }

    return n;
}


void
agent_upload_empty(const agent_upload_t *u)
{
    DIR *dir;
    struct dirent *entry;

    dir = agent_fs_list(u->parts);
    if (dir == NULL) {
        return;
    }

    while ((entry = readdir(dir)) != NULL) {
        (void) unlinkat(u->parts, entry->d_name, 0);
    }

    closedir(dir);
}
