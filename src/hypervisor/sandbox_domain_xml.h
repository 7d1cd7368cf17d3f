/*
 * The XML documents we give to libvirt, and the little we read back.  Pure
 * functions over libxml2; any thread; no libvirt.  Every value is escaped by
 * the writer; a value XML cannot carry (a control character, bad UTF-8) makes
 * the whole document NULL, as does missing memory.
 *
 * Results are NUL-terminated and the caller's to free().
 */

#ifndef SANDBOX_DOMAIN_XML_H
#define SANDBOX_DOMAIN_XML_H

#include <stddef.h>

#include "sandbox_hypervisor.h"

/* The name of the memory block in device states: must never change. */
#define SANDBOX_DOMAIN_RAM "sandbox.ram"
#define SANDBOX_HV_CHANNEL "org.sandbox.agent.0"
#define SANDBOX_HV_NAMESPACE "urn:nginx-sandbox:domain:1"

/* The memory of a domain. */
typedef struct {
    const char *path; /* its file, for checkpoints; NULL: anonymous memory */
    int shared;       /* 1: the guest's writes go to the file */
    int incoming;     /* 1: the domain waits for a device state */
} sandbox_domain_ram_t;

/* What a domain needs beyond its spec. */
typedef struct {
    const char *uuid;
    const char *disk; /* the overlay */

    /* layers below it, nearest first, up to NULL; NULL: the template's disk */
    const char *const *layers;
    const sandbox_domain_ram_t *ram; /* NULL: the probe's, never moved */
    const char *checkpoint; /* that it starts from, for metadata, or NULL */
    const char *bridge;
    const char *node; /* the node that owns it, or NULL */
    const char *machine;
    const char *label; /* DAC "+uid:+gid" of QEMU, NULL to let libvirt decide */
    sandbox_accel_t accel; /* KVM or TCG */
} sandbox_domain_xml_t;

char *sandbox_domain_xml(const sandbox_domain_spec_t *spec,
                         const sandbox_domain_xml_t *host);

/* The guest of the accelerator probe: a disk to boot from and no more. */
char *
sandbox_domain_xml_probe(const char *name, const sandbox_domain_xml_t *host);

char *sandbox_domain_xml_pool(const char *name, const char *path);

/* A snapshot of the disk alone, onto an existing qcow2 overlay at path. */
char *sandbox_domain_xml_flip(const char *disk, const char *path);

/* backing is NULL for a raw volume; owner and group below 0 are left out. */
char *sandbox_domain_xml_volume(const char *name, const char *backing,
                                long long bytes, const char *mode, long owner,
                                long group);

/*
 * From the live XML of a domain, the command line that its spec had; as
 * sandbox_domain_xml_find().
 */
char *sandbox_domain_xml_cmdline(const char *document);

/*
 * The content of the first node that the XPath expression finds, in memory
 * the caller frees; NULL if there is none or the document is no XML.
 */
char *sandbox_domain_xml_find(const char *document, const char *xpath);

#endif
