/*
 * Steps on the system itself: randomness, clock, names, disk, directory.
 * The network has its own file.
 */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "console.h"
#include "sandbox_text.h"
#include "sandbox_time.h"
#include "small_file.h"
#include "steps.h"

#define EXT4_RESIZE_FS _IOW('f', 16, __u64)
#define EXT4_SUPER_OFFSET 1024
#define EXT4_SUPER_SIZE 1024
#define EXT4_BLOCKS_LOW 0x4
#define EXT4_BLOCK_SHIFT 0x18
#define EXT4_BLOCK_SHIFT_MAX 6
#define EXT4_BLOCKS_HIGH 0x150
#define DISK_WAIT_MS 5000
#define DISK_STEP_MS 5
#define IDENTITY_LEN 32
#define HOSTNAME "/etc/hostname"
#define HOSTS "/etc/hosts"
#define MACHINE_ID "/etc/machine-id"
#define DBUS_MACHINE_ID "/var/lib/dbus/machine-id"
#define HOSTS_MAX 65536
#define HOSTS_MARK "# sandbox-agent"

/* What any command begins with, on x86-64. */
#define WARM_PROGRAMS                                                          \
    "/bin/sh", "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"
#define WARM_PROGRAM_MAX 4194304

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))


/*
 * Has the kernel look up what is in "/", as the path of any directory begins
 * there.
 */
static void
warm_root(void)
{
    DIR *dir;
    struct stat st;
    struct dirent *entry;

    dir = opendir("/");

    while (dir && (entry = readdir(dir)) != NULL) {
        (void) fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW);
    }

    if (dir) {
        closedir(dir);
    }
}


/* Has the kernel read a program into memory, without waiting for it. */
static void
warm_program(const char *path)
{
    int fd;
    struct stat st;

    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd != -1) {
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
            && st.st_size <= WARM_PROGRAM_MAX)
        {
            (void) readahead(fd, 0, (size_t) st.st_size);
        }

        close(fd);
    }
}


void
agent_steps_warm(void)
{
    size_t i;
    static const char *const files[] = { HOSTNAME, HOSTS, MACHINE_ID,
                                         DBUS_MACHINE_ID, AGENT_RESOLVER };
    static const char *const programs[] = { WARM_PROGRAMS };

    for (i = 0; i < COUNT(files); i++) {
        free(agent_small_file_read(files[i], HOSTS_MAX));
    }

    for (i = 0; i < COUNT(programs); i++) {
        warm_program(programs[i]);
    }

    warm_root();
}


int
agent_step_entropy(const agent_config_t *c, char *error, size_t size)
{
    int fd, rc;
    struct {
        int entropy_count;
        int buf_size;
        uint8_t buf[AGENT_ENTROPY_LEN];
    } pool;

    pool.entropy_count = AGENT_ENTROPY_LEN * 8;
    pool.buf_size = AGENT_ENTROPY_LEN;
    memcpy(pool.buf, c->entropy, AGENT_ENTROPY_LEN);

    fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

    rc = 0;
    if (fd == -1 || ioctl(fd, RNDADDENTROPY, &pool) == -1
        || ioctl(fd, RNDRESEEDCRNG) == -1)
    {
        snprintf(error, size, "The randomness could not be renewed: %s.",
                 strerror(errno));
        rc = -1;
    }

    if (fd != -1) {
        close(fd);
    }

    explicit_bzero(&pool, sizeof(pool));

    return rc;
}


int
agent_step_clock(const agent_config_t *c, char *error, size_t size)
{
    int64_t ms;
    struct timeval tv;

    ms = c->time_ms + sandbox_time_monotonic_ms() - c->read_ms;
    tv.tv_sec = ms / 1000;
    tv.tv_usec = ms % 1000 * 1000;

    if (settimeofday(&tv, NULL) == -1) {
        snprintf(error, size, "The clock could not be set: %s.",
                 strerror(errno));
        return -1;
    }

    return 0;
}


int
agent_step_unmade(const agent_config_t *c, const char *what, char *error,
                  size_t size)
{
    snprintf(error, size, "%s: %s.", what, strerror(errno));

    if (!c->lived) {
        return -1;
    }

    agent_log("%s", error);
    return 0;
}


/* The lines of text but for those this agent added earlier. */
static void
hosts_keep(sandbox_text_t *t, const char *text)
{
    size_t len;
    const char *mark;

    while (*text != '\0') {
        len = strcspn(text, "\n");
        mark = memmem(text, len, HOSTS_MARK, sizeof(HOSTS_MARK) - 1);

        if (mark == NULL && len > 0) {
            sandbox_text_add(t, text, len);
            sandbox_text_str(t, "\n");
        }

        text += len + (text[len] == '\n');
    }
}


static int
hosts_write(const agent_config_t *c)
{
    int rc;
    char *old;
    char address[INET_ADDRSTRLEN];
    struct stat st;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    if (lstat(HOSTS, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > HOSTS_MAX)
    {
        errno = EFBIG;
        return -1;
    }

    inet_ntop(AF_INET, &c->address, address, sizeof(address));

    old = agent_small_file_read(HOSTS, HOSTS_MAX);
    if (old != NULL && old[0] != '\0') {
        hosts_keep(&t, old);
    } else {
        sandbox_text_str(&t, "127.0.0.1 localhost\n"
                             "::1 localhost ip6-localhost\n");
    }

    free(old);
    /* the address has a fixed width, so that the file keeps its length */
    sandbox_text_fmt(&t, "%-15s %s " HOSTS_MARK "\n", address, c->hostname);

    rc = -1;
    errno = ENOMEM;
    if (!sandbox_text_failed(&t)) {
        rc = agent_small_file_replace(HOSTS, t.data, t.len);
    }

    sandbox_text_free(&t);

    return rc;
}


int
agent_step_hostname(const agent_config_t *c, char *error, size_t size)
{
    char line[AGENT_HOSTNAME_MAX + 2];

    if (sethostname(c->hostname, strlen(c->hostname)) == -1) {
        snprintf(error, size, "The host name could not be set: %s.",
                 strerror(errno));
        return -1;
    }

    snprintf(line, sizeof(line), "%s\n", c->hostname);

    if (agent_small_file_replace(HOSTNAME, line, strlen(line)) == -1
        && agent_step_unmade(c, HOSTNAME " could not be written", error, size)
               == -1)
    {
        return -1;
    }

    return hosts_write(c) == 0
               ? 0
               : agent_step_unmade(c, HOSTS " could not be written", error,
                                   size);
}


/* Makes a machine id as systemd does: a random UUID without its dashes. */
static int
identity_make(char id[IDENTITY_LEN + 1])
{
    size_t i;
    uint8_t b[IDENTITY_LEN / 2];

    if (getrandom(b, sizeof(b), 0) != (ssize_t) sizeof(b)) {
        return -1;
    }

    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;

    for (i = 0; i < sizeof(b); i++) {
        snprintf(id + 2 * i, 3, "%02x", b[i]);
    }

    return 0;
}


/*
 * Another host name means another execution, which gets a new id; when the step
 * is repeated in one, the id stays.  D-Bus has a file of its own, which is a
 * copy unless it is a link.
 */
int
agent_step_identity(const agent_config_t *c, char *error, size_t size)
{
    int rc;
    char line[IDENTITY_LEN + 2];
    struct stat st;
    static char id[IDENTITY_LEN + 1], name[AGENT_HOSTNAME_MAX + 1];

    rc = 0;
    if (strcmp(name, c->hostname) != 0) {
        rc = identity_make(id);
    }

    if (rc == 0) {
        snprintf(name, sizeof(name), "%s", c->hostname);
        snprintf(line, sizeof(line), "%s\n", id);
        rc = agent_small_file_replace(MACHINE_ID, line, strlen(line));
    }

    if (rc == 0 && lstat(DBUS_MACHINE_ID, &st) == 0 && S_ISREG(st.st_mode)) {
        rc = agent_small_file_replace(DBUS_MACHINE_ID, line, strlen(line));
    }

    if (rc == -1) {
        snprintf(error, size, "The machine id could not be written: %s.",
                 strerror(errno));
    }

    return rc;
}


/* Reads a file system's block size and length off its superblock; 0 or -1. */
static int
disk_used(int disk, uint64_t *block, uint64_t *bytes)
{
    uint8_t super[EXT4_SUPER_SIZE];
    uint32_t low, high, shift;

    if (pread(disk, super, sizeof(super), EXT4_SUPER_OFFSET)
        != (ssize_t) sizeof(super))
    {
        return -1;
    }

    memcpy(&low, super + EXT4_BLOCKS_LOW, sizeof(low));
    memcpy(&high, super + EXT4_BLOCKS_HIGH, sizeof(high));
    memcpy(&shift, super + EXT4_BLOCK_SHIFT, sizeof(shift));

    if (le32toh(shift) > EXT4_BLOCK_SHIFT_MAX) {
        errno = EINVAL;
        return -1;
    }

    *block = 1024U << le32toh(shift);
    *bytes = ((uint64_t) le32toh(high) << 32 | le32toh(low)) * *block;

    return 0;
}


/*
 * The size of the disk in blocks of its file system.  A guest that was started
 * from a checkpoint may not have noticed yet that the disk has grown, so this
 * waits for that; if it does not happen, the file system was grown before, for
 * the step may be repeated.
 */
static int
disk_blocks(int disk, uint64_t *blocks)
{
    int waited;
    uint64_t block, used, bytes;
    struct timespec step = { 0, DISK_STEP_MS * 1000000L };

    if (disk_used(disk, &block, &used) == -1) {
        return -1;
    }

    for (waited = 0; waited < DISK_WAIT_MS; waited += DISK_STEP_MS) {
        if (ioctl(disk, BLKGETSIZE64, &bytes) == -1) {
            return -1;
        }

        *blocks = bytes / block;

        if (*blocks * block > used) {
            break;
        }

        nanosleep(&step, NULL);
    }

    return 0;
}


/*
 * The file system lies on the whole disk without a partition table, so
 * growing it is one call on the mounted root.
 */
int
agent_step_disk(const agent_config_t *c, char *error, size_t size)
{
    int disk, root, rc;
    uint64_t blocks;

    if (!c->grow_disk) {
        return 0;
    }

    disk = open(AGENT_ROOT_DEVICE, O_RDONLY | O_CLOEXEC);
    root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    rc = -1;
    if (disk != -1 && root != -1 && disk_blocks(disk, &blocks) == 0) {
        rc = ioctl(root, EXT4_RESIZE_FS, &blocks);
    }

    if (rc == -1) {
        snprintf(error, size, "The root file system could not be grown: %s.",
                 strerror(errno));
    }

    if (disk != -1) {
        close(disk);
    }

    if (root != -1) {
        close(root);
    }

    return rc;
}


int
agent_step_cwd(const agent_config_t *c, char *error, size_t size)
{
    struct stat st;

    if (agent_small_file_mkdirs(c->cwd) == 0 && stat(c->cwd, &st) == 0) {
        if (S_ISDIR(st.st_mode)) {
            return 0;
        }

        errno = ENOTDIR;
    }

    return agent_step_unmade(c, "The working directory could not be made",
                             error, size);
}
