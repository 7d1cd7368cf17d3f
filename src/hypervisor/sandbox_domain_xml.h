/*
 * The XML documents that libvirt is given, and the little that is read from
 * those it gives.  Pure functions over libxml2; any thread; no libvirt.
 *
 * Writers escape every value.  They return NULL for a value that XML cannot
 * carry (a control character, bad UTF-8), for one of 64 KiB or more or a NULL
 * where one is needed, and if memory is out.
 *
 * Results are NUL-terminated and the caller's to free().
 */

#ifndef SANDBOX_DOMAIN_XML_H
#define SANDBOX_DOMAIN_XML_H

#include <stddef.h>

#include "sandbox_hypervisor.h"

/* The memory's name in device states: must never change. */
#define SANDBOX_DOMAIN_RAM "sandbox.ram"
#define SANDBOX_HV_NAMESPACE "urn:nginx-sandbox:domain:1"

/* The memory of a domain. */
typedef struct {
    const char *path; /* its file, for checkpoints; NULL: anonymous memory */
    int shared;       /* 1: the guest's writes go to the file */
    int incoming;     /* 1: the domain waits for a device state */
} sandbox_domain_ram_t;

/* What a domain needs beyond its spec; all pointers stay the caller's. */
typedef struct {
    const char *uuid;
    const char *disk; /* path of the overlay */

    /* layers below the overlay, nearest first, up to a NULL; NULL: only the
       template's disk */
    const char *const *layers;
    const sandbox_domain_ram_t *ram; /* NULL: libvirt's own, for the probe */
    const char *checkpoint; /* its id if the domain starts from one, or NULL */
    const char *bridge;
    const char *node; /* the node that owns the domain, or NULL */
    const char *machine;
    const char *label; /* DAC "+uid:+gid" of QEMU, NULL to let libvirt decide */
    sandbox_accel_t accel; /* KVM or TCG */
} sandbox_domain_xml_t;

/* The domain of a sandbox. */
char *sandbox_domain_xml(const sandbox_domain_spec_t *spec,
                         const sandbox_domain_xml_t *host);

/* The domain of the accelerator's probe: a disk to boot from and no more. */
char *
sandbox_domain_xml_probe(const char *name, const sandbox_domain_xml_t *host);

/* A storage pool: the directory at path. */
char *sandbox_domain_xml_pool(const char *name, const char *path);

/*
 * A snapshot of the disk alone (disk: its target, "vda"), onto an existing
 * qcow2 overlay at path.
 */
char *sandbox_domain_xml_flip(const char *disk, const char *path);

/*
 * A volume of so many bytes, none of them allocated: qcow2 over the qcow2 file
 * `backing`, or raw if that is NULL.  mode: octal digits.  owner and group are
 * left out if one is below 0.
 */
char *sandbox_domain_xml_volume(const char *name, const char *backing,
                                long long bytes, const char *mode, long owner,
                                long group);

/*
 * The kernel's command line that the spec of a domain had, from the domain's
 * live XML: without " no_timer_check" at its end, which is added for TCG.  NULL
 * as of sandbox_domain_xml_find().
 */
char *sandbox_domain_xml_cmdline(const char *document);

/*
 * The text of the first node that the XPath expression finds.  NULL: there is
 * none, the document is no XML or over 8 MiB, or memory is out.
 */
char *sandbox_domain_xml_find(const char *document, const char *xpath);

#endif
