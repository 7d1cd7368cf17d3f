/*
 * What there is on a libvirt host: the domains that are sandboxes, by their
 * names and metadata.  Changes nothing.
 *
 * libvirtd takes connections only when it has read the state of all its
 * domains, so a list it gives is whole, also just after it was restarted.
 */

#include "sandbox_hv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


/* The id by a domain's name and UUID; 0, or -1: it is no sandbox, or lost. */
static int
sandbox_inventory_id(char id[SANDBOX_ID_SIZE], virDomainPtr domain)
{
    char uuid[VIR_UUID_STRING_BUFLEN], own[SANDBOX_UUID_SIZE];
    const char *name;

    name = virDomainGetName(domain);

    if (name == NULL || sandbox_id_parse(id, "sb", name, strlen(name)) != 0
        || strcmp(id, name) != 0 || virDomainGetUUIDString(domain, uuid) < 0
        || sandbox_id_uuid(own, id) != 0 || strcmp(own, uuid) != 0
        || sandbox_domain_is_lost(domain, uuid))
    {
        return -1;
    }

    return 0;
}


/* 1 and *info if the domain is a sandbox, else 0. */
static int
sandbox_inventory_inform(virDomainPtr domain, sandbox_domain_info_t *info)
{
    char *document, *tenant, *node;

    if (sandbox_inventory_id(info->id, domain) != 0) {
        return 0;
    }

    document = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT,
                                    SANDBOX_HV_NAMESPACE, 0);
    if (document == NULL) {
        return 0;
    }

    tenant = sandbox_domain_xml_find(document, "/*/@tenant");
    node = sandbox_domain_xml_find(document, "/*/@node");
    free(document);

    if (tenant) {
        (void) snprintf(info->tenant, sizeof(info->tenant), "%s", tenant);
        info->ours = node && strcmp(node, sandbox_hv_conf()->node) == 0;
    }

    free(node);

    if (tenant == NULL) {
        return 0;
    }

    free(tenant);
    return 1;
}


static void
sandbox_inventory_free(virDomainPtr *domains, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        (void) virDomainFree(domains[i]);
    }

    free(domains);
}


sandbox_hv_status_t
sandbox_hypervisor_list(sandbox_domain_info_t **list, size_t *n,
                        sandbox_hv_error_t *err)
{
    int i, count;
    virDomainPtr *domains;
    sandbox_hv_conn_t *conn;

    *list = NULL;
    *n = 0;

    conn = sandbox_hv_connection(err);
    if (conn == NULL) {
        return err->status;
    }

    count = virConnectListAllDomains(conn->virt, &domains, 0);
    if (count < 0) {
        return sandbox_hv_fail(err, conn, "cannot list the domains");
    }

    *list = calloc((size_t) count + 1, sizeof(**list));
    if (*list == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
    }

    for (i = 0; *list && i < count; i++) {
        if (sandbox_inventory_inform(domains[i], &(*list)[*n])) {
            (*n)++;
        }
    }

    sandbox_inventory_free(domains, count);

    /* half a list would make the reconciler think sandboxes are gone */
    if (err->status == SANDBOX_HV_OK && virConnectIsAlive(conn->virt) != 1) {
        (void) sandbox_hv_set(err, SANDBOX_HV_UNAVAILABLE,
                              "libvirt went away while listing");
    }

    if (err->status != SANDBOX_HV_OK) {
        free(*list);
        *list = NULL;
        *n = 0;
    }

    return err->status;
}


static int
sandbox_inventory_compare(const void *a, const void *b)
{
    return strcmp(a, b);
}


sandbox_hv_status_t
sandbox_inventory_names(sandbox_hv_conn_t *conn, char (**list)[SANDBOX_ID_SIZE],
                        size_t *n, sandbox_hv_error_t *err)
{
    int i, count;
    size_t there;
    char(*names)[SANDBOX_ID_SIZE];
    virDomainPtr *domains;

    *list = NULL;
    *n = 0;

    count = virConnectListAllDomains(conn->virt, &domains, 0);
    if (count < 0) {
        return sandbox_hv_fail(err, conn, "cannot list the domains");
    }

    there = 0;
    names = calloc((size_t) count + 1, sizeof(*names));

    for (i = 0; names && i < count; i++) {
        if (sandbox_inventory_id(names[there], domains[i]) == 0) {
            there++;
        }
    }

    sandbox_inventory_free(domains, count);

    if (names == NULL) {
        return sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
    }

    qsort(names, there, sizeof(*names), sandbox_inventory_compare);
    *list = names;
    *n = there;

    return sandbox_hv_ok(err);
}


int
sandbox_inventory_has(const char (*list)[SANDBOX_ID_SIZE], size_t n,
                      const char *id)
{
    return bsearch(id, list, n, sizeof(*list), sandbox_inventory_compare)
           != NULL;
}


sandbox_hv_status_t
sandbox_hypervisor_gone(const char (*ids)[SANDBOX_ID_SIZE], unsigned char *gone,
                        size_t n, sandbox_hv_error_t *err)
{
    size_t there;
    char(*names)[SANDBOX_ID_SIZE];
    sandbox_hv_conn_t *conn;

    conn = sandbox_hv_connection(err);

    if (conn == NULL
        || sandbox_inventory_names(conn, &names, &there, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    while (n-- > 0) {
        gone[n] = !sandbox_inventory_has((const char(*)[SANDBOX_ID_SIZE]) names,
                                         there, ids[n]);
    }

    free(names);
    return SANDBOX_HV_OK;
}
