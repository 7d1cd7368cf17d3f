/* Answers to the engine; see the header. */

#include "sandbox_network_answer.h"

#include <libvirt/virterror.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number of calls of one connection that libvirtd serves at once. */
#define ANSWER_THREADS 5

typedef struct answer_s answer_t;

struct answer_s {
    answer_t *next;
    virConnectPtr conn;
    char uuid[SANDBOX_UUID_SIZE];
    int64_t generation;
    int silent;
    const char *error;
};

static answer_t *answer_first;
static answer_t **answer_last = &answer_first;
static pthread_mutex_t answer_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t answer_there = PTHREAD_COND_INITIALIZER;


/* 1 if the metadata has this text already: no write, and so no event. */
static int
answer_is_told(virDomainPtr domain, const char *text)
{
    int told;
    char *present;

    present =
        virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT,
                             SANDBOX_NETWORK_APPLIED, VIR_DOMAIN_AFFECT_LIVE);
    told = present && strcmp(present, text) == 0;
    free(present);

    return told;
}


static void
answer_write(const answer_t *answer, virDomainPtr domain, const char *text)
{
    const char *name;

    /* before the call whose error is told: asking would forget that */
    name = virDomainGetName(domain);

    if (virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, text,
                             SANDBOX_NETWORK_APPLIED_KEY,
                             SANDBOX_NETWORK_APPLIED, VIR_DOMAIN_AFFECT_LIVE)
        < 0)
    {
        (void) fprintf(stderr,
                       "sandbox-network: %s: policy %lld cannot be answered: "
                       "%s\n",
                       name, (long long) answer->generation,
                       virGetLastErrorMessage());
        return;
    }

    (void) fprintf(stderr, "sandbox-network: %s: policy %lld %s\n", name,
                   (long long) answer->generation,
                   answer->error    ? answer->error
                   : answer->silent ? "waits: the guest is silent"
                                    : "is in force");
}


static void
answer_tell(const answer_t *answer)
{
    char text[160];
    virDomainPtr domain;

    domain = virDomainLookupByUUIDString(answer->conn, answer->uuid);
    if (domain == NULL) {
        return;
    }

    (void) snprintf(
        text, sizeof(text), "<applied generation=\"%lld\"%s%s%s%s/>",
        (long long) answer->generation, answer->silent ? " silent=\"yes\"" : "",
        answer->error ? " error=\"" : "", answer->error ? answer->error : "",
        answer->error ? "\"" : "");

    if (!answer_is_told(domain, text)) {
        answer_write(answer, domain, text);
    }

    (void) virDomainFree(domain);
}


static answer_t *
answer_next(void)
{
    answer_t *answer;

    (void) pthread_mutex_lock(&answer_mutex);

    while (answer_first == NULL) {
        (void) pthread_cond_wait(&answer_there, &answer_mutex);
    }

    answer = answer_first;
    answer_first = answer->next;
    if (answer_first == NULL) {
        answer_last = &answer_first;
    }

    (void) pthread_mutex_unlock(&answer_mutex);

    return answer;
}


static void *
answer_thread(void *data)
{
    answer_t *answer;

    (void) data;

    for (;;) {
        answer = answer_next();
        answer_tell(answer);
        (void) virConnectClose(answer->conn);
        free(answer);
    }

    return NULL;
}


int
network_answer_init(void)
{
    int i, rc;
    sigset_t all, before;
    pthread_t thread;

    /* only the main thread handles signals */
    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_BLOCK, &all, &before);

    rc = 0;

    for (i = 0; i < ANSWER_THREADS && rc == 0; i++) {
        rc = pthread_create(&thread, NULL, answer_thread, NULL);
        if (rc == 0) {
            (void) pthread_detach(thread);
        }
    }

    (void) pthread_sigmask(SIG_SETMASK, &before, NULL);

    return rc == 0 ? 0 : -1;
}


void
network_answer(virConnectPtr conn, const char *uuid,
               const sandbox_network_t *network, const char *error)
{
    answer_t *answer;

    answer = calloc(1, sizeof(*answer));

    if (answer == NULL || virConnectRef(conn) < 0) {
        free(answer);
        return;
    }

    answer->conn = conn;
    answer->generation = network->generation;
    answer->silent = network->silent;
    answer->error = error;
    (void) snprintf(answer->uuid, sizeof(answer->uuid), "%s", uuid);

    (void) pthread_mutex_lock(&answer_mutex);
    *answer_last = answer;
    answer_last = &answer->next;
    (void) pthread_cond_signal(&answer_there);
    (void) pthread_mutex_unlock(&answer_mutex);
}
