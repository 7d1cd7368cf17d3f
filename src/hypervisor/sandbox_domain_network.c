/*
 * Letting a sandbox into the network, and another policy for one that runs.
 * The engine has no rights over the rules of the hypervisor: what it wants
 * stands in the metadata of the domain, and there it reads what the watcher
 * (src/tools/) has made of it.
 */

#include "sandbox_hv.h"
#include "sandbox_time.h"

#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

#define NETWORK_POLL_MS 5

/* The watcher is told at once; longer than that it is away. */
#define NETWORK_ADMIT_MS 5000


/*
 * The generation of a running domain's metadata, -1 if there is none.  *error,
 * unless error is NULL, is malloc'd or NULL.
 */
static int64_t
network_generation(virDomainPtr domain, const char *namespace, char **error)
{
    int64_t generation;
    char *document, *number;

    document = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT,
                                    namespace, VIR_DOMAIN_AFFECT_LIVE);
    if (document == NULL) {
        return -1;
    }

    number = sandbox_domain_xml_find(document, "/*/@generation");
    generation = number ? strtoll(number, NULL, 10) : -1;
    free(number);

    if (error) {
        *error = sandbox_domain_xml_find(document, "/*/@error");
    }

    free(document);

    return generation;
}


/* 1: the watcher has answered to this generation, with *err. */
static int
network_answered(virDomainPtr domain, int64_t generation,
                 sandbox_hv_error_t *err)
{
    int answered;
    char *error;

    error = NULL;
    answered = network_generation(domain, SANDBOX_NETWORK_APPLIED, &error)
               == generation;

    if (answered && error) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the policy cannot be put in force: %.160s",
                              error);
    }

    free(error);

    return answered;
}


static sandbox_hv_status_t
network_wait(sandbox_hv_conn_t *conn, virDomainPtr domain, const char *id,
             int64_t generation, int64_t deadline, sandbox_hv_error_t *err)
{
    while (!network_answered(domain, generation, err)) {
        if (virConnectIsAlive(conn->virt) != 1
            || virDomainIsActive(domain) != 1) {
            return sandbox_hv_fail(err, conn, "\"%s\" has ended", id);
        }

        if (sandbox_time_monotonic_ms() >= deadline) {
            return sandbox_hv_set(err, SANDBOX_HV_TIMEOUT,
                                  "sandbox-network-watch does not answer for "
                                  "\"%s\"",
                                  id);
        }

        sandbox_hv_sleep_ms(NETWORK_POLL_MS);
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_domain_run(sandbox_hv_conn_t *conn, virDomainPtr domain,
                   const sandbox_domain_spec_t *spec, sandbox_hv_error_t *err)
{
    (void) sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");

    if (spec->network
        && network_wait(conn, domain, spec->id, spec->network->generation,
                        sandbox_time_monotonic_ms() + NETWORK_ADMIT_MS, err)
               != SANDBOX_HV_OK)
    {
        if (err->status != SANDBOX_HV_UNAVAILABLE) {
            err->status = SANDBOX_HV_NETWORK;
        }

        return err->status;
    }

    if (virDomainResume(domain) < 0) {
        return sandbox_hv_fail(err, conn, "cannot run \"%s\"", spec->id);
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_hypervisor_network(const char *id, const sandbox_network_t *network,
                           int64_t deadline, sandbox_hv_error_t *err)
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

    } else if (network_generation(domain, SANDBOX_NETWORK_NAMESPACE, NULL)
               > network->generation)
    {
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
        (void) network_wait(conn, domain, id, network->generation, deadline,
                            err);
    }

    free(xml);
    (void) virDomainFree(domain);

    return err->status;
}
