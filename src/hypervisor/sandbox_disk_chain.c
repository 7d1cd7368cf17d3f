/*
 * What a running domain's disk stands on, and its change to a new overlay.
 *
 * A layer is renamed when it becomes a checkpoint's, while QEMU has it open:
 * neither QEMU nor libvirt learn the new name.  But the name in the header of
 * the overlay above it is changed too, so the headers are right, and QEMU
 * reports what they contain.
 */

#include "sandbox_hv.h"
#include "sandbox_json.h"

#include <libvirt/virterror.h>

#include <stdlib.h>
#include <string.h>

#define CHAIN_DISK "vda"


void
sandbox_disk_chain_free(sandbox_disk_chain_t *chain)
{
    size_t i;

    for (i = 0; i < chain->n; i++) {
        free(chain->layers[i]);
    }

    free(chain->node);
    memset(chain, 0, sizeof(*chain));
}


/* Takes over the text; 0, or -1 if it is NULL or there is no room. */
static int
chain_add(sandbox_disk_chain_t *chain, char *path)
{
    if (path == NULL || chain->n >= SANDBOX_DISK_LAYERS) {
        free(path);
        return -1;
    }

    chain->layers[chain->n++] = path;
    return 0;
}


static const sandbox_json_node_t *
chain_member(const sandbox_json_t *doc, const sandbox_json_node_t *object,
             const char *name)
{
    return object && object->type == SANDBOX_JSON_OBJECT
               ? sandbox_json_member(doc, object, name)
               : NULL;
}


/* Reads the chain from the answer to query-block: it has one device only. */
static int
chain_walk(sandbox_disk_chain_t *chain, const sandbox_json_t *doc)
{
    const sandbox_json_node_t *node, *image;

    node = chain_member(doc, &doc->nodes[0], "return");

    if (node == NULL || node->type != SANDBOX_JSON_ARRAY || node->count == 0) {
        return -1;
    }

    node = chain_member(doc, sandbox_json_child(doc, node), "inserted");
    image = chain_member(doc, node, "node-name");
    chain->node = image ? sandbox_json_string(doc, image, NULL) : NULL;

    if (chain->node == NULL) {
        return -1;
    }

    for (image = chain_member(doc, node, "image"); image;
         image = chain_member(doc, image, "backing-image"))
    {
        node = chain_member(doc, image, "backing-filename");

        if (node && chain_add(chain, sandbox_json_string(doc, node, NULL)) != 0)
        {
            return -1;
        }
    }

    return 0;
}


sandbox_hv_status_t
sandbox_disk_chain(sandbox_hv_conn_t *conn, virDomainPtr domain,
                   sandbox_disk_chain_t *chain, sandbox_hv_error_t *err)
{
    int rc;
    char *text;
    const char *name;
    sandbox_json_t doc;
    sandbox_json_error_t bad;

    memset(chain, 0, sizeof(*chain));
    name = virDomainGetName(domain);

    text = virDomainGetXMLDesc(domain, 0);
    if (text == NULL) {
        return sandbox_hv_fail(err, conn, "cannot look at \"%s\"", name);
    }

    rc = chain_add(chain,
                   sandbox_domain_xml_find(
                       text, "/domain/devices/disk[target/@dev='" CHAIN_DISK
                             "']/source/@file"));
    free(text);

    if (sandbox_monitor_query(conn, domain, "query-block", &text, err)
        != SANDBOX_HV_OK)
    {
        sandbox_disk_chain_free(chain);
        return err->status;
    }

    if (sandbox_json_parse(&doc, text, strlen(text), &bad) != 0) {
        rc = -1;

    } else {
        if (rc == 0) {
            rc = chain_walk(chain, &doc);
        }
        sandbox_json_free(&doc);
    }

    free(text);

    if (rc != 0) {
        sandbox_disk_chain_free(chain);
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the disk of \"%s\" cannot be made out", name);
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_disk_flip(sandbox_hv_conn_t *conn, virDomainPtr domain,
                  const char *path, sandbox_hv_error_t *err)
{
    char *xml;
    const char *name;
    virDomainSnapshotPtr snapshot;

    name = virDomainGetName(domain);
    xml = sandbox_domain_xml_flip(CHAIN_DISK, path);
    if (xml == NULL) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "\"%s\" cannot be written as XML", path);
    }

    snapshot = virDomainSnapshotCreateXML(
        domain, xml,
        VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
            | VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
            | VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA);
    free(xml);

    if (snapshot == NULL) {
        return sandbox_hv_fail(err, conn, "cannot give \"%s\" a new overlay",
                               name);
    }

    (void) virDomainSnapshotFree(snapshot);
    return sandbox_hv_ok(err);
}
