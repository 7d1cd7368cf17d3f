/*
 * Chains of disks that have become too deep.  QEMU copies, while the guest
 * runs, what the layers between the overlay and the template's disk hold into
 * the overlay (a block job, "stream"), and lets go of them at the end.  At any
 * moment before that the chain is as it was, with some of it copied: so it may
 * be broken off, or its caller die, and be begun anew.
 *
 * The job is QEMU's and goes on without us.  Nobody has the sandbox's turn for
 * as long as it takes, so destroy and take need not wait for it.
 */

#include "sandbox_checkpoint_parts.h"
#include "sandbox_domain_files.h"
#include "sandbox_time.h"

#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

#define FLATTEN_DISK "vda"
#define FLATTEN_POLL_MS 100

/* Bytes a second: a disk of today hardly notices, nor does a guest on it. */
#ifndef FLATTEN_BANDWIDTH
#define FLATTEN_BANDWIDTH 33554432
#endif


static sandbox_hv_status_t
flatten_files(sandbox_hv_conn_t *conn, virDomainPtr domain,
              sandbox_domain_files_t *files, sandbox_hv_error_t *err)
{
    int rc;
    char *xml;

    memset(files, 0, sizeof(*files));
    xml = virDomainGetXMLDesc(domain, 0);

    if (xml == NULL) {
        return sandbox_hv_fail(err, conn, "cannot look at \"%s\"",
                               virDomainGetName(domain));
    }

    rc = sandbox_domain_files_read(files, xml);
    free(xml);

    return sandbox_hv_set(err, rc == 0 ? SANDBOX_HV_OK : SANDBOX_HV_FAILED,
                          rc == 0 ? "%s" : "the disk of \"%s\" is unreadable",
                          rc == 0 ? "" : virDomainGetName(domain));
}


/* 1 if its disk stands on at most so many layers, the overlay included. */
static int
flatten_is_flat(const sandbox_domain_files_t *files, size_t max)
{
    return files->n <= max + 1;
}


/* 1: a job goes on; 0: none; -1 with *err. */
static int
flatten_goes_on(sandbox_hv_conn_t *conn, virDomainPtr domain,
                sandbox_hv_error_t *err)
{
    int rc;
    virDomainBlockJobInfo info;

    rc = virDomainGetBlockJobInfo(domain, FLATTEN_DISK, &info, 0);

    if (rc < 0) {
        (void) sandbox_hv_fail(err, conn, "cannot look at the disk of \"%s\"",
                               virDomainGetName(domain));
    }

    return rc;
}


/* One that goes on already is joined: who began it may have died. */
static sandbox_hv_status_t
flatten_begin(sandbox_hv_conn_t *conn, virDomainPtr domain, const char *base,
              sandbox_hv_error_t *err)
{
    switch (flatten_goes_on(conn, domain, err)) {
    case 0:
        break;
    default:
        return err->status;
    }

    if (virDomainBlockRebase(domain, FLATTEN_DISK, base, FLATTEN_BANDWIDTH,
                             VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES)
        < 0)
    {
        (void) sandbox_hv_fail(err, conn, "cannot flatten the disk of \"%s\"",
                               virDomainGetName(domain));

        /* another was faster */
        if (virDomainGetBlockJobInfo(domain, FLATTEN_DISK,
                                     &(virDomainBlockJobInfo){ 0 }, 0)
            == 1)
        {
            (void) sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");
        }
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_unflatten(sandbox_hv_conn_t *conn, virDomainPtr domain,
                             sandbox_hv_error_t *err)
{
    (void) sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");

    if (flatten_goes_on(conn, domain, err) <= 0
        || virDomainBlockJobAbort(domain, FLATTEN_DISK, 0) == 0)
    {
        return err->status;
    }

    (void) sandbox_hv_fail(err, conn, "cannot stop flattening \"%s\"",
                           virDomainGetName(domain));

    /* it may have ended by itself */
    if (virDomainGetBlockJobInfo(domain, FLATTEN_DISK,
                                 &(virDomainBlockJobInfo){ 0 }, 0)
        == 0)
    {
        (void) sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");
    }

    return err->status;
}


static sandbox_hv_status_t
flatten_wait(sandbox_hv_conn_t *conn, virDomainPtr domain, int64_t deadline,
             sandbox_hv_error_t *err)
{
    while (flatten_goes_on(conn, domain, err) == 1) {
        if (sandbox_time_monotonic_ms() >= deadline) {
            (void) sandbox_checkpoint_unflatten(conn, domain, err);
            return err->status == SANDBOX_HV_OK
                       ? sandbox_hv_set(err, SANDBOX_HV_TIMEOUT,
                                        "the disk of \"%s\" is not flat yet",
                                        virDomainGetName(domain))
                       : err->status;
        }

        sandbox_hv_sleep_ms(FLATTEN_POLL_MS);
    }

    return err->status;
}


static sandbox_hv_status_t
flatten_look(sandbox_hv_conn_t *conn, virDomainPtr domain, size_t max,
             char **base, sandbox_hv_error_t *err)
{
    sandbox_domain_files_t files;

    *base = NULL;

    if (flatten_files(conn, domain, &files, err) == SANDBOX_HV_OK
        && !flatten_is_flat(&files, max))
    {
        *base = strdup(files.layers[files.n - 1]);
        if (*base == NULL) {
            (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
        }
    }

    sandbox_domain_files_free(&files);
    return err->status;
}


static sandbox_hv_status_t
flatten(sandbox_hv_conn_t *conn, virDomainPtr domain, const char *id,
        size_t max, int64_t deadline, sandbox_hv_error_t *err)
{
    char *base;
    sandbox_domain_turn_t turn;

    sandbox_domain_enter(&turn, id);

    if (flatten_look(conn, domain, max, &base, err) == SANDBOX_HV_OK && base) {
        (void) flatten_begin(conn, domain, base, err);
    }

    sandbox_domain_leave(&turn);

    if (base == NULL || err->status != SANDBOX_HV_OK) {
        free(base);
        return err->status;
    }

    free(base);
    base = NULL;

    if (flatten_wait(conn, domain, deadline, err) == SANDBOX_HV_OK
        && flatten_look(conn, domain, max, &base, err) == SANDBOX_HV_OK && base)
    {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "flattening the disk of \"%s\" was broken off",
                              id);
    }

    free(base);
    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_flatten(const char *sandbox, size_t max_layers,
                           int64_t deadline, sandbox_hv_error_t *err)
{
    virDomainPtr domain;
    sandbox_hv_conn_t *conn;

    domain = sandbox_domain_of(&conn, sandbox, err);

    if (domain) {
        (void) flatten(conn, domain, sandbox, max_layers, deadline, err);
        (void) virDomainFree(domain);
    }

    return err->status;
}
