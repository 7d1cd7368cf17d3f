/*
 * The VM engine: domains, disks and channels of one libvirt host.
 *
 * Knows libvirt, libxml2 and core; nothing of nginx, HTTP or Redis.  All
 * verbs block and are for pool threads only; a thread takes a libvirt
 * connection at its first verb, checked and remade when it has died, and gives
 * it back for others at the end of its task.  All verbs are idempotent: they
 * look the UUID up first, so a step may be repeated after a crash.
 */

#ifndef SANDBOX_HYPERVISOR_H
#define SANDBOX_HYPERVISOR_H

#include <stddef.h>
#include <stdint.h>

#include "sandbox_id.h"
#include "sandbox_network.h"
#include "sandbox_template.h"
#include "sandbox_tenant.h"

typedef enum {
    SANDBOX_ACCEL_AUTO = 0,
    SANDBOX_ACCEL_KVM,
    SANDBOX_ACCEL_TCG
} sandbox_accel_t;

typedef struct {
    const char *uri;      /* libvirt, e.g. "qemu:///system" */
    const char *data_dir; /* on the hypervisor; overlays live in disks/ */
    const char *bridge;
    const char *node; /* the node that owns the domains: in their metadata */
    sandbox_accel_t accel;
} sandbox_hypervisor_conf_t;

typedef enum {
    SANDBOX_HV_OK = 0,
    SANDBOX_HV_UNAVAILABLE,   /* libvirtd away or not answering: retry later */
    SANDBOX_HV_NO_CAPACITY,   /* memory, disk or a limit of the host */
    SANDBOX_HV_TIMEOUT,       /* the guest did not answer in time */
    SANDBOX_HV_GUEST,         /* the guest answered that it failed */
    SANDBOX_HV_FAILED,        /* anything else; see the message */
    SANDBOX_HV_NO_CHECKPOINT, /* none, or torn, or of another host */
    SANDBOX_HV_IN_USE,        /* a domain runs from it, or it is needed */
    SANDBOX_HV_NETWORK        /* libvirt's hook has not admitted the guest */
} sandbox_hv_status_t;

typedef struct {
    sandbox_hv_status_t status;
    char message[256]; /* a sentence for the log, not for clients */
} sandbox_hv_error_t;

typedef struct {
    const char *id;     /* "sb_…", also the domain's name */
    const char *tenant; /* metadata on the domain */
    const char *operation;
    const char *mac;
    const char *tap; /* host interface name, at most 15 characters */
    const sandbox_network_t *network; /* NULL: the machine is admitted to no
                                         network */
    int vcpus;
    int64_t memory_mb;
    int64_t disk_mb; /* virtual size of the overlay, >= the template's */
    const sandbox_template_t *template;
} sandbox_domain_spec_t;

typedef struct {
    int64_t disk_ms;    /* overlay made */
    int64_t domain_ms;  /* virDomainCreateXML returned */
    int64_t channel_ms; /* set by the opener of the channel; boot leaves 0 */
} sandbox_hv_times_t;

/*
 * Starts the event loop thread that libvirt's keepalive and streams need,
 * and remembers conf (which must outlive it).  Once per worker process, from
 * init_process; no fork may follow.  0 or -1.  The thread blocks all signals.
 */
int sandbox_hypervisor_start(const sandbox_hypervisor_conf_t *conf,
                             void (*log)(int level, const char *message));

/*
 * Gives the calling thread's connection back for others: at the end of a task
 * that called verbs.
 */
void sandbox_hypervisor_release(void);

/*
 * Closes connections that no thread has, now and whenever one is given back:
 * for a process that ends, but may wait long for its last requests.  Verbs
 * still work.  Does not block.
 */
void sandbox_hypervisor_leave(void);

/* Stops the loop thread.  After all pool threads are gone. */
void sandbox_hypervisor_stop(void);

/*
 * The accelerator that will be used: the one that conf forces, or the answer of
 * a probe, which boots a tiny guest under KVM and waits a limited time for it
 * to power itself off.  This process keeps the answer; data_dir has it for
 * others, by boot of the host, version of QEMU and URI of libvirt.  *accel is
 * AUTO if the status is not OK.
 */
sandbox_hv_status_t
sandbox_hypervisor_accel(sandbox_accel_t *accel, sandbox_hv_error_t *err);

/* Makes the overlay and starts the domain, which runs when it returns OK. */
sandbox_hv_status_t
sandbox_hypervisor_boot(const sandbox_domain_spec_t *spec,
                        sandbox_hv_times_t *times, sandbox_hv_error_t *err);

/*
 * Ends the domain of id and removes its overlay; OK as well if neither
 * exists.  The tap goes with the domain.
 */
sandbox_hv_status_t
sandbox_hypervisor_destroy(const char *id, sandbox_hv_error_t *err);

/*
 * Sets another policy for a running sandbox: tells it to the watcher of its
 * hypervisor and waits until the watcher has put it in force.  TIMEOUT: the
 * watcher did not answer by the deadline (monotonic ms), and may do so later;
 * FAILED: the watcher could not, the sandbox does not run, or it has a policy
 * of a later generation.
 */
sandbox_hv_status_t
sandbox_hypervisor_network(const char *id, const sandbox_network_t *network,
                           int64_t deadline_ms, sandbox_hv_error_t *err);

/*
 * Ends the silence of a sandbox that was started from a checkpoint of a guest
 * configured earlier: until it is configured anew it has its former addresses
 * and connections, and may not send.  Changes nothing for other sandboxes.
 * NETWORK: the watcher did not do it within 5 s, or could not.
 */
sandbox_hv_status_t
sandbox_hypervisor_connect(const char *id, const sandbox_network_t *network,
                           sandbox_hv_error_t *err);

/* Sandboxes on this host, of whatever node, by metadata. */
typedef struct {
    char id[SANDBOX_ID_SIZE];
    char tenant[SANDBOX_TENANT_SIZE];
    unsigned ours : 1; /* the node in its metadata is that of conf */
} sandbox_domain_info_t;

/* *list is malloc'd, the caller frees it.  All sandboxes, or an error. */
sandbox_hv_status_t sandbox_hypervisor_list(sandbox_domain_info_t **list,
                                            size_t *n, sandbox_hv_error_t *err);

/* Sets gone[i] to 1 for each id without a domain, else to 0. */
sandbox_hv_status_t
sandbox_hypervisor_gone(const char (*ids)[SANDBOX_ID_SIZE], unsigned char *gone,
                        size_t n, sandbox_hv_error_t *err);

/* Overlays without a domain; ids as above, malloc'd array. */
sandbox_hv_status_t
sandbox_hypervisor_list_disks(char (**ids)[SANDBOX_ID_SIZE], size_t *n,
                              sandbox_hv_error_t *err);

/*
 * The bootstrap channel (virtio-serial "org.sandbox.agent.0") of a running
 * domain, through libvirt, so that it works on remote hosts too.
 */
typedef struct sandbox_channel_s sandbox_channel_t;

sandbox_hv_status_t sandbox_channel_open(sandbox_channel_t **ch, const char *id,
                                         sandbox_hv_error_t *err);
/* Writes all of it before the deadline (sandbox_time_monotonic_ms) or fails. */
int sandbox_channel_write(void *ch, const char *data, size_t len,
                          int64_t deadline_ms);
/*
 * Bytes read (1..size), 0 when the deadline passed, -1 when the peer ended.  A
 * peer that has sent more than 128 KiB which nobody has read is ended: what is
 * kept of it is still read, and nothing is written to it any more.
 */
int64_t
sandbox_channel_read(void *ch, char *data, size_t size, int64_t deadline_ms);
void sandbox_channel_close(sandbox_channel_t *ch);

#endif
