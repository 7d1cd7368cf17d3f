/*
 * From the initramfs to the root file system.
 *
 * The root may be anything: nothing in it is executed or relied on here, and
 * what programs expect of a running system (/proc, /dev/pts, …) is made when
 * it is missing.  Must not know of commands, the network or the host.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "console.h"

#define MODULES_LIST "/modules.list"
#define NEW_ROOT "/newroot"
#define DEVICE_WAIT_MS 30000
#define DEVICE_STEP_MS 5
#define FILES_MAX 1048576
#define AGENT_NICE (-15)

typedef struct {
    const char *path;
    const char *type;
    unsigned long flags;
    const char *options;
    mode_t mode;
} boot_mount_t;

/* Needed by the agent itself; mounted early and moved to the root. */
static const boot_mount_t boot_kernel_mounts[] = {
    { "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0555 },
    { "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0555 },
    { "/dev", "devtmpfs", MS_NOSUID, "mode=0755", 0755 },
};

static const boot_mount_t boot_user_mounts[] = {
    { "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
      "mode=0620,gid=5,ptmxmode=0666", 0755 },
    { "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", 01777 },
    { "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=25%", 0755 },
    { "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC,
      "nsdelegate", 0555 },
};

static const char *const boot_links[][2] = {
    { "/proc/self/fd", "/dev/fd" },
    { "/proc/self/fd/0", "/dev/stdin" },
    { "/proc/self/fd/1", "/dev/stdout" },
    { "/proc/self/fd/2", "/dev/stderr" },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))


static int
boot_mount(const boot_mount_t *m)
{
    if (mkdir(m->path, m->mode) == -1 && errno != EEXIST) {
        return -1;
    }

    return mount(m->type, m->path, m->type, m->flags, m->options);
}


static void
boot_kernel_files(void)
{
    size_t i;

    for (i = 0; i < COUNT(boot_kernel_mounts); i++) {
        if (boot_mount(&boot_kernel_mounts[i]) == -1 && errno != EBUSY) {
            agent_die("%s could not be mounted: %s", boot_kernel_mounts[i].path,
                      strerror(errno));
        }
    }
}


/* The kernel gives init no descriptors if the initramfs has no console. */
static void
boot_console(void)
{
    int fd;

    fd = open("/dev/console", O_RDWR | O_NOCTTY);
    if (fd == -1) {
        fd = open("/dev/null", O_RDWR);
    }

    if (fd == -1) {
        return;
    }

    dup2(fd, STDIN_FILENO);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);

    if (fd > STDERR_FILENO) {
        close(fd);
    }
}


static int
boot_module(const char *path)
{
    int fd, err;

    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        agent_log("the module %s could not be opened: %s", path,
                  strerror(errno));
        return -1;
    }

    err = 0;
    if (syscall(SYS_finit_module, fd, "", 0) == -1 && errno != EEXIST) {
        err = errno;
        agent_log("the module %s could not be loaded: %s", path, strerror(err));
    }

    close(fd);

    return err ? -1 : 0;
}


int
agent_boot_modules(const char *list)
{
    FILE *f;
    int rc;
    char line[512];

    f = fopen(list, "re");
    if (f == NULL) {
        if (errno == ENOENT) {
            return 0; /* everything is built into the kernel */
        }

        agent_log("%s could not be read: %s", list, strerror(errno));
        return -1;
    }

    rc = 0;

    while (rc == 0 && fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] == '\0' || line[0] == '#') {
            continue;
        }

        rc = boot_module(line);
        unlink(line); /* files of the initramfs take memory */
    }

    fclose(f);

    return rc;
}


static void
boot_wait(const char *path)
{
    int waited;
    struct timespec step = { 0, DEVICE_STEP_MS * 1000000L };

    for (waited = 0; access(path, F_OK) == -1; waited += DEVICE_STEP_MS) {
        if (waited >= DEVICE_WAIT_MS) {
            agent_die("the disk %s did not appear", path);
        }

        nanosleep(&step, NULL);
    }
}


/*
 * A chroot alone would leave the root of the mount namespace elsewhere, and
 * the kernel then refuses user namespaces: so the mount itself is moved.
 */
static void
boot_move(void)
{
    size_t i;
    char target[64];

    for (i = 0; i < COUNT(boot_kernel_mounts); i++) {
        snprintf(target, sizeof(target), NEW_ROOT "%s",
                 boot_kernel_mounts[i].path);

        if (mkdir(target, boot_kernel_mounts[i].mode) == -1 && errno != EEXIST)
        {
            agent_die("%s could not be made in the root file system: %s",
                      boot_kernel_mounts[i].path, strerror(errno));
        }

        if (mount(boot_kernel_mounts[i].path, target, NULL, MS_MOVE, NULL)
            == -1) {
            agent_die("%s could not be moved to the root file system: %s",
                      boot_kernel_mounts[i].path, strerror(errno));
        }
    }

    if (chdir(NEW_ROOT) == -1 || mount(".", "/", NULL, MS_MOVE, NULL) == -1
        || chroot(".") == -1 || chdir("/") == -1)
    {
        agent_die("the root file system could not be entered: %s",
                  strerror(errno));
    }
}


static void
boot_root(void)
{
    boot_wait(AGENT_ROOT_DEVICE);

    if (mkdir(NEW_ROOT, 0755) == -1 && errno != EEXIST) {
        agent_die("%s could not be made: %s", NEW_ROOT, strerror(errno));
    }

    if (mount(AGENT_ROOT_DEVICE, NEW_ROOT, "ext4", 0, NULL) == -1) {
        agent_die("the disk %s could not be mounted as ext4: %s",
                  AGENT_ROOT_DEVICE, strerror(errno));
    }

    boot_move();
}


/* Failures are only logged: without these the root still runs commands. */
void
agent_boot_furnish(void)
{
    size_t i;

    for (i = 0; i < COUNT(boot_user_mounts); i++) {
        if (boot_mount(&boot_user_mounts[i]) == -1 && errno != EBUSY) {
            agent_log("%s could not be mounted: %s", boot_user_mounts[i].path,
                      strerror(errno));
        }
    }

    for (i = 0; i < COUNT(boot_links); i++) {
        if (symlink(boot_links[i][0], boot_links[i][1]) == -1
            && errno != EEXIST) {
            agent_log("%s could not be made: %s", boot_links[i][1],
                      strerror(errno));
        }
    }

    /* /tmp is on the disk: a small guest has no memory for it. */
    if (mkdir("/tmp", 01777) == 0) {
        if (chmod("/tmp", 01777) == -1) {
            agent_log("/tmp could not be opened to all users");
        }
    } else if (errno != EEXIST) {
        agent_log("/tmp could not be made: %s", strerror(errno));
    }
}


/*
 * Protects the agent, without which the machine is of no use, from the OOM
 * killer and from busy commands, and lets it open many files.
 */
static void
boot_survive(void)
{
    int fd;
    struct rlimit files;

    fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd == -1 || write(fd, "-1000", 5) != 5) {
        agent_log("the kernel may end the agent when memory is out");
    }

    if (fd != -1) {
        close(fd);
    }

    /* Commands that take all of the processor must not delay their end. */
    if (setpriority(PRIO_PROCESS, 0, AGENT_NICE) == -1) {
        agent_log("the agent has no precedence over commands");
    }

    files.rlim_cur = FILES_MAX;
    files.rlim_max = FILES_MAX;
    if (setrlimit(RLIMIT_NOFILE, &files) == -1) {
        agent_log("the limit of open files could not be raised: %s",
                  strerror(errno));
    }
}


void
agent_boot(void)
{
    umask(022);
    boot_kernel_files();
    boot_console();

    if (agent_boot_modules(MODULES_LIST) == -1) {
        agent_die("the machine cannot start without its modules");
    }

    boot_root();
    agent_boot_furnish();
    boot_survive();
}
