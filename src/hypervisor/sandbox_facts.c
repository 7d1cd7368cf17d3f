/*
 * The facts of a host that a domain depends on: the machine type to pin and
 * the user QEMU runs as.  Asked from libvirt, so they are right on remote
 * hosts too.  Knows nothing of sandboxes.
 */

#include "sandbox_hv.h"
#include "sandbox_qmp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Pinned, because checkpoints load only into the machine type they were taken
 * from; a QEMU that has dropped it gives the newest it has.
 */
#define SANDBOX_FACTS_MACHINE "pc-q35-7.2"
#define SANDBOX_FACTS_NEWEST "q35"
#define SANDBOX_FACTS_ARCH "x86_64"

#define SANDBOX_FACTS_CPU "/capabilities/host/cpu/model"
#define SANDBOX_FACTS_LABEL                                                    \
    "/capabilities/host/secmodel[model='dac']/baselabel[@type='qemu']"


/* 0 and the canonical name of the machine type, or -1. */
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


/* "+64055:+108" to its two numbers; 0 or -1. */
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

    document = virConnectGetURI(conn->virt);
    conn->facts.local = document && sandbox_qmp_local(document);
    free(document);

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
