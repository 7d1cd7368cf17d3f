/*
 * KVM or TCG?  Some hosts have /dev/kvm and libvirt reports KVM, yet a guest
 * hangs or crawls (nested virtualisation in software).  So KVM is probed: a
 * guest of one boot sector starts under KVM, enters long mode with paging, and
 * powers itself off within SANDBOX_ACCEL_MS.  libvirt's event tells that the
 * guest itself did it.
 *
 * The probe goes through libvirt, so it runs where QEMU runs and with QEMU's
 * rights.  Its names and UUID are fixed: the guest's disk, which can be made
 * only once, is the lock between processes, and what a killed process left is
 * found again.  KVM is not usable if the guest is still there after that time,
 * or QEMU refuses to run it; a guest that others ended tells nothing.
 *
 * The answer is kept in this process until it ends, and for a local libvirt in
 * the file data_dir/accel if the worker may write there.
 */

#include "sandbox_hv.h"
#include "sandbox_text.h"
#include "sandbox_time.h"

#include <fcntl.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * The guest's time.  A usable KVM needs 0.1–0.2 s for firmware and boot sector,
 * one that crawls several seconds.
 */
#define SANDBOX_ACCEL_MS 1500

/*
 * Longer than any probe takes: a process that has had the disk for this time
 * has died.
 */
#define SANDBOX_ACCEL_TURN_MS 20000

#define SANDBOX_ACCEL_NAME "sandbox-probe"
#define SANDBOX_ACCEL_DISK 1048576 /* bytes: firmware boots no tiny disk */
#define SANDBOX_ACCEL_UUID "5a6d0a5e-6b76-8d00-8000-70726f626500"

/* A "tcg" in the file counts for an hour: the host may have been busy. */
#define SANDBOX_ACCEL_NO_S 3600

#define SANDBOX_ACCEL_KEY_SIZE 512

/*
 * The boot sector.  Firmware jumps to 0x7c00 in real mode; tables for the
 * first 2 MiB go to 0x1000, then long mode is switched on in one step, and
 * 64-bit code asks the chipset for S5: PM1a_CNT of q35, where SeaBIOS puts it.
 */
__asm__(".pushsection .rodata\n"
        ".globl sandbox_accel_sector\n"
        ".hidden sandbox_accel_sector\n"
        "sandbox_accel_sector:\n"
        ".code16\n"
        "  cli\n"
        "  cld\n"
        "  xorw %ax, %ax\n"
        "  movw %ax, %ds\n"
        "  movw %ax, %es\n"
        "  movw %ax, %ss\n"
        "  movl $0x1000, %edi\n"
        "  movl %edi, %cr3\n"
        "  xorl %eax, %eax\n"
        "  movw $3072, %cx\n"
        "  rep stosl\n"
        "  movl $0x2003, 0x1000\n"
        "  movl $0x3003, 0x2000\n"
        "  movl $0x0083, 0x3000\n"
        "  movl %cr4, %eax\n"
        "  orl $0x20, %eax\n"
        "  movl %eax, %cr4\n"
        "  movl $0xc0000080, %ecx\n"
        "  rdmsr\n"
        "  orl $0x100, %eax\n"
        "  wrmsr\n"
        "  lgdtl sandbox_accel_gdtr - sandbox_accel_sector + 0x7c00\n"
        "  movl %cr0, %eax\n"
        "  orl $0x80000001, %eax\n"
        "  movl %eax, %cr0\n"
        "  ljmpl $8, $(sandbox_accel_long - sandbox_accel_sector + 0x7c00)\n"
        ".code64\n"
        "sandbox_accel_long:\n"
        "  movw $0x604, %dx\n"
        "  movw $0x2000, %ax\n"
        "  outw %ax, %dx\n"
        "1: hlt\n"
        "  jmp 1b\n"
        "  .balign 8\n"
        "sandbox_accel_gdt:\n"
        "  .quad 0, 0x00209a0000000000\n"
        "sandbox_accel_gdtr:\n"
        "  .word 15\n"
        "  .long sandbox_accel_gdt - sandbox_accel_sector + 0x7c00\n"
        "  .org sandbox_accel_sector + 510\n"
        "  .word 0xaa55\n"
        ".popsection\n");

extern const unsigned char sandbox_accel_sector[512]
    __attribute__((visibility("hidden")));

static struct {
    pthread_mutex_t mutex;  /* held during a probe: others wait for it */
    sandbox_accel_t answer; /* AUTO: not known */

    pthread_mutex_t watch; /* for off, which the loop thread sets */
    int off;               /* 1: the probe's guest has powered itself off */
} sandbox_accel = { .mutex = PTHREAD_MUTEX_INITIALIZER,
                    .watch = PTHREAD_MUTEX_INITIALIZER };


/*
 * Writes what the answer depends on: the host's boot, QEMU's version and the
 * URI of libvirt.  A remote host's boot is not known, and left empty.
 */
static sandbox_hv_status_t
sandbox_accel_key(char key[SANDBOX_ACCEL_KEY_SIZE], sandbox_hv_conn_t *conn,
                  sandbox_hv_error_t *err)
{
    int fd;
    char boot[37];
    ssize_t n;
    unsigned long version;
    const char *uri = sandbox_hv_conf()->uri;

    if (virConnectGetVersion(conn->virt, &version) < 0) {
        return sandbox_hv_fail(err, conn, "cannot read QEMU's version");
    }

    n = 0;

    if (sandbox_hv_is_local()) {
        fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
        if (fd != -1) {
            n = read(fd, boot, sizeof(boot) - 1);
            (void) close(fd);
        }
    }

    boot[n > 0 ? n : 0] = '\0';

    (void) snprintf(key, SANDBOX_ACCEL_KEY_SIZE, "%s %lu %s", boot, version,
                    uri);
    return SANDBOX_HV_OK;
}


/* The path of the answer's file, with a suffix; 0, or -1: it is too long. */
static int
sandbox_accel_path(char *path, size_t size, const char *suffix)
{
    int n;

    n = snprintf(path, size, "%s/accel%s", sandbox_hv_conf()->data_dir, suffix);
    return n < 0 || (size_t) n >= size ? -1 : 0;
}


/*
 * Reads the answer from the file, which holds "kvm" or "tcg", a space and the
 * key.  AUTO: there is none, or it is of another key, or an old "tcg".
 */
static sandbox_accel_t
sandbox_accel_load(const char *key)
{
    int fd;
    char path[SANDBOX_HV_PATH_SIZE], text[SANDBOX_ACCEL_KEY_SIZE + 8];
    ssize_t n;
    struct stat st;
    sandbox_accel_t answer;

    if (!sandbox_hv_is_local()
        || sandbox_accel_path(path, sizeof(path), "") != 0) {
        return SANDBOX_ACCEL_AUTO;
    }

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd == -1) {
        return SANDBOX_ACCEL_AUTO;
    }

    n = fstat(fd, &st) == 0 ? read(fd, text, sizeof(text) - 1) : -1;
    (void) close(fd);

    if (n < 4) {
        return SANDBOX_ACCEL_AUTO;
    }

    text[n] = '\0';

    if (strcmp(text + 4, key) != 0) {
        return SANDBOX_ACCEL_AUTO;
    }

    answer = strncmp(text, "kvm ", 4) == 0   ? SANDBOX_ACCEL_KVM
             : strncmp(text, "tcg ", 4) == 0 ? SANDBOX_ACCEL_TCG
                                             : SANDBOX_ACCEL_AUTO;

    if (answer == SANDBOX_ACCEL_TCG
        && time(NULL) - st.st_mtime > SANDBOX_ACCEL_NO_S)
    {
        return SANDBOX_ACCEL_AUTO;
    }

    return answer;
}


/* Writes the file, if that can be done: else each process probes once. */
static void
sandbox_accel_save(const char *key, sandbox_accel_t answer)
{
    int fd, ok;
    char path[SANDBOX_HV_PATH_SIZE], temporary[SANDBOX_HV_PATH_SIZE];
    char suffix[32];
    sandbox_text_t text = SANDBOX_TEXT_INIT;

    (void) snprintf(suffix, sizeof(suffix), ".%ld", (long) getpid());

    if (!sandbox_hv_is_local()
        || sandbox_accel_path(path, sizeof(path), "") != 0
        || sandbox_accel_path(temporary, sizeof(temporary), suffix) != 0)
    {
        return;
    }

    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
              0644);
    if (fd == -1) {
        return;
    }

    sandbox_text_str(&text, answer == SANDBOX_ACCEL_KVM ? "kvm " : "tcg ");
    sandbox_text_str(&text, key);

    ok = !sandbox_text_failed(&text)
         && write(fd, text.data, text.len) == (ssize_t) text.len;

    sandbox_text_free(&text);
    (void) close(fd);

    if (!ok || rename(temporary, path) == -1) {
        (void) unlink(temporary);
    }
}


/* libvirt's callback, in the loop thread. */
static void
sandbox_accel_event(virConnectPtr virt, virDomainPtr domain, int event,
                    int detail, void *data)
{
    (void) virt;
    (void) domain;
    (void) data;

    if (event == VIR_DOMAIN_EVENT_SHUTDOWN
        && detail == VIR_DOMAIN_EVENT_SHUTDOWN_GUEST)
    {
        (void) pthread_mutex_lock(&sandbox_accel.watch);
        sandbox_accel.off = 1;
        (void) pthread_mutex_unlock(&sandbox_accel.watch);
    }
}


/* Waits for the guest to power itself off: 1, or 0 if its time is over. */
static int
sandbox_accel_watch(void)
{
    int off;
    int64_t deadline_ms;

    deadline_ms = sandbox_time_monotonic_ms() + SANDBOX_ACCEL_MS;

    do {
        sandbox_hv_sleep_ms(10);

        (void) pthread_mutex_lock(&sandbox_accel.watch);
        off = sandbox_accel.off;
        (void) pthread_mutex_unlock(&sandbox_accel.watch);
    } while (!off && sandbox_time_monotonic_ms() < deadline_ms);

    return off;
}


/*
 * After the domain could not be created.  OK: QEMU refuses to run it, so KVM is
 * not usable; another status: the failure tells nothing of KVM.
 */
static sandbox_hv_status_t
sandbox_accel_refused(sandbox_hv_conn_t *conn, sandbox_hv_error_t *err)
{
    int code;

    code = virGetLastErrorCode();
    (void) sandbox_hv_fail(err, conn, "cannot start a guest under KVM");

    switch (code) {
    case VIR_ERR_INTERNAL_ERROR:     /* QEMU ended at once */
    case VIR_ERR_CONFIG_UNSUPPORTED: /* no KVM, or not this CPU */
    case VIR_ERR_INVALID_ARG:        /* libvirt's word for no KVM */
        break;
    default:
        return err->status;
    }

    if (err->status != SANDBOX_HV_FAILED) {
        return err->status;
    }

    sandbox_hv_log(SANDBOX_HV_LOG_NOTICE, "%s", err->message);
    return sandbox_hv_ok(err);
}


/*
 * Starts the guest and watches it.  OK: *runs is 1 if the guest ran under KVM,
 * else unchanged; another status: the probe tells nothing of KVM.
 */
static sandbox_hv_status_t
sandbox_accel_run(sandbox_hv_conn_t *conn, const char *xml, int *runs,
                  sandbox_hv_error_t *err)
{
    int callback;
    virDomainPtr domain;

    domain = virDomainCreateXML(conn->virt, xml, VIR_DOMAIN_START_PAUSED);
    if (domain == NULL) {
        return sandbox_accel_refused(conn, err);
    }

    (void) pthread_mutex_lock(&sandbox_accel.watch);
    sandbox_accel.off = 0;
    (void) pthread_mutex_unlock(&sandbox_accel.watch);

    callback = virConnectDomainEventRegisterAny(
        conn->virt, domain, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
        VIR_DOMAIN_EVENT_CALLBACK((void (*)(void)) sandbox_accel_event), NULL,
        NULL);

    if (callback < 0 || virDomainResume(domain) < 0) {
        (void) sandbox_hv_fail(err, conn, "cannot watch the KVM probe");

    } else {
        *runs = sandbox_accel_watch();

        if (!*runs && virDomainIsActive(domain) != 1) {
            (void) sandbox_hv_fail(err, conn, "the KVM probe was ended");
        }
    }

    if (callback >= 0) {
        (void) virConnectDomainEventDeregisterAny(conn->virt, callback);
    }

    (void) virDomainFree(domain);
    return err->status;
}


/* Probes; the caller has made the disk, which is the lock. */
static sandbox_hv_status_t
sandbox_accel_probe(sandbox_hv_conn_t *conn, const char *disk,
                    sandbox_accel_t *answer, sandbox_hv_error_t *err)
{
    int runs;
    char *xml;
    int64_t start;
    sandbox_domain_xml_t host;

    runs = 0;
    start = sandbox_time_monotonic_ms();

    sandbox_domain_host(&host, conn, SANDBOX_ACCEL_KVM);
    host.uuid = SANDBOX_ACCEL_UUID;
    host.disk = disk;

    xml = sandbox_domain_xml_probe(SANDBOX_ACCEL_NAME, &host);
    if (xml == NULL) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the probe cannot be written as XML");
    }

    (void) sandbox_accel_run(conn, xml, &runs, err);
    free(xml);

    if (err->status == SANDBOX_HV_OK) {
        *answer = runs ? SANDBOX_ACCEL_KVM : SANDBOX_ACCEL_TCG;

        sandbox_hv_log(SANDBOX_HV_LOG_NOTICE,
                       "accelerator: %s (probe took %lld ms)",
                       runs ? "kvm" : "tcg, no guest ran under KVM",
                       (long long) (sandbox_time_monotonic_ms() - start));
    }

    return err->status;
}


/* Removes the probe's domain and then its disk, which unlocks. */
static void
sandbox_accel_clean(sandbox_hv_conn_t *conn)
{
    sandbox_hv_error_t ignored;

    (void) sandbox_domain_end(conn, SANDBOX_ACCEL_UUID, &ignored);
    (void) sandbox_disk_remove(conn, SANDBOX_ACCEL_NAME, &ignored);
}


/*
 * Waits for the lock and probes, or takes the answer that another process has
 * written meanwhile.  A lock that is held for too long is broken, once.
 */
static sandbox_hv_status_t
sandbox_accel_ask(sandbox_hv_conn_t *conn, const char *key,
                  sandbox_accel_t *answer, sandbox_hv_error_t *err)
{
    int exists, cleaned;
    char disk[SANDBOX_HV_PATH_SIZE];
    int64_t deadline_ms;

    cleaned = 0;
    deadline_ms = sandbox_time_monotonic_ms() + SANDBOX_ACCEL_TURN_MS;

    for (;; sandbox_hv_sleep_ms(100)) {
        *answer = sandbox_accel_load(key);
        if (*answer != SANDBOX_ACCEL_AUTO) {
            return sandbox_hv_ok(err);
        }

        if (sandbox_disk_put(conn, SANDBOX_ACCEL_NAME, sandbox_accel_sector,
                             sizeof(sandbox_accel_sector), SANDBOX_ACCEL_DISK,
                             disk, &exists, err)
            == SANDBOX_HV_OK)
        {
            break;
        }

        if (!exists) {
            return err->status;
        }

        if (sandbox_time_monotonic_ms() >= deadline_ms) {
            if (cleaned) {
                return err->status;
            }

            sandbox_accel_clean(conn);
            cleaned = 1;
            deadline_ms += SANDBOX_ACCEL_TURN_MS;
        }
    }

    if (sandbox_accel_probe(conn, disk, answer, err) == SANDBOX_HV_OK) {
        sandbox_accel_save(key, *answer);
    }

    sandbox_accel_clean(conn);
    return err->status;
}


/* Finds the answer for this process; with the mutex held. */
static sandbox_hv_status_t
sandbox_accel_decide(sandbox_hv_conn_t *conn, sandbox_hv_error_t *err)
{
    char key[SANDBOX_ACCEL_KEY_SIZE];
    sandbox_accel_t answer;

    if (sandbox_accel_key(key, conn, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    if (sandbox_accel_ask(conn, key, &answer, err) == SANDBOX_HV_OK) {
        sandbox_accel.answer = answer;
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_hypervisor_accel(sandbox_accel_t *accel, sandbox_hv_error_t *err)
{
    sandbox_hv_conn_t *conn;

    (void) sandbox_hv_ok(err);

    if (sandbox_hv_conf()->accel != SANDBOX_ACCEL_AUTO) {
        *accel = sandbox_hv_conf()->accel;
        return SANDBOX_HV_OK;
    }

    (void) pthread_mutex_lock(&sandbox_accel.mutex);

    if (sandbox_accel.answer == SANDBOX_ACCEL_AUTO) {
        conn = sandbox_hv_connection(err);
        if (conn) {
            (void) sandbox_accel_decide(conn, err);
        }
    }

    *accel = sandbox_accel.answer;
    (void) pthread_mutex_unlock(&sandbox_accel.mutex);

    return err->status;
}
