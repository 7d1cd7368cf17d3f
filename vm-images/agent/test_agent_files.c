/*
 * What the routes of files are made of, without requests: parameters,
 * conditions, names, paths that lead out, replacing, walking, sessions of
 * uploads.  A directory of its own is the root.
 */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive_name.h"
#include "conditions.h"
#include "body.h"
#include "fs.h"
#include "lock.h"
#include "replace.h"
#include "sum.h"
#include "tree.h"
#include "upload_store.h"
#include "walk.h"

static char top[64];


static void
write_file(const char *path, const char *text)
{
    int fd;
    char real[256];

    snprintf(real, sizeof(real), "%s%s", top, path);
    fd = open(real, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_int_not_equal(fd, -1);
    assert_int_equal(agent_fs_write(fd, text, strlen(text)), 0);
    close(fd);
}


static char *
read_file(const char *path)
{
    int fd;
    ssize_t n;
    char real[256];
    static char text[4096];

    snprintf(real, sizeof(real), "%s%s", top, path);
    fd = open(real, O_RDONLY);
    if (fd == -1) {
        return NULL;
    }

    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';

    return text;
}


static int
setup(void **state)
{
    char path[128];

    (void) state;
    strcpy(top, "/tmp/test-agent-files-XXXXXX");

    if (mkdtemp(top) == NULL) {
        return -1;
    }

    agent_fs_set_root(top);
    snprintf(path, sizeof(path), "%s/d", top);

    return mkdir(path, 0755);
}


static int
teardown(void **state)
{
    (void) state;
    agent_fs_set_root("/");

    return agent_tree_remove(AT_FDCWD, top);
}


/* --- conditions --------------------------------------------------------- */

static void
range(const char *value, int64_t size, agent_range_t want, int64_t first,
      int64_t len)
{
    int64_t a, b;

    a = b = -1;
    assert_int_equal(agent_range(value, size, &a, &b), want);

    if (want == AGENT_RANGE_PART) {
        assert_int_equal(a, first);
        assert_int_equal(b, len);
    }
}


static void
test_ranges(void **state)
{
    (void) state;
    range(NULL, 10, AGENT_RANGE_ALL, 0, 0);
    range("bytes=0-0", 10, AGENT_RANGE_PART, 0, 1);
    range("bytes=2-4", 10, AGENT_RANGE_PART, 2, 3);
    range("bytes=2-", 10, AGENT_RANGE_PART, 2, 8);
    range("Bytes= 2-99", 10, AGENT_RANGE_PART, 2, 8);
    range("bytes=-3", 10, AGENT_RANGE_PART, 7, 3);
    range("bytes=-99", 10, AGENT_RANGE_PART, 0, 10);
    range("bytes=9-99999999999999999999999", 10, AGENT_RANGE_PART, 9, 1);
    range("bytes=10-", 10, AGENT_RANGE_BAD, 0, 0);
    range("bytes=99999999999999999999999-", 10, AGENT_RANGE_BAD, 0, 0);
    range("bytes=-0", 10, AGENT_RANGE_BAD, 0, 0);
    range("bytes=0-", 0, AGENT_RANGE_BAD, 0, 0);
    range("bytes=-5", 0, AGENT_RANGE_BAD, 0, 0);
    range("bytes=4-2", 10, AGENT_RANGE_ALL, 0, 0);
    range("bytes=0-1,3-4", 10, AGENT_RANGE_ALL, 0, 0);
    range("bytes=", 10, AGENT_RANGE_ALL, 0, 0);
    range("bytes=-", 10, AGENT_RANGE_ALL, 0, 0);
    range("lines=0-1", 10, AGENT_RANGE_ALL, 0, 0);
}


static unsigned
conditions(const char *match, const char *none, const char *since, int reads)
{
    agent_conditions_t c;

    memset(&c, 0, sizeof(c));
    c.match = match;
    c.none_match = none;
    c.modified_since = since;

    return agent_conditions(&c, "\"a\"", 784111777, reads);
}


static void
test_conditions(void **state)
{
    agent_conditions_t c;
    char date[AGENT_DATE_SIZE];

    (void) state;
    agent_date(date, 784111777);
    assert_string_equal(date, "Sun, 06 Nov 1994 08:49:37 GMT");

    assert_int_equal(conditions(NULL, NULL, NULL, 1), 0);
    assert_int_equal(conditions("\"a\"", NULL, NULL, 0), 0);
    assert_int_equal(conditions("\"b\" , \"a\"", NULL, NULL, 0), 0);
    assert_int_equal(conditions("*", NULL, NULL, 0), 0);
    assert_int_equal(conditions("W/\"a\"", NULL, NULL, 0), 412);
    assert_int_equal(conditions("\"b\"", NULL, NULL, 1), 412);
    assert_int_equal(conditions("\"a", NULL, NULL, 1), 412);
    assert_int_equal(conditions(NULL, "W/\"a\"", NULL, 1), 304);
    assert_int_equal(conditions(NULL, "\"a\"", NULL, 0), 412);
    assert_int_equal(conditions(NULL, "\"b\"", date, 1), 0);
    assert_int_equal(conditions(NULL, "*", NULL, 0), 412);
    assert_int_equal(conditions(NULL, NULL, date, 1), 304);
    assert_int_equal(conditions(NULL, NULL, date, 0), 0);
    assert_int_equal(conditions(NULL, NULL, "Sun, 06 Nov 1994 08:49:36 GMT", 1),
                     0);
    assert_int_equal(conditions(NULL, NULL, "Mon, 06 Nov 1994 08:49:38 GMT", 1),
                     0);
    assert_int_equal(conditions(NULL, NULL, "yesterday", 1), 0);

    memset(&c, 0, sizeof(c));
    c.none_match = "*";
    assert_int_equal(agent_conditions(&c, NULL, 0, 0), 0);
    c.none_match = NULL;
    c.match = "*";
    assert_int_equal(agent_conditions(&c, NULL, 0, 0), 412);
}


/* --- parameters --------------------------------------------------------- */

static void
test_fields(void **state)
{
    int yes;
    mode_t mode;
    unsigned limit;
    char path[SANDBOX_PATH_MAX], user[AGENT_USER_SIZE];
    char sha256[AGENT_SHA256_HEX_SIZE];

    (void) state;
    assert_null(agent_field_text(AGENT_FIELD_PATH, path, "/a//b/../c"));
    assert_string_equal(path, "/a/c");
    assert_non_null(agent_field_text(AGENT_FIELD_PATH, path, "a"));
    assert_non_null(agent_field_text(AGENT_FIELD_PATH, path, "/.."));
    assert_non_null(agent_field_text(AGENT_FIELD_PATH, path,
                                     "/workspace/x/../.nullspace/uploads"));
    assert_null(
        agent_field_text(AGENT_FIELD_PATH, path, "/workspace/.nullspacex"));

    assert_null(agent_field_text(AGENT_FIELD_MODE, &mode, "0644"));
    assert_int_equal(mode, 0644);
    assert_null(agent_field_text(AGENT_FIELD_MODE, &mode, "04755"));
    assert_int_equal(mode, 04755);
    assert_non_null(agent_field_text(AGENT_FIELD_MODE, &mode, "77777"));
    assert_non_null(agent_field_text(AGENT_FIELD_MODE, &mode, "0o644"));
    assert_non_null(agent_field_text(AGENT_FIELD_MODE, &mode, ""));

    assert_null(agent_field_text(AGENT_FIELD_BOOL, &yes, "true"));
    assert_int_equal(yes, 1);
    assert_non_null(agent_field_text(AGENT_FIELD_BOOL, &yes, "1"));
    assert_null(agent_field_text(AGENT_FIELD_LIMIT, &limit, "10000"));
    assert_int_equal(limit, 10000);
    assert_non_null(agent_field_text(AGENT_FIELD_LIMIT, &limit, "10001"));
    assert_non_null(agent_field_text(AGENT_FIELD_LIMIT, &limit, "0"));
    assert_non_null(agent_field_text(AGENT_FIELD_LIMIT, &limit, "-1"));
    assert_non_null(agent_field_text(AGENT_FIELD_USER, user, ""));

    assert_int_equal(
        agent_sha256_read(sha256, "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B"
                                  "934CA495991B7852B855"),
        0);
    assert_int_equal(sha256[0], 'e');
    assert_int_equal(agent_sha256_read(sha256, "e3b0"), -1);
}


static agent_body_status_t
body(const char *text, agent_body_error_t *err)
{
    int64_t size;
    agent_body_status_t status;
    agent_parts_t parts;
    char path[SANDBOX_PATH_MAX];
    agent_field_t fields[] = {
        { .name = "path",
          .kind = AGENT_FIELD_PATH,
          .value = path,
          .required = 1 },
        { .name = "size", .kind = AGENT_FIELD_SIZE, .value = &size },
        { .name = "parts", .kind = AGENT_FIELD_PARTS, .value = &parts },
    };

    memset(&parts, 0, sizeof(parts));
    memset(err, 0, sizeof(*err));
    status = agent_body_parse(fields, 3, text, strlen(text), err);
    free(parts.list);

    return status;
}


static void
test_bodies(void **state)
{
    size_t i;
    agent_body_error_t err;
    agent_body_status_t status;
    static const struct {
        const char *text;
        const char *field;
    } bad[] = {
        { "", "path" },
        { "{}", "path" },
        { "{\"path\":null}", "path" },
        { "[]", "body" },
        { "{\"path\":1}", "path" },
        { "{\"path\":\"/a\\u0000\"}", "body" },
        { "{\"path\":\"/a\",\"size\":-1}", "size" },
        { "{\"path\":\"/a\",\"size\":1.5}", "size" },
        { "{\"path\":\"/a\",\"x\":1}", "x" },
        { "{\"path\":\"/a\",\"parts\":[]}", "parts" },
        { "{\"path\":\"/a\",\"parts\":[1]}", "parts" },
        { "{\"path\":\"/a\",\"parts\":[{\"part\":0}]}", "parts" },
        { "{\"path\":\"/a\",\"parts\":[{\"part\":10001}]}", "parts" },
        { "{\"path\":\"/a\",\"parts\":[{\"part\":2},{\"part\":2}]}", "parts" },
        { "{\"path\":\"/a\",\"parts\":[{\"part\":1,\"x\":1}]}", "parts" },
        { "{\"path\":\"/a\",\"parts\":[{\"part\":null}]}", "parts" },
        { "{\"path\":\"/a\","
          "\"parts\":[{\"part\":1,\"sha256\":null,\"x\":1}]}",
          "parts" },
        { "{\"path\":\"/a\",\"parts\":[{\"part\":1,\"sha256\":\"a\"}]}",
          "parts" },
    };

    (void) state;
    assert_int_equal(body("{\"path\":\"/a\",\"size\":null,"
                          "\"parts\":[{\"part\":1},"
                          "{\"part\":3,\"sha256\":null}]}",
                          &err),
                     AGENT_BODY_OK);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        status = body(bad[i].text, &err);
        assert_true(status == AGENT_BODY_INVALID
                    || status == AGENT_BODY_NOT_JSON);
        if (status == AGENT_BODY_INVALID) {
            assert_string_equal(err.field, bad[i].field);
        }
        assert_true(err.reason[0] != '\0');
    }
}


static void
test_archive_names(void **state)
{
    char path[SANDBOX_PATH_MAX], name[SANDBOX_PATH_MAX + 8];

    (void) state;
    assert_null(agent_archive_name(path, "./a//b/"));
    assert_string_equal(path, "/a/b");
    assert_null(agent_archive_name(path, "/etc/passwd"));
    assert_string_equal(path, "/etc/passwd");
    assert_null(agent_archive_name(path, "..a/b.."));
    assert_null(agent_archive_name(path, "./"));
    assert_string_equal(path, "/");
    assert_non_null(agent_archive_name(path, "../a"));
    assert_non_null(agent_archive_name(path, "a/../b"));
    assert_non_null(agent_archive_name(path, "a/.."));
    assert_non_null(agent_archive_name(path, ""));
    assert_non_null(agent_archive_name(path, NULL));

    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    assert_non_null(agent_archive_name(path, name));
    name[300] = '\0';
    assert_non_null(agent_archive_name(path, name));
}


/* --- paths -------------------------------------------------------------- */

static void
test_root(void **state)
{
    int fd, root;
    char where[SANDBOX_PATH_MAX], link[160];
    struct stat st;

    (void) state;
    write_file("/d/file", "text");
    snprintf(link, sizeof(link), "%s/up", top);
    assert_int_equal(symlink("/../../../../d", link), 0);
    snprintf(link, sizeof(link), "%s/out", top);
    assert_int_equal(symlink("../../../../etc/passwd", link), 0);
    snprintf(link, sizeof(link), "%s/self", top);
    assert_int_equal(symlink("self", link), 0);
    snprintf(link, sizeof(link), "%s/fifo", top);
    assert_int_equal(mkfifo(link, 0600), 0);

    root = agent_fs_root();
    assert_int_not_equal(root, -1);

    fd = agent_fs_open_file(root, "/up/file", &st);
    assert_int_not_equal(fd, -1);
    assert_int_equal(st.st_size, 4);
    assert_int_equal(agent_fs_where(root, fd, where), 0);
    assert_string_equal(where, "/d/file");
    close(fd);

    assert_int_equal(agent_fs_open_file(root, "/out", &st), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(agent_fs_open_file(root, "/self", &st), -1);
    assert_int_equal(errno, ELOOP);
    assert_int_equal(agent_fs_open_file(root, "/fifo", &st), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(agent_fs_open_file(root, "/d", &st), -1);
    assert_int_equal(errno, EISDIR);

    assert_int_equal(agent_fs_mkdirs(root, "/up/x/y", 0755), 0);
    assert_int_equal(agent_fs_mkdirs(root, "/d/x/y", 0755), 0);
    assert_int_equal(agent_fs_mkdirs(root, "/d/file/y", 0755), -1);
    assert_int_equal(errno, ENOTDIR);
    assert_int_equal(agent_fs_mkdirs(root, "", 0755), 0);
    close(root);
}


static void
test_mkdir(void **state)
{
    int root;
    char link[160];
    mode_t mode;

    (void) state;
    root = agent_fs_root();
    write_file("/d/file", "");
    mode = 0700;
    assert_int_equal(agent_fs_mkdir(root, "/d/a/b", &mode, 0), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(agent_fs_mkdir(root, "/d/a/b", &mode, 1), 1);

    /* One that is there keeps its mode. */
    mode = 0755;
    assert_int_equal(agent_fs_mkdir(root, "/d/a/b", &mode, 0), -1);
    assert_int_equal(errno, EEXIST);
    assert_int_equal(agent_fs_mkdir(root, "/d/a/b", &mode, 1), 0);
    assert_int_equal(mode & 07777, 0700);
    assert_int_equal(agent_fs_mkdir(root, "/", &mode, 0), -1);
    assert_int_equal(errno, EEXIST);
    assert_int_equal(agent_fs_mkdir(root, "/", &mode, 1), 0);

    snprintf(link, sizeof(link), "%s/d/link", top);
    assert_int_equal(symlink("a", link), 0);
    assert_int_equal(agent_fs_mkdir(root, "/d/link", &mode, 1), 0);
    assert_int_equal(agent_fs_mkdir(root, "/d/file", &mode, 1), -1);
    assert_int_equal(errno, EEXIST);

    assert_int_equal(agent_fs_mkdirs_own(root, AGENT_FS_PRIVATE "/x", 0700), 0);
    snprintf(link, sizeof(link), "%s/d/secret", top);
    assert_int_equal(symlink(AGENT_FS_PRIVATE, link), 0);
    assert_int_equal(agent_fs_mkdir(root, "/d/secret", &mode, 1), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(agent_fs_mkdir(root, "/d/secret/y", &mode, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(agent_fs_mkdir(root, "/d/secret/y/z", &mode, 1), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(agent_fs_mkdirs(root, "/d/secret/y", 0755), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(agent_fs_open(root, "/d/secret/y", O_PATH, 0), -1);
    assert_int_equal(errno, ENOENT);
    close(root);
}


static void
test_private(void **state)
{
    int fd, root;
    char link[160];
    agent_replace_t p;

    (void) state;
    root = agent_fs_root();
    assert_int_equal(agent_fs_mkdirs_own(root, AGENT_FS_PRIVATE "/x", 0700), 0);
    snprintf(link, sizeof(link), "%s/d/secret", top);
    assert_int_equal(symlink(AGENT_FS_PRIVATE, link), 0);

    fd = agent_fs_open(root, "/d/secret/x", O_PATH, 0);
    assert_int_not_equal(fd, -1);
    assert_true(agent_fs_is_private(fd));
    close(fd);

    assert_int_equal(
        agent_replace_find(&p, root, "/d/secret/x/f", AGENT_REPLACE_FOLLOW),
        -1);
    assert_int_equal(errno, EPERM);

    fd = agent_fs_open(root, "/workspace", O_PATH, 0);
    assert_false(agent_fs_is_private(fd));
    assert_true(agent_fs_is_private_at(fd, ".nullspace"));
    assert_false(agent_fs_is_private_at(fd, ".nullspacex"));
    close(fd);

    /* also where an image has a link for the directory that it is in */
    assert_int_equal(renameat(root, "workspace", root, "d/real"), 0);
    assert_int_equal(symlinkat("d/real", root, "workspace"), 0);
    fd = agent_fs_open(root, "/d/real/.nullspace/x", O_PATH, 0);
    assert_int_not_equal(fd, -1);
    assert_true(agent_fs_is_private(fd));
    close(fd);
    fd = agent_fs_open(root, "/d", O_PATH, 0);
    assert_false(agent_fs_is_private_at(fd, "real"));
    assert_false(agent_fs_is_private_at(fd, ".nullspace"));
    close(fd);
    close(root);
}


/* --- replacing ---------------------------------------------------------- */

static int
count(const char *path)
{
    int n, rc, root;
    agent_walk_t w;

    root = agent_fs_root();
    n = agent_fs_open(root, path, O_RDONLY | O_DIRECTORY, 0);
    assert_int_equal(agent_walk_begin(&w, n, 1, 0), 0);

    for (n = 0; (rc = agent_walk_next(&w)) == 1; n += !w.leaves) {
        /* counted */
    }

    assert_int_equal(rc, 0);
    agent_walk_end(&w);
    close(root);

    return n;
}


/* A file that others replace all the time is found under its own name. */
static void
test_replace_busy(void **state)
{
    int i, fd, root, status;
    char path[3][160];
    pid_t child;
    agent_replace_t p;

    (void) state;
    root = agent_fs_root();
    snprintf(path[0], sizeof(path[0]), "%s/d/busy", top);
    snprintf(path[1], sizeof(path[1]), "%s/d/next", top);
    snprintf(path[2], sizeof(path[2]), "%s/d/leads", top);
    assert_int_equal(symlink("busy", path[2]), 0);

    child = fork();
    assert_int_not_equal(child, -1);

    if (child == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) alarm(60);
    }

    while (child == 0) {
        fd = open(path[1], O_WRONLY | O_CREAT, 0600);
        if (fd == -1 || close(fd) == -1 || rename(path[1], path[0]) == -1) {
            _exit(1);
        }
    }

    while (access(path[0], F_OK) == -1) {
        assert_int_equal(waitpid(child, &status, WNOHANG), 0);
    }

    for (i = 0; i < 4000; i++) {
        if (agent_replace_find(&p, root, i % 2 ? "/d/busy" : "/d/leads",
                               AGENT_REPLACE_FOLLOW)
            == 0)
        {
            assert_string_equal(p.name, "busy");
            agent_replace_abort(&p);
        } else {
            assert_int_equal(errno, EBUSY);
        }
    }

    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    (void) unlink(path[1]);
    assert_int_equal(unlink(path[0]), 0);
    assert_int_equal(unlink(path[2]), 0);
    close(root);
}


/* What is the same file already stays, under both names and no other. */
static void
test_replace_hard(void **state)
{
    int dir, root;
    char path[2][160];
    agent_replace_t p;

    (void) state;
    root = agent_fs_root();
    dir = agent_fs_open(root, "/d", O_RDONLY | O_DIRECTORY, 0);
    snprintf(path[0], sizeof(path[0]), "%s/d/a", top);
    snprintf(path[1], sizeof(path[1]), "%s/d/b", top);
    close(open(path[0], O_WRONLY | O_CREAT, 0600));
    assert_int_equal(link(path[0], path[1]), 0);

    assert_int_equal(agent_replace_find(&p, root, "/d/b", AGENT_REPLACE_LINK),
                     0);
    assert_int_equal(agent_replace_hard(&p, dir, "a"), 0);
    assert_int_equal(agent_replace_commit(&p, 0), 0);
    assert_int_equal(count("/d"), 2);

    assert_int_equal(agent_replace_find(&p, root, "/d/b", AGENT_REPLACE_LINK),
                     0);
    assert_int_equal(agent_replace_hard(&p, dir, "none"), -1);
    agent_replace_abort(&p);
    assert_int_equal(count("/d"), 2);

    assert_int_equal(unlink(path[0]), 0);
    assert_int_equal(unlink(path[1]), 0);
    close(dir);
    close(root);
}


/* What a process says that wants the locks of two directories. */
static int
lock_errno(int dir, int other)
{
    int status;
    pid_t pid;

    pid = fork();
    assert_int_not_equal(pid, -1);

    if (pid == 0) {
        _exit(agent_lock_both(dir, other) == 0 ? 0 : errno);
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));

    return WEXITSTATUS(status);
}


/* One at a time in a directory, whatever the guest locks; and not for ever. */
static void
test_lock(void **state)
{
    int d, e, root;

    (void) state;
    assert_int_equal(agent_lock_open(), 0);
    root = agent_fs_root();
    assert_int_equal(agent_fs_mkdirs(root, "/e", 0755), 0);
    d = agent_fs_open(root, "/d", O_RDONLY | O_DIRECTORY, 0);
    e = agent_fs_open(root, "/e", O_PATH | O_DIRECTORY, 0);

    assert_int_equal(flock(d, LOCK_EX), 0);
    assert_int_equal(lock_errno(d, e), 0);

    assert_int_equal(agent_lock(d), 0);
    assert_int_equal(agent_lock(d), 0); /* it is ours */
    assert_int_equal(lock_errno(e, e), 0);
    assert_int_equal(lock_errno(d, e), ETIME);
    agent_unlock();
    assert_int_equal(lock_errno(e, d), 0);

    close(d);
    close(e);
    close(root);
}


static void
test_replace(void **state)
{
    int root;
    char link[160];
    struct stat st;
    agent_replace_t p;

    (void) state;
    root = agent_fs_root();

    /* a new one; nothing is seen before, and nothing is left of one given up */
    assert_int_equal(agent_replace_find(&p, root, "/d/f", AGENT_REPLACE_FOLLOW),
                     0);
    assert_false(p.exists);
    assert_int_equal(agent_replace_open(&p), 0);
    assert_int_equal(agent_fs_write(p.fd, "one", 3), 0);
    assert_int_equal(count("/d"), 0);
    agent_replace_abort(&p);
    assert_int_equal(count("/d"), 0);

    assert_int_equal(agent_replace_find(&p, root, "/d/f", AGENT_REPLACE_FOLLOW),
                     0);
    assert_int_equal(agent_replace_open(&p), 0);
    assert_int_equal(agent_fs_write(p.fd, "one", 3), 0);
    assert_int_equal(agent_replace_commit(&p, 1), 0);
    assert_string_equal(read_file("/d/f"), "one");

    /* an old one, with its mode, by a link */
    snprintf(link, sizeof(link), "%s/d/f", top);
    assert_int_equal(chmod(link, 0751), 0);
    snprintf(link, sizeof(link), "%s/l", top);
    assert_int_equal(symlink("d/f", link), 0);
    assert_int_equal(agent_replace_find(&p, root, "/l", AGENT_REPLACE_FOLLOW),
                     0);
    assert_true(p.exists);
    assert_int_equal(agent_replace_open(&p), 0);
    assert_int_equal(agent_fs_write(p.fd, "two", 3), 0);
    assert_string_equal(read_file("/d/f"), "one");
    assert_int_equal(agent_replace_commit(&p, 0), 0);
    assert_string_equal(read_file("/d/f"), "two");
    assert_int_equal(count("/d"), 1);
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(link, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0751);

    /* exclusively */
    assert_int_equal(agent_replace_find(&p, root, "/d/f", AGENT_REPLACE_FOLLOW),
                     0);
    assert_int_equal(agent_replace_open(&p), 0);
    assert_int_equal(agent_replace_commit(&p, 1), -1);
    assert_int_equal(errno, EEXIST);
    assert_int_equal(count("/d"), 1);

    /* the link itself */
    assert_int_equal(agent_replace_find(&p, root, "/l", AGENT_REPLACE_LINK), 0);
    assert_int_equal(agent_replace_open(&p), 0);
    assert_int_equal(agent_replace_commit(&p, 0), 0);
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_string_equal(read_file("/d/f"), "two");

    assert_int_equal(agent_replace_find(&p, root, "/d", AGENT_REPLACE_FOLLOW),
                     -1);
    assert_int_equal(errno, EISDIR);
    assert_int_equal(agent_replace_find(&p, root, "/", AGENT_REPLACE_FOLLOW),
                     -1);
    assert_int_equal(
        agent_replace_find(&p, root, "/none/f", AGENT_REPLACE_FOLLOW), -1);
    assert_int_equal(errno, ENOENT);
    close(root);
}


/* --- walking ------------------------------------------------------------ */

static void
walk(const char *path, int recursive, size_t keep, const char *want)
{
    int fd, rc, root;
    char got[2 * SANDBOX_PATH_MAX];
    static agent_walk_t w;

    root = agent_fs_root();
    fd = agent_fs_open(root, path, O_RDONLY | O_DIRECTORY, 0);
    assert_int_not_equal(fd, -1);
    assert_int_equal(agent_walk_begin(&w, fd, recursive, keep), 0);

    got[0] = '\0';
    while ((rc = agent_walk_next(&w)) == 1) {
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s ", w.path,
                 w.leaves ? "<" : "");
    }

    assert_int_equal(rc, 0);
    assert_string_equal(got, want);
    agent_walk_end(&w);
    close(root);
}


static void
test_walk(void **state)
{
    int root;
    char link[160];

    (void) state;
    root = agent_fs_root();
    assert_int_equal(agent_fs_mkdirs(root, "/d/b/c", 0755), 0);
    assert_int_equal(agent_fs_mkdirs_own(root, AGENT_FS_PRIVATE "/x", 0700), 0);
    write_file("/d/a", "");
    write_file("/d/b/2", "");
    write_file("/d/b/1", "");
    write_file("/d/c", "");
    snprintf(link, sizeof(link), "%s/d/d", top);
    assert_int_equal(symlink("b", link), 0);

    walk("/d", 0, 10, "a b c d ");
    walk("/d", 1, 10, "a b b/1 b/2 b/c c d ");
    walk("/d", 1, 2, "a b b/1 b/2 ");
    walk("/d/b/c", 1, 0, "");
    walk("/workspace", 1, 0, "");
    walk("/d/b", 0, 1, "1 ");
    close(root);
}


/* Deeper than it goes, and longer than a path can be. */
static void
test_walk_deep(void **state)
{
    int i, fd, next, rc, root;
    static agent_walk_t w;

    (void) state;
    root = agent_fs_root();
    fd = agent_fs_open(root, "/d", O_RDONLY | O_DIRECTORY, 0);

    for (i = 0; i < AGENT_WALK_DEPTH + 10; i++) {
        assert_int_equal(mkdirat(fd, "a", 0755), 0);
        next = openat(fd, "a", O_RDONLY | O_DIRECTORY);
        close(fd);
        fd = next;
    }

    close(fd);
    fd = agent_fs_open(root, "/d", O_RDONLY | O_DIRECTORY, 0);
    assert_int_equal(agent_walk_begin(&w, fd, 1, 5), 0);
    for (i = 0; (rc = agent_walk_next(&w)) == 1; i++) {
        /* counted */
    }
    assert_int_equal(rc, 0);
    assert_int_equal(i, AGENT_WALK_DEPTH);
    assert_true(w.cut);
    agent_walk_end(&w);

    fd = agent_fs_open(root, "/", O_RDONLY | O_DIRECTORY, 0);
    assert_int_equal(agent_tree_remove(fd, "d"), -1);
    assert_int_equal(errno, ENAMETOOLONG);

    /* one that is within bounds goes, and links are not followed */
    assert_int_equal(
        renameat(fd, "d/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", fd, "half"), 0);
    assert_int_equal(agent_tree_remove(fd, "half"), 0);
    assert_int_equal(symlinkat("d", fd, "link"), 0);
    assert_int_equal(agent_tree_remove(fd, "link"), 0);
    assert_int_equal(faccessat(fd, "d", F_OK, 0), 0);
    assert_int_equal(agent_tree_remove(fd, "d"), 0);
    assert_int_equal(agent_tree_remove(fd, "d"), -1);
    assert_int_equal(errno, ENOENT);
    close(fd);
    close(root);
}


/* --- uploads ------------------------------------------------------------ */

static void
put_part(const agent_upload_t *u, const char *name, const char *text)
{
    uint8_t raw[AGENT_SHA256_LEN];
    char all[256];
    struct sha256_ctx sum;

    sha256_init(&sum);
    sha256_update(&sum, strlen(text), (const uint8_t *) text);
    sha256_digest(&sum, sizeof(raw), raw);

    memcpy(all, text, strlen(text));
    memcpy(all + strlen(text), raw, sizeof(raw));
    assert_int_equal(
        agent_upload_write(u->parts, name, all, strlen(text) + sizeof(raw)), 0);
}


static void
test_uploads(void **state)
{
    int i, store;
    char id[AGENT_UPLOAD_ID_SIZE], other[AGENT_UPLOAD_ID_SIZE];
    char path[256], *text;
    agent_upload_t u;
    agent_upload_part_t *parts;
    struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };
    static const char request[] = "{\"path\":\"/d/f\",\"size\":3}";

    (void) state;
    store = agent_upload_store();
    assert_int_not_equal(store, -1);

    agent_upload_id(id, "key", 3);
    agent_upload_id(other, "kez", 3);
    assert_string_not_equal(id, other);
    assert_int_equal(strlen(id), AGENT_UPLOAD_ID_SIZE - 1);

    assert_int_equal(agent_upload_open(&u, store, id), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(agent_upload_open(&u, store, "../../etc"), -1);

    assert_int_equal(agent_upload_make(store, id, request, "{}"), 0);
    assert_int_equal(agent_upload_make(store, id, request, "{}"), 1);
    assert_int_equal(agent_upload_open(&u, store, id), 0);
    assert_string_equal(u.request.path, "/d/f");
    assert_int_equal(u.request.size, 3);
    assert_false(u.completed);

    put_part(&u, "00002", "bc");
    put_part(&u, "00001", "x");
    put_part(&u, "00001", "a");
    assert_int_equal(agent_upload_parts(&u, &parts), 2);
    assert_int_equal(parts[0].number, 1);
    assert_int_equal(parts[1].size, 2);
    assert_memory_equal(parts[0].sha256, "ca978112ca1bbdcafac231b39a23dc4d",
                        32);
    free(parts);
    text = agent_upload_text(u.dir, "request");
    assert_string_equal(text, request);
    free(text);

    /* what cannot be read is not an empty text */
    assert_null(agent_upload_text(u.dir, "parts"));
    assert_int_equal(errno, EISDIR);
    assert_null(agent_upload_text(u.dir, "none"));
    assert_int_equal(errno, ENOENT);
    agent_upload_close(&u);

    /* it expires, is not found, and is swept */
    snprintf(path, sizeof(path), "%s" AGENT_FS_PRIVATE "/uploads/%s/parts", top,
             id);
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    assert_int_equal(agent_upload_open(&u, store, id), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(agent_upload_make(store, other, request, "{}"), 0);
    agent_upload_sweep(store);
    assert_int_equal(faccessat(store, id, F_OK, 0), -1);
    assert_int_equal(faccessat(store, other, F_OK, 0), 0);

    for (i = 1; i < AGENT_UPLOAD_OPEN_MAX; i++) {
        snprintf(path, sizeof(path), "key%d", i);
        agent_upload_id(id, path, strlen(path));
        assert_int_equal(agent_upload_make(store, id, request, "{}"), 0);
    }

    assert_int_equal(agent_upload_make(store, "upl_a", request, "{}"), -1);
    assert_int_equal(errno, EMFILE);
    close(store);
}


int
main(void)
{
#define IN_ROOM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_archive_names),
        IN_ROOM(test_root),
        IN_ROOM(test_lock),
        IN_ROOM(test_mkdir),
        IN_ROOM(test_private),
        IN_ROOM(test_replace_busy),
        IN_ROOM(test_replace_hard),
        IN_ROOM(test_replace),
        IN_ROOM(test_walk),
        IN_ROOM(test_walk_deep),
        IN_ROOM(test_uploads),
    };

    return cmocka_run_group_tests_name("agent files", tests, NULL, NULL);
}
