/*
 * Directories as tar archives, both ways, by workers; libarchive knows the
 * format.  Where entries go is decided here: the kernel resolves each name
 * below the directory that is unpacked into, so that neither ".." nor a link of
 * the archive, nor one that was there before, leads out of it.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "archive_name.h"
#include "fault.h"
#include "file_params.h"
#include "file_routes.h"
#include "fs.h"
#include "worker.h"
#include "replace.h"
#include "walk.h"

#define ARCHIVE_PIECE 65536

typedef struct {
    char path[SANDBOX_PATH_MAX];
    char user[AGENT_USER_SIZE];
    int has_user;
    uid_t uid;
    gid_t gid;
} archive_t;

/* An archive that is being unpacked. */
typedef struct {
    int peer;
    int top;
    char where[SANDBOX_PATH_MAX]; /* the path of top */
    const archive_t *archive;
    int64_t entries;
    int64_t bytes;
    int gone; /* the client has left */
    char piece[ARCHIVE_PIECE];
} unpack_t;


/* --- packing ------------------------------------------------------------ */

static la_ssize_t
pack_write(struct archive *a, void *data, const void *buf, size_t len)
{
    const int *peer = data;

    if (agent_worker_write(*peer, buf, len) == -1) {
        archive_set_error(a, EPIPE, "the client has gone");
        return -1;
    }

    return (la_ssize_t) len;
}


/* Packs the bytes of a file; zeros stand for what it has lost meanwhile. */
static int
pack_data(struct archive *a, int fd)
{
    ssize_t n;
    static char piece[ARCHIVE_PIECE];

    while ((n = read(fd, piece, sizeof(piece))) > 0) {
        n = archive_write_data(a, piece, (size_t) n);

        if (n <= 0) {
            return n == 0 ? 0 : -1; /* the file has grown since */
        }
    }

    return n == -1 ? -1 : 0;
}


/* Packs the current entry; devices, FIFOs and sockets are left out. */
static int
pack_entry(struct archive *a, struct archive_entry *entry, agent_walk_t *w)
{
    int fd, rc;
    ssize_t n;
    char target[SANDBOX_PATH_MAX];

    archive_entry_clear(entry);
    archive_entry_copy_pathname(entry, w->path);
    archive_entry_copy_stat(entry, &w->st);
    archive_entry_set_nlink(entry, 1);
    fd = -1;

    if (S_ISLNK(w->st.st_mode)) {
        n = readlinkat(w->dir, w->name, target, sizeof(target) - 1);
        if (n == -1) {
            return 0;
        }

        target[n] = '\0';
        archive_entry_copy_symlink(entry, target);
        archive_entry_set_size(entry, 0);

    } else if (S_ISREG(w->st.st_mode)) {
        fd = openat(w->dir, w->name,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd == -1) {
            return 0; /* the file was removed meanwhile */
        }

    } else if (!S_ISDIR(w->st.st_mode)) {
        return 0;
    }

    rc = archive_write_header(a, entry) < ARCHIVE_WARN ? -1 : 0;

    if (fd != -1) {
        rc = rc == 0 ? pack_data(a, fd) : rc;
        close(fd);
    }

    return rc;
}


static int
pack_all(int peer, agent_walk_t *w)
{
    int rc;
    struct archive *a;
    struct archive_entry *entry;

    a = archive_write_new();
    entry = archive_entry_new();
    rc = -1;

    if (a != NULL && entry != NULL
        && archive_write_set_format_gnutar(a) == ARCHIVE_OK
        && archive_write_set_bytes_in_last_block(a, 512) == ARCHIVE_OK
        && archive_write_open(a, &peer, NULL, pack_write, NULL) == ARCHIVE_OK)
    {
        while ((rc = agent_walk_next(w)) == 1) {
            if (!w->leaves && pack_entry(a, entry, w) == -1) {
                rc = -1;
                break;
            }
        }

        if (rc == 0) {
            rc = archive_write_close(a) == ARCHIVE_OK ? 0 : -1;
        } else {
            (void) archive_write_fail(a); /* the archive gets no end */
        }
    }

    archive_entry_free(entry);
    archive_write_free(a);

    return rc;
}


static void
pack_run(int peer, void *data)
{
    int fd, root;
    archive_t *archive = data;
    static agent_walk_t w;

    root = agent_fs_root();
    fd = root == -1 ? -1 : agent_fs_open_dir(root, archive->path);

    if (fd == -1) {
        agent_worker_fault(peer, errno);

    } else if (agent_walk_begin(&w, fd, 1, 0) == -1) {
        agent_worker_fault(peer, errno);

    } else if (agent_worker_begin(peer, 200, -1, "application/x-tar") == 0
               && pack_all(peer, &w) == 0)
    {
        agent_worker_end(peer);
    }
}


void
agent_archive_get(agent_request_t *r)
{
    archive_t archive;

    memset(&archive, 0, sizeof(archive));

    if (agent_file_query_path(r, archive.path) == 0) {
        agent_worker_start(r, pack_run, &archive);
    }
}


/* --- unpacking ---------------------------------------------------------- */

static la_ssize_t
unpack_read(struct archive *a, void *data, const void **buf)
{
    ssize_t n;
    unpack_t *u = data;

    n = agent_worker_read(u->peer, u->piece, sizeof(u->piece));
    if (n == -1) {
        u->gone = 1;
        archive_set_error(a, errno, "the client has gone");
        return -1;
    }

    *buf = u->piece;

    return n;
}


/* Answers that the archive, or one entry of it, cannot be unpacked. */
static int
unpack_refuse(unpack_t *u, const char *name, const char *reason)
{
    if (name != NULL) {
        agent_worker_error(u->peer, 400, "invalid_request", "body", reason,
                           "The entry \"%.200s\" of the archive %s.", name,
                           reason);
    } else {
        agent_worker_error(u->peer, 400, "invalid_request", "body", reason,
                           "The archive %s.", reason);
    }

    return -1;
}


static int
unpack_private(unpack_t *u, const char *name)
{
    return unpack_refuse(u, name,
                         "lies in a directory that the sandbox keeps for "
                         "itself");
}


/* 1 if path, or what it is to lie in, is in the agent's private directory. */
static int
unpack_is_private(const unpack_t *u, const char *path)
{
    int dir, private;
    size_t len;
    const char *name;
    char part[SANDBOX_PATH_MAX];

    private = 0;

    for (len = 0; path[len] != '\0' && !private;) {
        len += 1 + strcspn(path + len + 1, "/");
        memcpy(part, path, len);
        part[len] = '\0';

        dir = agent_fs_parent(u->top, part, &name);
        if (dir == -1) {
            break;
        }

        private = agent_fs_is_private_at(dir, name);
        close(dir);
    }

    return private;
}


/* Answers for an errno that the entry name, to be unpacked at path, gave. */
static int
unpack_fault(unpack_t *u, const char *name, const char *path)
{
    int err;
    agent_fault_t fault;

    err = errno;

    if (err == EPERM && unpack_is_private(u, path)) {
        return unpack_private(u, name);
    }

    if (err == ENAMETOOLONG) {
        return unpack_refuse(u, name, "has a name that is too long");
    }

    agent_fault(&fault, err);
    agent_worker_error(u->peer, fault.status, fault.code, NULL, NULL,
                       "The entry \"%.200s\" of the archive was not unpacked. "
                       "%s",
                       name, fault.message);

    return -1;
}


static void
unpack_times(const struct archive_entry *entry, struct timespec times[2])
{
    struct archive_entry *e = (struct archive_entry *) (uintptr_t) entry;

    times[0].tv_sec = 0;
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_sec = archive_entry_mtime(e);
    times[1].tv_nsec = archive_entry_mtime_nsec(e);

    if (!archive_entry_mtime_is_set(e) || times[1].tv_nsec < 0
        || times[1].tv_nsec > 999999999)
    {
        times[1].tv_nsec = UTIME_OMIT;
    }
}


static void
unpack_owner(const unpack_t *u, struct archive_entry *entry, uid_t *uid,
             gid_t *gid)
{
    *uid = u->archive->has_user ? u->archive->uid
                                : (uid_t) archive_entry_uid(entry);
    *gid = u->archive->has_user ? u->archive->gid
                                : (gid_t) archive_entry_gid(entry);
}


static int
unpack_directory(unpack_t *u, struct archive_entry *entry, const char *path)
{
    int fd, rc;
    uid_t uid;
    gid_t gid;
    const char *name;

    name = archive_entry_pathname(entry);

    if (agent_fs_mkdirs(u->top, path, 0755) == -1) {
        return unpack_fault(u, name, path);
    }

    fd = agent_fs_open(u->top, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0);
    if (fd == -1) {
        return unpack_fault(u, name, path);
    }

    unpack_owner(u, entry, &uid, &gid);

    if (agent_fs_is_private(fd)) {
        rc = unpack_private(u, name);

    } else if (fchown(fd, uid, gid) == -1
               || fchmod(fd, archive_entry_perm(entry)) == -1)
    {
        rc = unpack_fault(u, name, path);
    } else {
        rc = 0;
    }

    close(fd);

    return rc;
}


/*
 * Writes the bytes of an entry to fd; 0, or -1 after an answer, or if the
 * client has gone.
 */
static int
unpack_data(unpack_t *u, struct archive *a, struct archive_entry *entry,
            const char *path, int fd)
{
    int rc;
    size_t len;
    const void *buf;
    la_int64_t at;

    while ((rc = archive_read_data_block(a, &buf, &len, &at)) >= ARCHIVE_WARN
           && rc != ARCHIVE_EOF)
    {
        /* holes of a sparse file stay holes */
        if (lseek(fd, at, SEEK_SET) == -1 || agent_fs_write(fd, buf, len) == -1)
        {
            return unpack_fault(u, archive_entry_pathname(entry), path);
        }

        u->bytes += (int64_t) len;
    }

    if (rc != ARCHIVE_EOF) {
        return u->gone ? -1 : unpack_refuse(u, NULL, "is damaged or cut off");
    }

    return 0;
}


static int
unpack_file(unpack_t *u, struct archive *a, struct archive_entry *entry,
            const char *path)
{
    int rc;
    uid_t uid;
    gid_t gid;
    const char *name;
    struct timespec times[2];
    agent_replace_t p;

    name = archive_entry_pathname(entry);

    if (agent_replace_find(&p, u->top, path, AGENT_REPLACE_LINK) == -1) {
        return unpack_fault(u, name, path);
    }

    rc = agent_replace_open(&p) == -1 ? unpack_fault(u, name, path)
                                      : unpack_data(u, a, entry, path, p.fd);

    if (rc == 0) {
        unpack_owner(u, entry, &uid, &gid);
        unpack_times(entry, times);

        if ((archive_entry_size_is_set(entry)
             && ftruncate(p.fd, archive_entry_size(entry)) == -1)
            || fchown(p.fd, uid, gid) == -1
            || fchmod(p.fd, archive_entry_perm(entry)) == -1
            || futimens(p.fd, times) == -1 || agent_replace_commit(&p, 0) == -1)
        {
            rc = unpack_fault(u, name, path);
        }
    }

    agent_replace_abort(&p);

    return rc;
}


/*
 * Makes a hard link to hard, or a symbolic one if hard is NULL; 0, or -1 with
 * errno set.
 */
static int
unpack_link_make(unpack_t *u, struct archive_entry *entry, agent_replace_t *p,
                 const char *hard)
{
    int from, rc, err;
    uid_t uid;
    gid_t gid;
    const char *name;

    if (hard == NULL) {
        unpack_owner(u, entry, &uid, &gid);
        return agent_replace_symlink(p, archive_entry_symlink(entry), uid, gid);
    }

    from = agent_fs_parent(u->top, hard, &name);
    if (from == -1) {
        return -1;
    }

    rc = agent_replace_hard(p, from, name);
    err = errno;
    close(from);
    errno = err;

    return rc;
}


/* Makes a link, as above, in place of the file that is there. */
static int
unpack_link(unpack_t *u, struct archive_entry *entry, const char *path,
            const char *hard)
{
    int rc;
    const char *name;
    agent_replace_t p;

    name = archive_entry_pathname(entry);

    if (hard != NULL && unpack_is_private(u, hard)) {
        return unpack_refuse(u, name,
                             "links to what the sandbox keeps for itself");
    }

    if (agent_replace_find(&p, u->top, path, AGENT_REPLACE_LINK) == -1) {
        return unpack_fault(u, name, path);
    }

    rc = unpack_link_make(u, entry, &p, hard);

    if (rc == 0) {
        rc = agent_replace_commit(&p, 0);
    }

    if (rc == -1) {
        (void) unpack_fault(u, name, path);
    }

    agent_replace_abort(&p);

    return rc;
}


static int
unpack_entry(unpack_t *u, struct archive *a, struct archive_entry *entry)
{
    const char *name, *reason, *link;
    char path[SANDBOX_PATH_MAX], above[SANDBOX_PATH_MAX];
    char target[SANDBOX_PATH_MAX], place[2 * SANDBOX_PATH_MAX];

    name = archive_entry_pathname(entry);
    reason = agent_archive_name(path, name);
    if (reason != NULL) {
        return unpack_refuse(u, name ? name : "", reason);
    }

    if (path[1] == '\0') {
        return 0; /* "./" */
    }

    snprintf(place, sizeof(place), "%s%s", u->where[1] ? u->where : "", path);

    if (sandbox_path_within(place, AGENT_FS_PRIVATE)) {
        return unpack_private(u, name);
    }

    agent_fs_above(above, path);

    if (agent_fs_mkdirs(u->top, above, 0755) == -1) {
        return unpack_fault(u, name, path);
    }

    link = archive_entry_hardlink(entry);
    if (link != NULL) {
        reason = agent_archive_name(target, link);
        return reason ? unpack_refuse(u, name, reason)
               : strcmp(target, path) == 0
                   ? 0
                   : unpack_link(u, entry, path, target);
    }

    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
        return unpack_file(u, a, entry, path);
    case AE_IFDIR:
        return unpack_directory(u, entry, path);
    case AE_IFLNK:
        if (archive_entry_symlink(entry) == NULL) {
            break;
        }
        return unpack_link(u, entry, path, NULL);
    default:
        break;
    }

    return unpack_refuse(u, name,
                         "is neither a file nor a directory nor a link");
}


/* Unpacks all entries; 0, or -1 after an answer, or if the client has gone. */
static int
unpack_all(unpack_t *u, struct archive *a)
{
    int rc;
    struct archive_entry *entry;

    if (archive_read_support_format_tar(a) < ARCHIVE_WARN
        || archive_read_open(a, u, NULL, unpack_read, NULL) < ARCHIVE_WARN)
    {
        return u->gone ? -1 : unpack_refuse(u, NULL, "is not a tar archive");
    }

    while ((rc = archive_read_next_header(a, &entry)) >= ARCHIVE_WARN
           && rc != ARCHIVE_EOF)
    {
        if (unpack_entry(u, a, entry) == -1) {
            return -1;
        }

        u->entries++;
    }

    if (rc != ARCHIVE_EOF) {
        return u->gone      ? -1
               : u->entries ? unpack_refuse(u, NULL, "is damaged or cut off")
                            : unpack_refuse(u, NULL, "is not a tar archive");
    }

    return 0;
}


static void
unpack_run(int peer, void *data)
{
    int root;
    archive_t *archive = data;
    struct archive *a;
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    static unpack_t u;

    u.peer = peer;
    u.archive = archive;

    root = agent_fs_root();
    u.top = root == -1 ? -1
                       : agent_fs_open(root, archive->path,
                                       O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0);

    if (u.top == -1 || agent_fs_where(root, u.top, u.where) == -1) {
        agent_worker_fault(peer, errno);
        return;
    }

    if (agent_fs_is_private(u.top)) {
        agent_worker_fault(peer, EPERM);
        return;
    }

    a = archive_read_new();
    if (a == NULL) {
        agent_worker_fault(peer, ENOMEM);
        return;
    }

    umask(0);

    if (unpack_all(&u, a) == 0) {
        sandbox_text_fmt(&t, "{\"entries\":%lld,\"bytes\":%lld}",
                         (long long) u.entries, (long long) u.bytes);
        agent_worker_answer(peer, 200, &t, NULL, NULL);
    }

    archive_read_free(a);
}


void
agent_archive_put(agent_request_t *r)
{
    archive_t archive;
    agent_field_t members[] = {
        { .name = "path",
          .kind = AGENT_FIELD_PATH,
          .value = archive.path,
          .required = 1 },
        { .name = "user", .kind = AGENT_FIELD_USER, .value = archive.user },
    };

    memset(&archive, 0, sizeof(archive));

    if (agent_file_query(r, members, 2) == -1
        || agent_file_user(r, archive.user, &archive.uid, &archive.gid) == -1)
    {
        return;
    }

    archive.has_user = members[1].given;
    agent_worker_start(r, unpack_run, &archive);
}
