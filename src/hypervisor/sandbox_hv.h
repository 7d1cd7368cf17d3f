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

/* Read once per connection, so they are fresh after a restart of libvirtd. */
typedef struct {
    char machine[SANDBOX_HV_MACHINE_SIZE];
    char label[SANDBOX_HV_LABEL_SIZE]; /* "+64055:+108"; empty: no DAC */
    char cpu[SANDBOX_HV_MACHINE_SIZE]; /* model of the host's, may be empty */
    long owner;                        /* of the QEMU processes, -1 unknown */
    long group;
    unsigned long qemu; /* version: major * 1000000 + minor * 1000 + micro */
} sandbox_hv_facts_t;

typedef struct sandbox_hv_conn_s sandbox_hv_conn_t;

struct sandbox_hv_conn_s {
    sandbox_hv_conn_t *next; /* of those that no thread has */
    virConnectPtr virt;
    sandbox_hv_facts_t facts;
};

const sandbox_hypervisor_conf_t *sandbox_hv_conf(void);
/*
 * 1 if libvirt is on this machine: its boot and files are ours, and it takes
 * descriptors.
 */
int sandbox_hv_is_local(void);

/*
 * The calling thread's connection, alive as far as the client side can tell;
 * NULL with *err set.  It belongs to the thread until it is given back by
 * sandbox_hypervisor_release(): never free or store it.
 */
sandbox_hv_conn_t *sandbox_hv_connection(sandbox_hv_error_t *err);

/* Sets *err from a text of ours. */
sandbox_hv_status_t
sandbox_hv_set(sandbox_hv_error_t *err, sandbox_hv_status_t status,
               const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * Sets *err from libvirt's last error of this thread; the one place that maps
 * virError to our status.  What failed comes first in the message.  Any call
 * into libvirt since then, and be it for a name in the message, forgets it.
 */
sandbox_hv_status_t
sandbox_hv_fail(sandbox_hv_error_t *err, sandbox_hv_conn_t *conn,
                const char *fmt, ...) __attribute__((format(printf, 3, 4)));

void sandbox_hv_log(int level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

void sandbox_hv_sleep_ms(int ms);

/* A thread that no signal is delivered to: 0, to be joined, or -1. */
int sandbox_hv_thread(pthread_t *thread, void *(*run)(void *data), void *data);

/* sandbox_facts.c: fills conn->facts over RPC. */
sandbox_hv_status_t
sandbox_hv_facts_read(sandbox_hv_conn_t *conn, sandbox_hv_error_t *err);

/* sandbox_disk.c */

/*
 * Makes the overlay "<stem>.qcow2" of mb MiB over backing.  *replaced is set
 * if one stood there and was removed.  path (SANDBOX_HV_PATH_SIZE) receives
 * where.  The stem is a sandbox's id, or one of a checkpoint and more.
 */
#define SANDBOX_HV_PATH_SIZE 1024
#define SANDBOX_HV_STEM_SIZE 48
sandbox_hv_status_t
sandbox_disk_create(sandbox_hv_conn_t *conn, const char *stem,
                    const char *backing, int64_t mb, char *path, int *replaced,
                    sandbox_hv_error_t *err);
/* OK as well if there is none. */
sandbox_hv_status_t sandbox_disk_delete(sandbox_hv_conn_t *conn, const char *id,
                                        sandbox_hv_error_t *err);

/*
 * sandbox_inventory.c: the ids of all domains, sorted, by one call of libvirt;
 * the caller frees the list.
 */
sandbox_hv_status_t
sandbox_inventory_names(sandbox_hv_conn_t *conn, char (**list)[SANDBOX_ID_SIZE],
                        size_t *n, sandbox_hv_error_t *err);
int sandbox_inventory_has(const char (*list)[SANDBOX_ID_SIZE], size_t n,
                          const char *id);

/* For sandbox_disk.c and sandbox_disk_file.c: the running pool, referenced. */
virStoragePoolPtr
sandbox_disk_pool(sandbox_hv_conn_t *conn, sandbox_hv_error_t *err);
/* 0, or -1 if it does not fit into SANDBOX_HV_PATH_SIZE. */
int sandbox_disk_path(char *path, const char *name);
/*
 * A look by the worker's own rights: 1 and *st, 0: there is no such file, -1:
 * only libvirt can tell.
 */
int sandbox_disk_stat(const char *name, struct stat *st);
/* NULL with libvirt's error; refresh: also a file libvirtd has not seen. */
virStorageVolPtr
sandbox_disk_find(virStoragePoolPtr pool, const char *name, int refresh);
/* One that stands there is replaced. */
sandbox_hv_status_t
sandbox_disk_make(sandbox_hv_conn_t *conn, virStoragePoolPtr pool,
                  const char *name, const char *xml, int *replaced,
                  sandbox_hv_error_t *err);

/* sandbox_disk_file.c: raw volumes by name. */

/*
 * One of capacity bytes that begins with the size bytes of data.  Its making
 * is atomic: *exists says that it failed because there is one.  On another
 * failure none is left, as far as libvirt can be reached.
 */
sandbox_hv_status_t
sandbox_disk_put(sandbox_hv_conn_t *conn, const char *name,
                 const unsigned char *data, size_t size, long long capacity,
                 char *path, int *exists, sandbox_hv_error_t *err);
/*
 * The content, malloc'd, also of an empty one; *data NULL with OK: there is
 * none.  One longer than max is not read.
 */
sandbox_hv_status_t
sandbox_disk_get(sandbox_hv_conn_t *conn, const char *name, size_t max,
                 unsigned char **data, size_t *size, sandbox_hv_error_t *err);
/* The same of its first max bytes at most. */
sandbox_hv_status_t
sandbox_disk_head(sandbox_hv_conn_t *conn, const char *name, size_t max,
                  unsigned char **data, size_t *size, sandbox_hv_error_t *err);
/* An empty, sparse one that QEMU may write; as sandbox_disk_create(). */
sandbox_hv_status_t
sandbox_disk_ram(sandbox_hv_conn_t *conn, const char *name, int64_t mb,
                 char *path, int *replaced, sandbox_hv_error_t *err);
/*
 * The names of the files that begin with prefix, sorted: read by ourselves
 * where we may, for libvirt looks into each of them.
 */
sandbox_hv_status_t
sandbox_disk_names(sandbox_hv_conn_t *conn, const char *prefix, char ***names,
                   size_t *n, sandbox_hv_error_t *err);
void sandbox_disk_names_free(char **names, size_t n);
/* 1 if name is one of them. */
int sandbox_disk_names_have(char **names, size_t n, const char *name);
/* In bytes: the file's length, -1 if there is none, and what it takes. */
sandbox_hv_status_t
sandbox_disk_size(sandbox_hv_conn_t *conn, const char *name, int64_t *length,
                  int64_t *blocks, sandbox_hv_error_t *err);
/* Ms since it was made, renamed or written; 0 if that cannot be told. */
int64_t sandbox_disk_age(const char *name);
sandbox_hv_status_t
sandbox_disk_remove(sandbox_hv_conn_t *conn, const char *name,
                    sandbox_hv_error_t *err);
/*
 * libvirtd remembers what was renamed or removed by others until it looks into
 * the directory, and so into each file: for whoever comes by once in a while.
 * 0, or -1: not now.
 */
int sandbox_disk_refresh(sandbox_hv_conn_t *conn);

/* sandbox_monitor.c: QEMU's monitor; who waits says so. */

/* A capability: to send the memory of a machine that goes on. */
#define SANDBOX_MONITOR_LIVE "background-snapshot"

/*
 * Passes a descriptor under a name; it stays open here.  Only to a libvirt that
 * is local.
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
 * Passes a descriptor that is named by /dev/fdset/SET, and takes it back; SET:
 * any number that is not in use.
 */
sandbox_hv_status_t
sandbox_monitor_fdset(sandbox_hv_conn_t *conn, virDomainPtr domain, int set,
                      int fd, sandbox_hv_error_t *err);
sandbox_hv_status_t
sandbox_monitor_fdset_close(sandbox_hv_conn_t *conn, virDomainPtr domain,
                            int set, sandbox_hv_error_t *err);
/* Of a machine that stands still: the state of its devices, to such a set. */
sandbox_hv_status_t
sandbox_monitor_devices(sandbox_hv_conn_t *conn, virDomainPtr domain, int set,
                        sandbox_hv_error_t *err);
/* QEMU 10 and later: what was loaded and does not run yet has its disks. */
sandbox_hv_status_t
sandbox_monitor_activate(sandbox_hv_conn_t *conn, virDomainPtr domain,
                         sandbox_hv_error_t *err);
/* As fast as it goes: before a migration that is to be sent. */
sandbox_hv_status_t
sandbox_monitor_unlimited(sandbox_hv_conn_t *conn, virDomainPtr domain,
                          sandbox_hv_error_t *err);
/*
 * Begins to send, or to receive, a state: "fd:NAME" of a descriptor passed
 * before, or "file:…".
 */
sandbox_hv_status_t
sandbox_monitor_migrate(sandbox_hv_conn_t *conn, virDomainPtr domain,
                        int incoming, const char *uri, sandbox_hv_error_t *err);
/* Waits for its end. */
sandbox_hv_status_t
sandbox_monitor_migrated(sandbox_hv_conn_t *conn, virDomainPtr domain,
                         int64_t deadline_ms, sandbox_hv_error_t *err);
/*
 * Gives one up that may be going on, and waits until it has ended.  wait: one
 * that may not be cancelled.
 */
sandbox_hv_status_t
sandbox_monitor_cancel(sandbox_hv_conn_t *conn, virDomainPtr domain, int wait,
                       int64_t deadline_ms, sandbox_hv_error_t *err);
/* The name of what a disk stands on, in its file; node: that of the disk. */
sandbox_hv_status_t
sandbox_monitor_backing(sandbox_hv_conn_t *conn, virDomainPtr domain,
                        const char *node, const char *path,
                        sandbox_hv_error_t *err);
/* 1 if it was told to send, and has not begun with what it is sent for. */
sandbox_hv_status_t
sandbox_monitor_begins(sandbox_hv_conn_t *conn, virDomainPtr domain,
                       int *begins, sandbox_hv_error_t *err);
/* Maps all of the guest's memory into QEMU, by reading it. */
void sandbox_monitor_touch(sandbox_hv_conn_t *conn, virDomainPtr domain,
                           int64_t memory_mb);
/* The whole of QEMU's answer to a command without arguments, malloc'd. */
sandbox_hv_status_t
sandbox_monitor_query(sandbox_hv_conn_t *conn, virDomainPtr domain,
                      const char *what, char **answer, sandbox_hv_error_t *err);
/* Ends it, without waiting. */
sandbox_hv_status_t
sandbox_monitor_quit(sandbox_hv_conn_t *conn, virDomainPtr domain,
                     sandbox_hv_error_t *err);

/* sandbox_disk_chain.c: what a running domain's disk stands on. */

#define SANDBOX_DISK_LAYERS 64

typedef struct {
    /* paths, nearest first, the sandbox's own and the template's too */
    char *layers[SANDBOX_DISK_LAYERS + 1];
    size_t n;
    char *node; /* QEMU's name of the first one */
} sandbox_disk_chain_t;

/*
 * As the files themselves have it: libvirt's XML is right about the first
 * one only, for those below may have been renamed.
 */
sandbox_hv_status_t
sandbox_disk_chain(sandbox_hv_conn_t *conn, virDomainPtr domain,
                   sandbox_disk_chain_t *chain, sandbox_hv_error_t *err);
void sandbox_disk_chain_free(sandbox_disk_chain_t *chain);
/* The domain, suspended or not, goes on with the overlay at path. */
sandbox_hv_status_t
sandbox_disk_flip(sandbox_hv_conn_t *conn, virDomainPtr domain,
                  const char *path, sandbox_hv_error_t *err);

/* sandbox_disk_local.c */

/*
 * The directory of disks by the worker's own rights, which local libvirts
 * alone know: names that begin with prefix (freed as sandbox_disk_names()
 * are), removal (OK as well if there is none), blocks taken in bytes.
 */
sandbox_hv_status_t sandbox_disk_local(const char *prefix, char ***names,
                                       size_t *n, sandbox_hv_error_t *err);
sandbox_hv_status_t
sandbox_disk_unlink(const char *name, sandbox_hv_error_t *err);
int64_t sandbox_disk_blocks(const char *name);

/* sandbox_domain.c */

/* 1 for one that libvirtd shows for ever, without a process. */
int sandbox_domain_is_lost(const char *uuid);

/*
 * Verbs on the same id wait for each other in this process; the turn is the
 * caller's memory until it leaves.
 */
typedef struct sandbox_domain_turn_s sandbox_domain_turn_t;

struct sandbox_domain_turn_s {
    sandbox_domain_turn_t *next;
    const char *id;
};

void sandbox_domain_enter(sandbox_domain_turn_t *turn, const char *id);
void sandbox_domain_leave(sandbox_domain_turn_t *turn);

/*
 * The domain of the spec, which the caller frees; NULL with *err.  One with a
 * network starts paused, for sandbox_domain_run().
 */
virDomainPtr
sandbox_domain_start(sandbox_hv_conn_t *conn, const sandbox_domain_spec_t *spec,
                     const sandbox_domain_xml_t *host, unsigned flags,
                     sandbox_hv_error_t *err);
/*
 * 1: it runs; 0: there is none any more; -1 with *err.  One that is being
 * started by another process is waited for, one that has ended is removed.
 */
int sandbox_domain_settle(sandbox_hv_conn_t *conn, const char *uuid,
                          sandbox_hv_error_t *err);
/*
 * Starting it has failed: OK if another process has started it meanwhile,
 * else *err as it was, and the overlay is removed.
 */
sandbox_hv_status_t
sandbox_domain_refused(sandbox_hv_conn_t *conn,
                       const sandbox_domain_spec_t *spec, const char *uuid,
                       int replaced, sandbox_hv_error_t *err);
/* Ends one whose start has failed, and removes its overlay. */
void sandbox_domain_undo(sandbox_hv_conn_t *conn,
                         const sandbox_domain_spec_t *spec, const char *uuid);
/* The parts of host that do not depend on the sandbox; the rest is empty. */
void sandbox_domain_host(sandbox_domain_xml_t *host, sandbox_hv_conn_t *conn,
                         sandbox_accel_t accel);

/*
 * sandbox_domain_network.c: lets a paused domain run, as soon as the watcher
 * has let it into its network.  NETWORK: it did not within 5 s, or could not.
 */
sandbox_hv_status_t
sandbox_domain_run(sandbox_hv_conn_t *conn, virDomainPtr domain,
                   const sandbox_domain_spec_t *spec, sandbox_hv_error_t *err);

/* NULL with err OK: there is none; NULL with another status: it failed. */
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

#endif
