/*
 * What the files of this room share: a thread's connection, the facts of the
 * host behind it, errors, and the parts of a boot.  Not for other rooms.
 */

#ifndef SANDBOX_HV_H
#define SANDBOX_HV_H

#include <libvirt/libvirt.h>

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
    long owner;                        /* of the QEMU processes, -1 unknown */
    long group;
} sandbox_hv_facts_t;

typedef struct {
    virConnectPtr virt;
    sandbox_hv_facts_t facts;
} sandbox_hv_conn_t;

const sandbox_hypervisor_conf_t *sandbox_hv_conf(void);

/*
 * The calling thread's connection, alive as far as the client side can tell;
 * NULL with *err set.  It belongs to the thread: never free or store it.
 */
sandbox_hv_conn_t *sandbox_hv_connection(sandbox_hv_error_t *err);

/* Sets *err from a text of ours. */
sandbox_hv_status_t
sandbox_hv_set(sandbox_hv_error_t *err, sandbox_hv_status_t status,
               const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * Sets *err from libvirt's last error of this thread; the one place that maps
 * virError to our status.  What failed comes first in the message.
 */
sandbox_hv_status_t
sandbox_hv_fail(sandbox_hv_error_t *err, sandbox_hv_conn_t *conn,
                const char *fmt, ...) __attribute__((format(printf, 3, 4)));

void sandbox_hv_log(int level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

void sandbox_hv_sleep_ms(int ms);

/* sandbox_facts.c: fills conn->facts over RPC. */
sandbox_hv_status_t
sandbox_hv_facts_read(sandbox_hv_conn_t *conn, sandbox_hv_error_t *err);

/* sandbox_disk.c */

/*
 * Makes the overlay of id over the template's disk.  *replaced is set if one
 * stood there and was removed.  path (SANDBOX_HV_PATH_SIZE) receives where.
 */
#define SANDBOX_HV_PATH_SIZE 1024
sandbox_hv_status_t
sandbox_disk_create(sandbox_hv_conn_t *conn, const sandbox_domain_spec_t *spec,
                    char *path, int *replaced, sandbox_hv_error_t *err);
/* OK as well if there is none. */
sandbox_hv_status_t sandbox_disk_delete(sandbox_hv_conn_t *conn, const char *id,
                                        sandbox_hv_error_t *err);
/*
 * A raw volume that holds size bytes of data, for the accelerator probe.  Its
 * making is atomic: *exists says that it failed because there is one.
 */
sandbox_hv_status_t
sandbox_disk_put(sandbox_hv_conn_t *conn, const char *name,
                 const unsigned char *data, size_t size, char *path,
                 int *exists, sandbox_hv_error_t *err);
sandbox_hv_status_t
sandbox_disk_remove(sandbox_hv_conn_t *conn, const char *name,
                    sandbox_hv_error_t *err);

/* sandbox_domain.c */

/* NULL with err OK: there is none; NULL with another status: it failed. */
virDomainPtr sandbox_domain_lookup(sandbox_hv_conn_t *conn, const char *uuid,
                                   sandbox_hv_error_t *err);
/* Ends the domain and waits, within a bound, until libvirt forgot it. */
sandbox_hv_status_t
sandbox_domain_end(sandbox_hv_conn_t *conn, const char *uuid,
                   sandbox_hv_error_t *err);

#endif
