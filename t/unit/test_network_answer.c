/* What the watcher says of its answers, and what it says when libvirt does not
 * take one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <libvirt/virterror.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sandbox_network_answer.h"

static int fails;                       /* virDomainSetMetadata() does */
static __thread const char *last_error; /* of the last call only */
static int ends[2]; /* of the pipe that is standard error for a line */
static int shown;   /* standard error itself */


/* --- libvirt -------------------------------------------------------------- */

int
virConnectRef(virConnectPtr virt)
{
    (void) virt;
    return 0;
}


int
virConnectClose(virConnectPtr virt)
{
    (void) virt;
    return 0;
}


virDomainPtr
virDomainLookupByUUIDString(virConnectPtr virt, const char *uuid)
{
    (void) virt;
    (void) uuid;
    return (virDomainPtr) &fails;
}


int
virDomainFree(virDomainPtr domain)
{
    (void) domain;
    last_error = NULL;
    return 0;
}


const char *
virDomainGetName(virDomainPtr domain)
{
    (void) domain;
    last_error = NULL;
    return "sb_a";
}


char *
virDomainGetMetadata(virDomainPtr domain, int type, const char *uri,
                     unsigned int flags)
{
    (void) domain;
    (void) type;
    (void) uri;
    (void) flags;
    last_error = "no metadata";
    return NULL;
}


int
virDomainSetMetadata(virDomainPtr domain, int type, const char *metadata,
                     const char *key, const char *uri, unsigned int flags)
{
    (void) domain;
    (void) type;
    (void) metadata;
    (void) key;
    (void) uri;
    (void) flags;
    last_error = fails ? "no room" : NULL;
    return fails ? -1 : 0;
}


const char *
virGetLastErrorMessage(void)
{
    return last_error ? last_error : "no error";
}


/* --- tests ---------------------------------------------------------------- */

static void
says(int fail, int silent, const char *error, const char *line)
{
    size_t len;
    char text[256];
    sandbox_network_t network;

    memset(&network, 0, sizeof(network));
    network.generation = 7;
    network.silent = silent;
    fails = fail;
    (void) dup2(ends[1], STDERR_FILENO);
    network_answer((virConnectPtr) &fails, "uuid", &network, error);

    for (len = 0; len + 1 < sizeof(text); len++) {
        if (read(ends[0], text + len, 1) != 1 || text[len] == '\n') {
            break;
        }
    }

    text[len] = '\0';
    (void) dup2(shown, STDERR_FILENO);
    assert_string_equal(text, line);
}


static void
test_said(void **state)
{
    (void) state;

    says(0, 0, NULL, "sandbox-network: sb_a: policy 7 is in force");
    says(0, 1, NULL,
         "sandbox-network: sb_a: policy 7 waits: the guest is silent");
    says(0, 0, "is too long", "sandbox-network: sb_a: policy 7 is too long");
}


static void
test_refused(void **state)
{
    (void) state;

    says(1, 0, NULL,
         "sandbox-network: sb_a: policy 7 cannot be answered: no room");
}


static int
begin(void **state)
{
    (void) state;
    shown = dup(STDERR_FILENO);
    return shown == -1 || pipe(ends) == -1 ? -1 : network_answer_init();
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_said),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, begin, NULL);
}
