/*
 * What the files of this room share: a thread's connection, the facts of the
 * host behind it, errors, and the parts of a boot.  Not for other rooms.
 */

#ifndef SANDBOX_HV_H
#define SANDBOX_HV_H

#include <libvirt/libvirt.h>
#include <pthread.h>
#include <sys/stat.h>

#include "sandbox_domain_xml.h"
#include "sandbox_hypervisor.h"

#define SANDBOX_HV_LABEL_SIZE 64
#define SANDBOX_HV_MACHINE_SIZE 64

/* Levels of the log callback: those of nginx. */
#define SANDBOX_HV_LOG_WARN 5
#define SANDBOX_HV_LOG_NOTICE 6

/*
 * Read for each connection, and anew when QEMU's version has changed by the
 * beginning of a task: an upgrade of QEMU restarts neither libvirtd nor us.
 */
typedef struct {
    char machine[SANDBOX_HV_MACHINE_SIZE];
    char label[SANDBOX_HV_LABEL_SIZE]; /* "+64055:+108"; empty: no DAC */
    char cpu[SANDBOX_HV_MACHINE_SIZE]; /* the host's model, may be empty */
    long owner;                        /* uid of QEMU processes, -1 unknown */
    long group;                        /* gid of QEMU processes, -1 unknown */
    unsigned long qemu; /* version: major * 1000000 + minor * 1000 + micro */
} sandbox_hv_facts_t;

typedef struct sandbox_hv_conn_s sandbox_hv_conn_t;

struct sandbox_hv_conn_s {
    sandbox_hv_conn_t *next; /* in the list of connections without a thread */
    sandbox_hv_conn_t *dead; /* whose place it took in this task, or NULL */
    virConnectPtr virt;
    sandbox_hv_facts_t facts;
};

/* sandbox_connection.c */

const sandbox_hypervisor_conf_t *sandbox_hv_conf(void);
/*
 * 1 if libvirt is on this machine: it shares our boot and our files, and takes
 * descriptors.
 */
int sandbox_hv_is_local(void);

/*
 * The calling thread's connection, alive as far as the client side can tell;
 * NULL with *err set.  It belongs to the thread until it is given back by
 * sandbox_hypervisor_release(): never free or store it.  Another call within
 * the task may return another one, if this one has died; it stays valid till
 * then all the same, and what is asked of it fails.
 */
sandbox_hv_conn_t *sandbox_hv_connection(sandbox_hv_error_t *err);

/* Sets *err from a text of ours. */
sandbox_hv_status_t
sandbox_hv_set(sandbox_hv_error_t *err, sandbox_hv_status_t status,
               const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Sets *err to OK, without a message; OK. */
static inline sandbox_hv_status_t
sandbox_hv_ok(sandbox_hv_error_t *err)
{
    err->status = SANDBOX_HV_OK;
    err->message[0] = '\0';

    return SANDBOX_HV_OK;
}

/*
 * Sets *err from libvirt's last error of this thread; the one place that maps
 * virError to our status.  The message begins with what failed.  No other call
 * into libvirt, not even for a name in the message, may come in between: Free,
 * Abort and New forget the error as well.
 */
sandbox_hv_status_t
sandbox_hv_fail(sandbox_hv_error_t *err, sandbox_hv_conn_t *conn,
                const char *fmt, ...) __attribute__((format(printf, 3, 4)));

void sandbox_hv_log(int level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

void sandbox_hv_sleep_ms(int ms);

/* A thread that no signal is delivered to: 0, to be joined, or -1. */
int sandbox_hv_thread(pthread_t *thread, void *(*run)(void *data), void *data);

/* sandbox_facts.c */

/* Fills conn->facts by RPC; on failure some may be set. */
sandbox_hv_status_t
sandbox_hv_facts_read(sandbox_hv_conn_t *conn, sandbox_hv_error_t *err);
/* The same, if QEMU was upgraded since. */
sandbox_hv_status_t
sandbox_hv_facts_renew(sandbox_hv_conn_t *conn, sandbox_hv_error_t *err);

/* sandbox_disk.c */

/*
 * Makes the overlay "<stem>.qcow2" of mb MiB over backing.  *replaced is set
 * if an old one was removed for it.  path (SANDBOX_HV_PATH_SIZE) receives its
 * path.  The stem is a sandbox's id, or "<id>.<random>".
 */
#define SANDBOX_HV_PATH_SIZE 1024
#define SANDBOX_HV_STEM_SIZE 48
sandbox_hv_status_t
sandbox_disk_create(sandbox_hv_conn_t *conn, const char *stem,
                    const char *backing, int64_t mb, char *path, int *replaced,
                    sandbox_hv_error_t *err);
/* Removes all overlays of the sandbox id; OK as well if there is none. */
sandbox_hv_status_t sandbox_disk_delete(sandbox_hv_conn_t *conn, const char *id,
                                        sandbox_hv_error_t *err);

/* The running pool, referenced; for sandbox_disk_file.c. */
virStoragePoolPtr
sandbox_disk_pool(sandbox_hv_conn_t *conn, sandbox_hv_error_t *err);
/* 0, or -1 if it does not fit into SANDBOX_HV_PATH_SIZE. */
int sandbox_disk_path(char *path, const char *name);
/*
 * stat() of a file in the directory of disks by the worker's own rights: 1 and
 * *st, 0: there is no such file, -1: only libvirt can tell.
 */
int sandbox_disk_stat(const char *name, struct stat *st);
/*
 * The volume, which the caller frees; NULL with libvirt's error.  refresh:
 * finds also a file that libvirtd has not seen yet.
 */
virStorageVolPtr
sandbox_disk_find(virStoragePoolPtr pool, const char *name, int refresh);
/* Makes the volume of xml; *replaced: an old one was removed for it. */
sandbox_hv_status_t
sandbox_disk_make(sandbox_hv_conn_t *conn, virStoragePoolPtr pool,
                  const char *name, const char *xml, int *replaced,
                  sandbox_hv_error_t *err);
/* OK as well if there is no such file. */
sandbox_hv_status_t
sandbox_disk_remove(sandbox_hv_conn_t *conn, const char *name,
                    sandbox_hv_error_t *err);
/*
 * Has libvirtd forget files that others have renamed or removed.  libvirtd
 * looks into each file of the directory for that, so call it rarely.  0, or -1:
 * not possible now.
 */
int sandbox_disk_refresh(sandbox_hv_conn_t *conn);

/* sandbox_disk_file.c: raw volumes by name. */

/*
 * Makes a file of capacity bytes that begins with the size bytes of data.  Only
 * one caller can make it: *exists is set if this failed because the file
 * exists.  After another failure no file is left, if libvirt can be reached.
 */
sandbox_hv_status_t
sandbox_disk_put(sandbox_hv_conn_t *conn, const char *name,
                 const unsigned char *data, size_t size, long long capacity,
                 char *path, int *exists, sandbox_hv_error_t *err);
/*
 * The content of a file, malloc'd, even if it is empty; *data NULL with OK:
 * there is no file.  A file longer than max is an error (FAILED).
 */
sandbox_hv_status_t
sandbox_disk_get(sandbox_hv_conn_t *conn, const char *name, size_t max,
                 unsigned char **data, size_t *size, sandbox_hv_error_t *err);
/* The same, but reads only the first max bytes of a longer file. */
sandbox_hv_status_t
sandbox_disk_head(sandbox_hv_conn_t *conn, const char *name, size_t max,
                  unsigned char **data, size_t *size, sandbox_hv_error_t *err);
/* Makes a sparse file that QEMU may write; else as sandbox_disk_create(). */
sandbox_hv_status_t
sandbox_disk_ram(sandbox_hv_conn_t *conn, const char *name, int64_t mb,
                 char *path, int *replaced, sandbox_hv_error_t *err);
/*
 * The names of the files that begin with prefix, sorted; the worker reads the
 * directory itself where it may, because libvirt would look into each file.
 */
sandbox_hv_status_t
sandbox_disk_names(sandbox_hv_conn_t *conn, const char *prefix, char ***names,
                   size_t *n, sandbox_hv_error_t *err);
/* 1 if name is among the n names, which are sorted. */
int sandbox_disk_names_have(char **names, size_t n, const char *name);
/* In bytes: the file's length, or -1 if there is none, and its blocks. */
sandbox_hv_status_t
sandbox_disk_size(sandbox_hv_conn_t *conn, const char *name, int64_t *length,
                  int64_t *blocks, sandbox_hv_error_t *err);
/* Ms since the file was made, renamed or written; 0 if that is unknown. */
int64_t sandbox_disk_age(const char *name);

/* sandbox_monitor.c: QEMU's monitor; functions that wait say so. */

/* The capability to send the memory of a machine that goes on. */
#define SANDBOX_MONITOR_LIVE "background-snapshot"

/*
 * Passes a descriptor to QEMU under a name; fd stays the caller's.  Only for a
 * local libvirt.
 */
sandbox_hv_status_t
sandbox_monitor_fd(sandbox_hv_conn_t *conn, virDomainPtr domain,
                   const char *name, int fd, sandbox_hv_error_t *err);
sandbox_hv_status_t
sandbox_monitor_fd_close(sandbox_hv_conn_t *conn, virDomainPtr domain,
                         const char *name, sandbox_hv_error_t *err);
sandbox_hv_status_t
sandbox_monitor_capability(sandbox_hv_conn_t *conn, virDomainPtr domain,
                           const char *name, int on, sandbox_hv_error_t *err);
/*
 * Passes a descriptor to QEMU as /dev/fdset/SET (SET: a number that is not in
 * use), and removes it there; fd stays the caller's.
 */
sandbox_hv_status_t
sandbox_monitor_fdset(sandbox_hv_conn_t *conn, virDomainPtr domain, int set,
                      int fd, sandbox_hv_error_t *err);
sandbox_hv_status_t
sandbox_monitor_fdset_close(sandbox_hv_conn_t *conn, virDomainPtr domain,
                            int set, sandbox_hv_error_t *err);
/* Saves the devices of a machine that stands still to /dev/fdset/SET. */
sandbox_hv_status_t
sandbox_monitor_devices(sandbox_hv_conn_t *conn, virDomainPtr domain, int set,
                        sandbox_hv_error_t *err);
/* QEMU 10 and later: activates the disks of a machine that was loaded. */
sandbox_hv_status_t
sandbox_monitor_activate(sandbox_hv_conn_t *conn, virDomainPtr domain,
                         sandbox_hv_error_t *err);
/* Lifts the limit of bandwidth, before a migration that sends. */
sandbox_hv_status_t
sandbox_monitor_unlimited(sandbox_hv_conn_t *conn, virDomainPtr domain,
                          sandbox_hv_error_t *err);
/*
 * Before a state is received: the card is not announced in its new place, by
 * QEMU or by the guest.
 */
sandbox_hv_status_t
sandbox_monitor_unannounced(sandbox_hv_conn_t *conn, virDomainPtr domain,
                            sandbox_hv_error_t *err);
/*
 * Begins to send, or to receive, a state: "fd:NAME" of a descriptor passed
 * before, or "file:…".
 */
sandbox_hv_status_t
sandbox_monitor_migrate(sandbox_hv_conn_t *conn, virDomainPtr domain,
                        int incoming, const char *uri, sandbox_hv_error_t *err);
/* Waits until the migration has completed. */
sandbox_hv_status_t
sandbox_monitor_migrated(sandbox_hv_conn_t *conn, virDomainPtr domain,
                         int64_t deadline_ms, sandbox_hv_error_t *err);
/*
 * Cancels a migration that may be in progress, and waits until it has ended.
 * wait: it must not be cancelled, so only waits.
 */
sandbox_hv_status_t
sandbox_monitor_cancel(sandbox_hv_conn_t *conn, virDomainPtr domain, int wait,
                       int64_t deadline_ms, sandbox_hv_error_t *err);
/* Writes path as the backing file into the header of the disk `node`. */
sandbox_hv_status_t
sandbox_monitor_backing(sandbox_hv_conn_t *conn, virDomainPtr domain,
                        const char *node, const char *path,
                        sandbox_hv_error_t *err);
/* *begins: 1 if a migration was started and is still in its setup. */
sandbox_hv_status_t
sandbox_monitor_begins(sandbox_hv_conn_t *conn, virDomainPtr domain,
                       int *begins, sandbox_hv_error_t *err);
/*
 * Has QEMU read all of the guest's memory, so that it is mapped; waits.  1,
 * also if QEMU refuses; 0: broken off, at the deadline or when *stop was set.
 */
int
sandbox_monitor_touch(sandbox_hv_conn_t *conn, virDomainPtr domain,
                      int64_t memory_mb, int64_t deadline_ms, const int *stop);
/* The whole of QEMU's answer to a command without arguments, malloc'd. */
sandbox_hv_status_t
sandbox_monitor_query(sandbox_hv_conn_t *conn, virDomainPtr domain,
                      const char *what, char **answer, sandbox_hv_error_t *err);
/* Has QEMU end, without waiting for that. */
sandbox_hv_status_t
sandbox_monitor_quit(sandbox_hv_conn_t *conn, virDomainPtr domain,
                     sandbox_hv_error_t *err);

/* sandbox_disk_chain.c: what a running domain's disk stands on. */

#define SANDBOX_DISK_LAYERS 64

typedef struct {
    /* paths, the sandbox's overlay first, the template's disk last */
    char *layers[SANDBOX_DISK_LAYERS + 1];
    size_t n;
    char *node; /* QEMU's node name of the overlay */
} sandbox_disk_chain_t;

/*
 * The chain as the headers of the files have it: libvirt's XML is right about
 * the overlay only, because layers below may have been renamed.
 */
sandbox_hv_status_t
sandbox_disk_chain(sandbox_hv_conn_t *conn, virDomainPtr domain,
                   sandbox_disk_chain_t *chain, sandbox_hv_error_t *err);
void sandbox_disk_chain_free(sandbox_disk_chain_t *chain);
/* Puts the overlay at path on the disk of the domain, suspended or not. */
sandbox_hv_status_t
sandbox_disk_flip(sandbox_hv_conn_t *conn, virDomainPtr domain,
                  const char *path, sandbox_hv_error_t *err);

/* sandbox_disk_local.c */

/*
 * The directory of disks by the worker's own rights, for a local libvirt only:
 * names that begin with prefix (unsorted; for sandbox_disk_names_free()),
 * removal (OK as well if there is none), blocks taken in bytes.
 */
sandbox_hv_status_t sandbox_disk_local(const char *prefix, char ***names,
                                       size_t *n, sandbox_hv_error_t *err);
sandbox_hv_status_t
sandbox_disk_unlink(const char *name, sandbox_hv_error_t *err);
int64_t sandbox_disk_blocks(const char *name);
void sandbox_disk_names_free(char **names, size_t n);
/*
 * Makes a file of the worker's with that content, at once, and so that only one
 * caller can make it; it is not synced.  1: made, or not with *err set.  0: not
 * made, and sandbox_disk_put() can, or tells why not: the file exists, the
 * directory is not the worker's, or the file system has no nameless files.
 */
int sandbox_disk_write(const char *name, const unsigned char *data, size_t size,
                       sandbox_hv_error_t *err);
/*
 * Syncing the file system that the directory is on.  QEMU's files a worker may
 * not open, but so it syncs them.  Only errors of writing since the descriptor
 * was opened are seen, and each only once: it is opened before the first of the
 * files is written, and after a failure none of them is to be trusted.  -1, if
 * the worker may not open the directory: then everything is synced, and no
 * error is seen.  The caller closes it.
 */
int sandbox_disk_sync_open(void);
sandbox_hv_status_t sandbox_disk_sync(int fd, sandbox_hv_error_t *err);

/* sandbox_inventory.c */

/*
 * The ids of all domains, sorted, by one call of libvirt; the caller frees the
 * list.
 */
sandbox_hv_status_t
sandbox_inventory_names(sandbox_hv_conn_t *conn, char (**list)[SANDBOX_ID_SIZE],
                        size_t *n, sandbox_hv_error_t *err);
int sandbox_inventory_has(const char (*list)[SANDBOX_ID_SIZE], size_t n,
                          const char *id);

/* sandbox_domain.c */

/*
 * 1 for a domain that libvirtd lists for ever, although it has no process, and
 * that shows so still: a later domain may have the same UUID.
 */
int sandbox_domain_is_lost(virDomainPtr domain, const char *uuid);

/*
 * Verbs on the same id wait for each other in this process.  The caller keeps
 * turn and id valid until it leaves.
 */
typedef struct sandbox_domain_turn_s sandbox_domain_turn_t;

struct sandbox_domain_turn_s {
    sandbox_domain_turn_t *next;
    const char *id;
};

void sandbox_domain_enter(sandbox_domain_turn_t *turn, const char *id);
void sandbox_domain_leave(sandbox_domain_turn_t *turn);

/*
 * Starts the domain of the spec, which the caller frees; NULL with *err.  A
 * domain with a network starts paused, for sandbox_domain_run().
 */
virDomainPtr
sandbox_domain_start(sandbox_hv_conn_t *conn, const sandbox_domain_spec_t *spec,
                     const sandbox_domain_xml_t *host, unsigned flags,
                     sandbox_hv_error_t *err);
/*
 * 1 if the domain of id, whose UUID is written, is to be started; 0 with *err,
 * which is OK if it runs.  Waits for a domain that another process is starting,
 * and removes one that has ended.
 */
int
sandbox_domain_missing(sandbox_hv_conn_t *conn, const char *id,
                       char uuid[SANDBOX_UUID_SIZE], sandbox_hv_error_t *err);
/*
 * After starting the domain has failed: OK if another process has started it
 * meanwhile, else *err as it was, and the overlay is removed.
 */
sandbox_hv_status_t
sandbox_domain_refused(sandbox_hv_conn_t *conn,
                       const sandbox_domain_spec_t *spec, const char *uuid,
                       int replaced, sandbox_hv_error_t *err);
/* Ends a domain whose start has failed, and removes its overlay. */
void sandbox_domain_undo(sandbox_hv_conn_t *conn,
                         const sandbox_domain_spec_t *spec, const char *uuid);
/* Sets the members of host that do not depend on the sandbox, zeroes others. */
void sandbox_domain_host(sandbox_domain_xml_t *host, sandbox_hv_conn_t *conn,
                         sandbox_accel_t accel);

/* NULL with OK: there is no such domain; NULL with another status: failure. */
virDomainPtr sandbox_domain_lookup(sandbox_hv_conn_t *conn, const char *uuid,
                                   sandbox_hv_error_t *err);
/*
 * The domain that runs a sandbox, which the caller frees, on this thread's
 * connection; NULL with *err, also if there is none.
 */
virDomainPtr sandbox_domain_of(sandbox_hv_conn_t **conn, const char *id,
                               sandbox_hv_error_t *err);
/* Ends the domain and waits, within a bound, until libvirt forgot it. */
sandbox_hv_status_t
sandbox_domain_end(sandbox_hv_conn_t *conn, const char *uuid,
                   sandbox_hv_error_t *err);

/* sandbox_domain_network.c */

/*
 * Resumes a paused domain as soon as the watcher has admitted it to its
 * network.  NETWORK: the watcher did not within 5 s, or could not.
 */
sandbox_hv_status_t
sandbox_domain_run(sandbox_hv_conn_t *conn, virDomainPtr domain,
                   const sandbox_domain_spec_t *spec, sandbox_hv_error_t *err);

#endif
