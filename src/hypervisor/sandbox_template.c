/* Templates; see the header.  Knows core and files, nothing of libvirt. */

#include "sandbox_template.h"

#include "sandbox_json.h"
#include "sandbox_path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SANDBOX_TEMPLATE_MANIFEST_MAX 65536 /* bytes */
#define SANDBOX_TEMPLATE_MAX 4096           /* templates */
#define SANDBOX_TEMPLATE_MB_MAX (1024 * 1024)
#define SANDBOX_TEMPLATE_NAME_MAX 63
#define SANDBOX_TEMPLATE_CMDLINE_MAX 1024

/* A manifest that is being read. */
typedef struct {
    sandbox_template_t *t;
    char *dir; /* absolute, without links */
    sandbox_json_t doc;
    char *err;
    size_t errsize;
} sandbox_template_load_t;


static int sandbox_template_fail(sandbox_template_load_t *load,
                                 const char *member, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));


/* Writes the error; member may be NULL: the whole file.  Always -1. */
static int
sandbox_template_fail(sandbox_template_load_t *load, const char *member,
                      const char *fmt, ...)
{
    int n;
    va_list args;

    if (member) {
        n = snprintf(load->err, load->errsize, "\"%s/manifest.json\": \"%s\" ",
                     load->dir, member);
    } else {
        n = snprintf(load->err, load->errsize,
                     "\"%s/manifest.json\": ", load->dir);
    }

    if (n > 0 && (size_t) n < load->errsize) {
        va_start(args, fmt);
        (void) vsnprintf(load->err + n, load->errsize - (size_t) n, fmt, args);
        va_end(args);
    }

    return -1;
}


/* The whole file, malloc'd and NUL-terminated, or NULL with errno. */
static char *
sandbox_template_slurp(const char *path, size_t *len)
{
    int fd, error;
    char *text;
    size_t used;
    ssize_t n;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd == -1) {
        return NULL;
    }

    used = 0;
    n = 0;
    error = 0;

    text = malloc(SANDBOX_TEMPLATE_MANIFEST_MAX + 1);
    if (text == NULL) {
        error = ENOMEM;
    }

    while (error == 0 && used <= SANDBOX_TEMPLATE_MANIFEST_MAX) {
        n = read(fd, text + used, SANDBOX_TEMPLATE_MANIFEST_MAX + 1 - used);

        if (n == 0) {
            break;
        }
        if (n == -1) {
            error = errno;
            break;
        }
        used += (size_t) n;
    }

    (void) close(fd);

    if (error == 0 && used > SANDBOX_TEMPLATE_MANIFEST_MAX) {
        error = EFBIG;
    }

    if (error) {
        free(text);
        errno = error;
        return NULL;
    }

    text[used] = '\0';
    *len = used;
    return text;
}


/* A member of the manifest; NULL, with the error, if it is missing. */
static const sandbox_json_node_t *
sandbox_template_member(sandbox_template_load_t *load, const char *name)
{
    const sandbox_json_node_t *node;

    node = sandbox_json_member(&load->doc, load->doc.nodes, name);
    if (node == NULL) {
        (void) sandbox_template_fail(load, name, "is missing");
    }

    return node;
}


/*
 * The member of that name, which must be a string of 1 to max bytes without
 * control characters; malloc'd, or NULL with the error.
 */
static char *
sandbox_template_string(sandbox_template_load_t *load, const char *name,
                        size_t max)
{
    char *s;
    size_t i, len;
    const sandbox_json_node_t *node;

    node = sandbox_template_member(load, name);
    if (node == NULL) {
        return NULL;
    }

    s = sandbox_json_string(&load->doc, node, &len);
    if (s == NULL) {
        (void) sandbox_template_fail(load, name, "is not a string");
        return NULL;
    }

    if (len == 0 || len > max) {
        (void) sandbox_template_fail(load, name, "must have 1 to %zu bytes",
                                     max);
        free(s);
        return NULL;
    }

    for (i = 0; i < len; i++) {
        if ((unsigned char) s[i] < 0x20 || s[i] == 0x7f) {
            (void) sandbox_template_fail(load, name,
                                         "holds a control character");
            free(s);
            return NULL;
        }
    }

    return s;
}


/* Reads a member that must be a number of MiB; 0, or -1 with the error. */
static int
sandbox_template_number(sandbox_template_load_t *load, const char *name,
                        int64_t *value)
{
    const sandbox_json_node_t *node;

    node = sandbox_template_member(load, name);
    if (node == NULL) {
        return -1;
    }

    if (sandbox_json_integer(&load->doc, node, value) != 0 || *value < 1
        || *value > SANDBOX_TEMPLATE_MB_MAX)
    {
        return sandbox_template_fail(load, name,
                                     "is not a whole number from 1 to %d",
                                     SANDBOX_TEMPLATE_MB_MAX);
    }

    return 0;
}


static int
sandbox_template_flag(sandbox_template_load_t *load, const char *name,
                      int *value)
{
    const sandbox_json_node_t *node;

    node = sandbox_template_member(load, name);
    if (node == NULL) {
        return -1;
    }

    if (node->type != SANDBOX_JSON_TRUE && node->type != SANDBOX_JSON_FALSE) {
        return sandbox_template_fail(load, name, "is neither true nor false");
    }

    *value = node->type == SANDBOX_JSON_TRUE;
    return 0;
}


/*
 * The path of the regular file that a member names, malloc'd, or NULL with the
 * error.  Links are resolved, so that one that leads out of the directory is
 * seen.
 */
static char *
sandbox_template_file(sandbox_template_load_t *load, const char *name)
{
    int n;
    char *relative, *resolved;
    char path[PATH_MAX];
    struct stat st;

    relative = sandbox_template_string(load, name, NAME_MAX);
    if (relative == NULL) {
        return NULL;
    }

    if (relative[0] == '/') {
        (void) sandbox_template_fail(load, name, "is not a relative name");
        free(relative);
        return NULL;
    }

    n = snprintf(path, sizeof(path), "%s/%s", load->dir, relative);
    resolved = n > 0 && (size_t) n < sizeof(path) ? realpath(path, NULL) : NULL;

    if (resolved == NULL) {
        (void) sandbox_template_fail(load, name, "names \"%s\": %s", relative,
                                     strerror(errno));

    } else if (!sandbox_path_within(resolved, load->dir)) {
        (void) sandbox_template_fail(
            load, name, "names \"%s\", which lies outside", relative);
        free(resolved);
        resolved = NULL;

    } else if (stat(resolved, &st) == -1 || !S_ISREG(st.st_mode)) {
        (void) sandbox_template_fail(
            load, name, "names \"%s\", which is no regular file", relative);
        free(resolved);
        resolved = NULL;
    }

    free(relative);
    return resolved;
}


/* A big-endian number of n bytes. */
static uint64_t
sandbox_template_be(const unsigned char *p, int n)
{
    uint64_t value;

    value = 0;
    while (n--) {
        value = value << 8 | *p++;
    }

    return value;
}


/*
 * Checks the head of the disk (docs/interop/qcow2.txt of QEMU).  The disk must
 * have no backing file, because the chain of layers ends with it in the XML of
 * domains, and the size that disk_mb says, which no overlay may be below.
 */
static int
sandbox_template_disk(sandbox_template_load_t *load)
{
    int fd;
    ssize_t n;
    uint64_t size;
    unsigned char head[32];

    fd = open(load->t->disk, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    n = fd == -1 ? -1 : read(fd, head, sizeof(head));
    if (fd != -1) {
        (void) close(fd);
    }

    if (n != (ssize_t) sizeof(head) || memcmp(head, "QFI\xfb", 4) != 0
        || sandbox_template_be(head + 4, 4) < 2)
    {
        return sandbox_template_fail(load, "disk", "is no qcow2 image");
    }

    if (sandbox_template_be(head + 8, 8) != 0) {
        return sandbox_template_fail(load, "disk", "has a backing file");
    }

    size = sandbox_template_be(head + 24, 8);

    if (size != (uint64_t) load->t->disk_mb * 1048576) {
        return sandbox_template_fail(
            load, "disk_mb", "is %lld, but the disk has %llu bytes",
            (long long) load->t->disk_mb, (unsigned long long) size);
    }

    return 0;
}


/* Reads the name, which stands in URLs and paths and is the directory's. */
static int
sandbox_template_name(sandbox_template_load_t *load)
{
    size_t len;
    const char *name, *base;

    load->t->name =
        sandbox_template_string(load, "name", SANDBOX_TEMPLATE_NAME_MAX);
    if (load->t->name == NULL) {
        return -1;
    }

    name = load->t->name;
    len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-");

    if (name[len] != '\0' || name[0] == '.' || name[0] == '-') {
        return sandbox_template_fail(load, "name",
                                     "may hold only a-z, 0-9, \".\", \"_\" "
                                     "and \"-\" and starts with neither "
                                     "\".\" nor \"-\"");
    }

    base = strrchr(load->dir, '/');
    base = base ? base + 1 : load->dir;

    if (strcmp(name, base) != 0) {
        return sandbox_template_fail(
            load, "name", "is \"%s\", but the directory is \"%s\"", name, base);
    }

    return 0;
}


/* Refuses unknown members: they are mistakes, not extensions. */
static int
sandbox_template_known(sandbox_template_load_t *load)
{
    char *key;
    size_t i;
    const sandbox_json_node_t *node;
    static const char *known[] = { "name",          "version", "arch",
                                   "kernel",        "initrd",  "disk",
                                   "cmdline",       "disk_mb", "desktop",
                                   "min_memory_mb", "workdir" };

    for (node = sandbox_json_child(&load->doc, load->doc.nodes); node;
         node = sandbox_json_next(&load->doc, node))
    {
        key = sandbox_json_key(&load->doc, node, NULL);
        if (key == NULL) {
            return sandbox_template_fail(load, NULL, "out of memory");
        }

        for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
            if (strcmp(key, known[i]) == 0) {
                break;
            }
        }

        if (i == sizeof(known) / sizeof(known[0])) {
            (void) sandbox_template_fail(load, key, "is no known member");
            free(key);
            return -1;
        }

        free(key);
    }

    return 0;
}


static int
sandbox_template_arch(sandbox_template_load_t *load)
{
    int differs;
    char *arch;

    arch = sandbox_template_string(load, "arch", 32);
    if (arch == NULL) {
        return -1;
    }

    differs = strcmp(arch, "x86_64") != 0;
    free(arch);

    return differs ? sandbox_template_fail(load, "arch", "is not \"x86_64\"")
                   : 0;
}


static int
sandbox_template_workdir(sandbox_template_load_t *load)
{
    char normal[SANDBOX_PATH_MAX];
    const char *reason;

    load->t->workdir =
        sandbox_template_string(load, "workdir", SANDBOX_PATH_MAX - 1);
    if (load->t->workdir == NULL) {
        return -1;
    }

    if (sandbox_path_normalise(normal, sizeof(normal), load->t->workdir,
                               strlen(load->t->workdir), &reason)
            != 0
        || strcmp(normal, load->t->workdir) != 0)
    {
        return sandbox_template_fail(load, "workdir",
                                     "is not a normalised absolute path");
    }

    return 0;
}


static int
sandbox_template_members(sandbox_template_load_t *load)
{
    sandbox_template_t *t = load->t;

    if (sandbox_template_known(load) != 0 || sandbox_template_name(load) != 0
        || sandbox_template_arch(load) != 0
        || sandbox_template_number(load, "disk_mb", &t->disk_mb) != 0
        || sandbox_template_number(load, "min_memory_mb", &t->min_memory_mb)
               != 0
        || sandbox_template_flag(load, "desktop", &t->desktop) != 0
        || sandbox_template_workdir(load) != 0)
    {
        return -1;
    }

    t->version = sandbox_template_string(load, "version", 128);
    if (t->version == NULL) {
        return -1;
    }

    t->cmdline =
        sandbox_template_string(load, "cmdline", SANDBOX_TEMPLATE_CMDLINE_MAX);
    if (t->cmdline == NULL) {
        return -1;
    }

    t->kernel = sandbox_template_file(load, "kernel");
    if (t->kernel == NULL) {
        return -1;
    }

    t->initrd = sandbox_template_file(load, "initrd");
    if (t->initrd == NULL) {
        return -1;
    }

    t->disk = sandbox_template_file(load, "disk");
    if (t->disk == NULL) {
        return -1;
    }

    return sandbox_template_disk(load);
}


static int
sandbox_template_read(sandbox_template_load_t *load)
{
    int n, rc;
    char *text;
    char path[PATH_MAX];
    size_t len;
    sandbox_json_error_t error;

    n = snprintf(path, sizeof(path), "%s/manifest.json", load->dir);
    if (n < 0 || (size_t) n >= sizeof(path)) {
        return sandbox_template_fail(load, NULL, "the path is too long");
    }

    text = sandbox_template_slurp(path, &len);
    if (text == NULL) {
        return sandbox_template_fail(load, NULL, "%s", strerror(errno));
    }

    if (sandbox_json_parse(&load->doc, text, len, &error) != 0) {
        free(text);
        return sandbox_template_fail(load, NULL, "%s at byte %zu", error.reason,
                                     error.offset);
    }

    if (load->doc.nodes[0].type != SANDBOX_JSON_OBJECT) {
        rc = sandbox_template_fail(load, NULL, "is not a JSON object");
    } else {
        rc = sandbox_template_members(load);
    }

    sandbox_json_free(&load->doc);
    free(text);
    return rc;
}


sandbox_template_t *
sandbox_template_load(const char *dir, char *err, size_t errsize)
{
    sandbox_template_load_t load;

    memset(&load, 0, sizeof(load));
    load.err = err;
    load.errsize = errsize;

    load.dir = realpath(dir, NULL);
    if (load.dir == NULL) {
        (void) snprintf(err, errsize, "\"%s\": %s", dir, strerror(errno));
        return NULL;
    }

    load.t = calloc(1, sizeof(*load.t));

    if (load.t == NULL) {
        (void) snprintf(err, errsize, "\"%s\": out of memory", dir);

    } else if (sandbox_template_read(&load) != 0) {
        sandbox_template_free(load.t);
        load.t = NULL;
    }

    free(load.dir);
    return load.t;
}


void
sandbox_template_free(sandbox_template_t *t)
{
    if (t == NULL) {
        return;
    }

    free(t->name);
    free(t->version);
    free(t->kernel);
    free(t->initrd);
    free(t->disk);
    free(t->cmdline);
    free(t->workdir);
    free(t);
}


static int
sandbox_template_order(const void *one, const void *two)
{
    const sandbox_template_t *const *a = one;
    const sandbox_template_t *const *b = two;

    return strcmp((*a)->name, (*b)->name);
}


/*
 * 1 if dir/name has a manifest and name does not begin with a dot; path
 * receives dir/name.
 */
static int
sandbox_template_there(char path[PATH_MAX], const char *dir, const char *name)
{
    int n;
    char manifest[PATH_MAX];

    if (name[0] == '.') {
        return 0;
    }

    n = snprintf(path, PATH_MAX, "%s/%s", dir, name);
    if (n < 0 || n >= PATH_MAX) {
        return 0;
    }

    n = snprintf(manifest, PATH_MAX, "%s/%s/manifest.json", dir, name);

    return n > 0 && n < PATH_MAX && access(manifest, F_OK) == 0;
}


/*
 * Appends the templates of dir to list, which has room for SANDBOX_TEMPLATE_MAX
 * and a NULL.  0, or -1 with the error; what is in the list is the caller's.
 */
static int
sandbox_templates_read(sandbox_template_t **list, size_t *n, DIR *handle,
                       const char *dir, char *err, size_t errsize)
{
    char path[PATH_MAX];
    struct dirent *entry;

    for (;;) {
        errno = 0;
        entry = readdir(handle);

        if (entry == NULL) {
            if (errno) {
                (void) snprintf(err, errsize, "\"%s\": %s", dir,
                                strerror(errno));
                return -1;
            }
            return 0;
        }

        if (!sandbox_template_there(path, dir, entry->d_name)) {
            continue;
        }

        if (*n == SANDBOX_TEMPLATE_MAX) {
            (void) snprintf(err, errsize, "\"%s\": over %d templates", dir,
                            SANDBOX_TEMPLATE_MAX);
            return -1;
        }

        list[*n] = sandbox_template_load(path, err, errsize);
        if (list[*n] == NULL) {
            return -1;
        }

        (*n)++;
    }
}


sandbox_template_t **
sandbox_templates_load(const char *dir, char *err, size_t errsize)
{
    DIR *handle;
    size_t n;
    sandbox_template_t **list;

    handle = opendir(dir);
    if (handle == NULL) {
        (void) snprintf(err, errsize, "\"%s\": %s", dir, strerror(errno));
        return NULL;
    }

    n = 0;
    list = calloc(SANDBOX_TEMPLATE_MAX + 1, sizeof(*list));

    if (list == NULL) {
        (void) snprintf(err, errsize, "\"%s\": out of memory", dir);

    } else if (sandbox_templates_read(list, &n, handle, dir, err, errsize) != 0)
    {
        sandbox_templates_free(list);
        list = NULL;
    }

    (void) closedir(handle);

    if (list) {
        qsort(list, n, sizeof(*list), sandbox_template_order);
    }

    return list;
}


void
sandbox_templates_free(sandbox_template_t **list)
{
    size_t i;

    if (list == NULL) {
        return;
    }

    for (i = 0; list[i]; i++) {
        sandbox_template_free(list[i]);
    }

    free(list);
}
