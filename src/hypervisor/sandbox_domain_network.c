/*
 * Letting a sandbox into the network, and another policy for one that runs.
 * The engine has no rights over the rules of the hypervisor: it writes the
 * network it wants into the metadata of the domain, and reads there what the
 * watcher (src/tools/) has put in force.
 */

#include "sandbox_hv.h"
#include "sandbox_time.h"

#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

#define NETWORK_POLL_MS 5

/* The watcher is told at once; if it takes longer than this it is away. */
#define NETWORK_ADMIT_MS 5000


/* What metadata of a running domain says. */
typedef struct {
    int64_t generation; /* -1: there is none */
    int silent;
    char *error; /* malloc'd or NULL */
} network_said_t;


static void
network_read(network_said_t *said, virDomainPtr domain, const char *namespace)
{
    char *document, *text;

    memset(said, 0, sizeof(*said));
    said->generation = -1;

    document = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT,
                                    namespace, VIR_DOMAIN_AFFECT_LIVE);
    if (document == NULL) {
        return;
    }

    text = sandbox_domain_xml_find(document, "/*/@generation");
    if (text) {
        said->generation = strtoll(text, NULL, 10);
    }
    free(text);

    text = sandbox_domain_xml_find(document, "/*/@silent");
    said->silent = text != NULL;
    free(text);

    said->error = sandbox_domain_xml_find(document, "/*/@error");
    free(document);
}


/* 1: the watcher has answered to just this, with *err. */
static int
network_answered(virDomainPtr domain, const sandbox_network_t *network,
                 sandbox_hv_error_t *err)
{
    int answered;
    network_said_t said;

    network_read(&said, domain, SANDBOX_NETWORK_APPLIED);
    answered = said.generation == network->generation
               && said.silent == network->silent;

    if (answered && said.error) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the policy cannot be put in force: %.160s",
                              said.error);
    }

    free(said.error);

    return answered;
}


/* 1: a later policy than this one was asked for. */
static int
network_is_old(virDomainPtr domain, const sandbox_network_t *network)
{
    network_said_t said;

    network_read(&said, domain, SANDBOX_NETWORK_NAMESPACE);
    free(said.error);

    return said.generation > network->generation;
}


static sandbox_hv_status_t
network_wait(sandbox_hv_conn_t *conn, virDomainPtr domain, const char *id,
             const sandbox_network_t *network, int64_t deadline_ms,
             sandbox_hv_error_t *err)
{
    while (!network_answered(domain, network, err)) {
        if (virConnectIsAlive(conn->virt) != 1
            || virDomainIsActive(domain) != 1) {
            return sandbox_hv_fail(err, conn, "\"%s\" has ended", id);
        }

        if (sandbox_time_monotonic_ms() >= deadline_ms) {
            return sandbox_hv_set(err, SANDBOX_HV_TIMEOUT,
                                  "sandbox-network-watch does not answer for "
                                  "\"%s\"",
                                  id);
        }

        sandbox_hv_sleep_ms(NETWORK_POLL_MS);
    }

    return err->status;
}


/* Sets NETWORK for a sandbox that was not admitted; keeps UNAVAILABLE. */
static sandbox_hv_status_t
network_not_admitted(sandbox_hv_error_t *err)
{
    if (err->status != SANDBOX_HV_UNAVAILABLE) {
        err->status = SANDBOX_HV_NETWORK;
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_domain_run(sandbox_hv_conn_t *conn, virDomainPtr domain,
                   const sandbox_domain_spec_t *spec, sandbox_hv_error_t *err)
{
    (void) sandbox_hv_ok(err);

    if (spec->network
        && network_wait(conn, domain, spec->id, spec->network,
                        sandbox_time_monotonic_ms() + NETWORK_ADMIT_MS, err)
               != SANDBOX_HV_OK)
    {
        return network_not_admitted(err);
    }

    if (virDomainResume(domain) < 0) {
        return sandbox_hv_fail(err, conn, "cannot run \"%s\"", spec->id);
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_hypervisor_network(const char *id, const sandbox_network_t *network,
                           int64_t deadline_ms, sandbox_hv_error_t *err)
{
    char *xml;
    virDomainPtr domain;
    sandbox_hv_conn_t *conn;

    domain = sandbox_domain_of(&conn, id, err);
    if (domain == NULL) {
        return err->status;
    }

    xml = sandbox_network_xml(network);

    if (xml == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");

    } else if (network_is_old(domain, network)) {
        /* libvirt cannot compare and set, so the caller is in time as well */
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "\"%s\" has a later policy by now", id);

    } else if (virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, xml,
                                    SANDBOX_NETWORK_KEY,
                                    SANDBOX_NETWORK_NAMESPACE,
                                    VIR_DOMAIN_AFFECT_LIVE)
               < 0)
    {
        (void) sandbox_hv_fail(err, conn, "cannot tell the policy of \"%s\"",
                               id);

    } else {
        (void) network_wait(conn, domain, id, network, deadline_ms, err);
    }

    free(xml);
    (void) virDomainFree(domain);

    return err->status;
}


sandbox_hv_status_t
sandbox_hypervisor_connect(const char *id, const sandbox_network_t *network,
                           sandbox_hv_error_t *err)
{
    if (sandbox_hypervisor_network(
            id, network, sandbox_time_monotonic_ms() + NETWORK_ADMIT_MS, err)
        != SANDBOX_HV_OK)
    {
        return network_not_admitted(err);
    }

    return err->status;
}
