/*
 * KVM or TCG?  Some hosts have /dev/kvm and libvirt reports KVM, yet a guest
 * hangs or crawls (nested virtualisation in software).  So the answer is
 * observed: a guest of one boot sector starts under KVM, enters long mode
 * with paging, and says so on its serial port; it has SANDBOX_ACCEL_MS.
 *
 * Everything goes through libvirt, so it is tried where QEMU runs and with
 * the rights QEMU has.  Name and UUID of the guest are fixed: libvirt lets
 * one probe run at a time, and what a killed one left is found again.
 *
 * The answer is kept in this process, and for a local libvirt in the file
 * data_dir/accel if the worker may write there.
 */

#include "sandbox_hv.h"
#include "sandbox_text.h"
#include "sandbox_time.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * A usable KVM needs 0.1–0.2 s for firmware and boot sector, one that crawls
 * several seconds.
 */
#define SANDBOX_ACCEL_MS 1500
#define SANDBOX_ACCEL_TURN_MS 8000

#define SANDBOX_ACCEL_NAME "sandbox-probe"
#define SANDBOX_ACCEL_UUID "5a6d0a5e-6b76-8d00-8000-70726f626500"
#define SANDBOX_ACCEL_SAYS "sandbox"

/* A "no" in the file counts for an hour: the host may have been busy. */
#define SANDBOX_ACCEL_NO_S 3600

#define SANDBOX_ACCEL_KEY_SIZE 512

/*
 * The boot sector.  Firmware jumps to 0x7c00 in real mode; tables for the
 * first 2 MiB go to 0x1000, then long mode is switched on in one step, and
 * 64-bit code writes the text to COM1.
 */
__asm__(".pushsection .rodata\n"
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
        "  leaq sandbox_accel_text(%rip), %rsi\n"
        "  movw $0x3f8, %dx\n"
        "1: lodsb\n"
        "  outb %al, %dx\n"
        "  testb %al, %al\n"
        "  jnz 1b\n"
        "2: hlt\n"
        "  jmp 2b\n"
        "sandbox_accel_text:\n"
        "  .asciz \"" SANDBOX_ACCEL_SAYS "\"\n"
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
} sandbox_accel = { .mutex = PTHREAD_MUTEX_INITIALIZER };


/* 1 if libvirt runs on this machine, so that its boot id is ours. */
static int
sandbox_accel_local(const char *uri)
{
    const char *p;

    p = strstr(uri, "://");
    return p && p[3] == '/';
}


/*
 * What the answer depends on: this boot of the host, QEMU and libvirt's
 * address.  Of a remote host the boot is not known.
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

    if (sandbox_accel_local(uri)) {
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


static int
sandbox_accel_path(char *path, size_t size, const char *suffix)
{
    int n;

    n = snprintf(path, size, "%s/accel%s", sandbox_hv_conf()->data_dir, suffix);
    return n < 0 || (size_t) n >= size ? -1 : 0;
}


/* The file holds "kvm" or "tcg", a space and the key; else AUTO. */
static sandbox_accel_t
sandbox_accel_load(const char *key)
{
    int fd;
    char path[SANDBOX_HV_PATH_SIZE], text[SANDBOX_ACCEL_KEY_SIZE + 8];
    ssize_t n;
    struct stat st;
    sandbox_accel_t answer;

    if (!sandbox_accel_local(sandbox_hv_conf()->uri)
        || sandbox_accel_path(path, sizeof(path), "") != 0)
    {
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


/* Best effort: without the file each process probes once. */
static void
sandbox_accel_save(const char *key, sandbox_accel_t answer)
{
    int fd, ok;
    char path[SANDBOX_HV_PATH_SIZE], temporary[SANDBOX_HV_PATH_SIZE];
    char suffix[32];
    sandbox_text_t text = SANDBOX_TEXT_INIT;

    (void) snprintf(suffix, sizeof(suffix), ".%ld", (long) getpid());

    if (!sandbox_accel_local(sandbox_hv_conf()->uri)
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


/* Waits until no other process probes; ends one that was left behind. */
static sandbox_hv_status_t
sandbox_accel_turn(sandbox_hv_conn_t *conn, sandbox_hv_error_t *err)
{
    int64_t deadline;
    virDomainPtr domain;

    deadline = sandbox_time_monotonic_ms() + SANDBOX_ACCEL_TURN_MS;

    for (;; sandbox_hv_sleep_ms(100)) {
        domain = sandbox_domain_lookup(conn, SANDBOX_ACCEL_UUID, err);
        if (domain == NULL) {
            return err->status;
        }

        (void) virDomainFree(domain);

        if (sandbox_time_monotonic_ms() >= deadline) {
            return sandbox_domain_end(conn, SANDBOX_ACCEL_UUID, err);
        }
    }
}


/* 1 if the text came in time. */
static int
sandbox_accel_listen(sandbox_channel_t *ch)
{
    char text[64];
    size_t len;
    int64_t n, deadline;

    len = 0;
    deadline = sandbox_time_monotonic_ms() + SANDBOX_ACCEL_MS;

    while (len < sizeof(text) - 1) {
        n = sandbox_channel_read(ch, text + len, sizeof(text) - 1 - len,
                                 deadline);
        if (n <= 0) {
            return 0;
        }

        len += (size_t) n;
        text[len] = '\0';

        if (strstr(text, SANDBOX_ACCEL_SAYS)) {
            return 1;
        }
    }

    return 0;
}


/* OK and *runs, or a status that says nothing about KVM. */
static sandbox_hv_status_t
sandbox_accel_run(sandbox_hv_conn_t *conn, const char *xml, int *runs,
                  sandbox_hv_error_t *err)
{
    virDomainPtr domain;
    sandbox_channel_t *ch;

    *runs = 0;

    domain = virDomainCreateXML(conn->virt, xml, VIR_DOMAIN_START_PAUSED);
    if (domain == NULL) {
        (void) sandbox_hv_fail(err, conn, "cannot start a guest under KVM");

        if (err->status == SANDBOX_HV_UNAVAILABLE
            || err->status == SANDBOX_HV_NO_CAPACITY)
        {
            return err->status;
        }

        sandbox_hv_log(SANDBOX_HV_LOG_NOTICE, "%s", err->message);
        return sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");
    }

    if (sandbox_channel_open_serial(&ch, conn, domain, err) == SANDBOX_HV_OK) {
        *runs = virDomainResume(domain) == 0 && sandbox_accel_listen(ch);
        sandbox_channel_close(ch);
    }

    (void) virDomainFree(domain);

    return err->status;
}


static sandbox_hv_status_t
sandbox_accel_probe(sandbox_hv_conn_t *conn, sandbox_accel_t *answer,
                    sandbox_hv_error_t *err)
{
    int runs = 0;
    char *xml;
    char disk[SANDBOX_HV_PATH_SIZE], serial[SANDBOX_HV_PATH_SIZE + 8];
    int64_t start;
    sandbox_hv_error_t ignored;
    sandbox_domain_xml_t host;

    runs = 0;
    start = sandbox_time_monotonic_ms();

    if (sandbox_accel_turn(conn, err) != SANDBOX_HV_OK
        || sandbox_disk_put(conn, SANDBOX_ACCEL_NAME, sandbox_accel_sector,
                            sizeof(sandbox_accel_sector), disk, err)
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    (void) snprintf(serial, sizeof(serial), "%s.sock", disk);

    host.uuid = SANDBOX_ACCEL_UUID;
    host.disk = disk;
    host.bridge = NULL;
    host.machine = conn->facts.machine;
    host.label = conn->facts.label[0] ? conn->facts.label : NULL;
    host.accel = SANDBOX_ACCEL_KVM;

    xml = sandbox_domain_xml_probe(SANDBOX_ACCEL_NAME, &host, serial);
    if (xml == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the probe cannot be written as XML");
    } else {
        (void) sandbox_accel_run(conn, xml, &runs, err);
    }

    free(xml);
    (void) sandbox_domain_end(conn, SANDBOX_ACCEL_UUID, &ignored);
    (void) sandbox_disk_remove(conn, SANDBOX_ACCEL_NAME, &ignored);

    if (err->status == SANDBOX_HV_OK) {
        *answer = runs ? SANDBOX_ACCEL_KVM : SANDBOX_ACCEL_TCG;

        sandbox_hv_log(SANDBOX_HV_LOG_NOTICE,
                       "accelerator: %s (probe took %lld ms)",
                       runs ? "kvm" : "tcg, no guest ran under KVM",
                       (long long) (sandbox_time_monotonic_ms() - start));
    }

    return err->status;
}


/* With the mutex held. */
static sandbox_hv_status_t
sandbox_accel_decide(sandbox_hv_conn_t *conn, sandbox_hv_error_t *err)
{
    char key[SANDBOX_ACCEL_KEY_SIZE];
    sandbox_accel_t answer;

    if (sandbox_accel_key(key, conn, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    answer = sandbox_accel_load(key);

    if (answer == SANDBOX_ACCEL_AUTO) {
        if (sandbox_accel_probe(conn, &answer, err) != SANDBOX_HV_OK) {
            return err->status;
        }

        sandbox_accel_save(key, answer);
    }

    sandbox_accel.answer = answer;

    return SANDBOX_HV_OK;
}


sandbox_hv_status_t
sandbox_hypervisor_accel(sandbox_accel_t *accel, sandbox_hv_error_t *err)
{
    sandbox_hv_conn_t *conn;

    (void) sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");

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
