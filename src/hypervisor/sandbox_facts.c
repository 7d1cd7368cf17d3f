/*
 * The facts of a host that its domains depend on: the machine type, the user
 * that QEMU runs as, the CPU model and QEMU's version.  libvirt is asked for
 * them, so they are right for remote hosts too.  Knows nothing of sandboxes.
 */

#include "sandbox_hv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The machine type is pinned, because checkpoints load only into the type they
 * were taken of.  Of a QEMU that has dropped it the newest q35 is used.
 */
#define SANDBOX_FACTS_MACHINE "pc-q35-7.2"
#define SANDBOX_FACTS_NEWEST "q35"
#define SANDBOX_FACTS_ARCH "x86_64"

#define SANDBOX_FACTS_CPU "/capabilities/host/cpu/model"
#define SANDBOX_FACTS_LABEL                                                    \
    "/capabilities/host/secmodel[model='dac']/baselabel[@type='qemu']"


/*
 * Stores the canonical name of a machine type, which libvirt gives for an alias
 * such as "q35".  0, or -1: the host does not offer the type.
 */
static int
sandbox_facts_machine(sandbox_hv_conn_t *conn, const char *machine)
{
    int rc;
    char *document, *name;

    document = virConnectGetDomainCapabilities(
        conn->virt, NULL, SANDBOX_FACTS_ARCH, machine, "qemu", 0);
    if (document == NULL) {
        return -1;
    }

    name = sandbox_domain_xml_find(document, "/domainCapabilities/machine");
    rc = -1;

    if (name && strlen(name) < sizeof(conn->facts.machine)) {
        (void) snprintf(conn->facts.machine, sizeof(conn->facts.machine), "%s",
                        name);
        rc = 0;
    }

    free(name);
    free(document);
    return rc;
}


/* Reads uid and gid from a DAC label such as "+64055:+108"; 0 or -1. */
static int
sandbox_facts_owner(const char *label, long *owner, long *group)
{
    char *end;

    if (label[0] != '+') {
        return -1;
    }

    errno = 0;
    *owner = strtol(label + 1, &end, 10);
    if (errno || end == label + 1 || end[0] != ':' || end[1] != '+') {
        return -1;
    }

    label = end + 2;
    *group = strtol(label, &end, 10);
    if (errno || end == label || *end != '\0' || *owner < 0 || *group < 0) {
        return -1;
    }

    return 0;
}


/* Stores QEMU's user; "" and -1 if the host has no DAC label of that form. */
static void
sandbox_facts_label(sandbox_hv_facts_t *facts, const char *document)
{
    char *label;
    long owner, group;

    facts->owner = -1;
    facts->group = -1;
    facts->label[0] = '\0';

    label = sandbox_domain_xml_find(document, SANDBOX_FACTS_LABEL);

    if (label && strlen(label) < sizeof(facts->label)
        && sandbox_facts_owner(label, &owner, &group) == 0)
    {
        facts->owner = owner;
        facts->group = group;
        (void) snprintf(facts->label, sizeof(facts->label), "%s", label);
    }

    free(label);
}


/* Stores the host's CPU model; "" if libvirt does not know it. */
static void
sandbox_facts_cpu(sandbox_hv_facts_t *facts, const char *document)
{
    char *model;

    model = sandbox_domain_xml_find(document, SANDBOX_FACTS_CPU);
    (void) snprintf(facts->cpu, sizeof(facts->cpu), "%s", model ? model : "");
    free(model);
}


sandbox_hv_status_t
sandbox_hv_facts_read(sandbox_hv_conn_t *conn, sandbox_hv_error_t *err)
{
    char *document;

    if (sandbox_facts_machine(conn, SANDBOX_FACTS_MACHINE) != 0
        && sandbox_facts_machine(conn, SANDBOX_FACTS_NEWEST) != 0)
    {
        return sandbox_hv_fail(err, conn, "this host offers no q35 machine");
    }

    document = virConnectGetCapabilities(conn->virt);
    if (document == NULL) {
        return sandbox_hv_fail(err, conn, "cannot read the capabilities");
    }

    sandbox_facts_label(&conn->facts, document);
    sandbox_facts_cpu(&conn->facts, document);
    free(document);

    if (virConnectGetVersion(conn->virt, &conn->facts.qemu) < 0) {
        return sandbox_hv_fail(err, conn, "cannot read QEMU's version");
    }

    return SANDBOX_HV_OK;
}


sandbox_hv_status_t
sandbox_hv_facts_renew(sandbox_hv_conn_t *conn, sandbox_hv_error_t *err)
{
    unsigned long qemu;

    /* libvirtd looks whether the program is still the one that it has asked */
    if (virConnectGetVersion(conn->virt, &qemu) < 0) {
        return sandbox_hv_fail(err, conn, "cannot read QEMU's version");
    }

    return qemu == conn->facts.qemu ? SANDBOX_HV_OK
                                    : sandbox_hv_facts_read(conn, err);
}
