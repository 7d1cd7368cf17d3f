/*
 * A survey of a node: for each id what Redis, libvirt and the disk directory
 * know of it, and the verdict on what is to be done.  Pure C, no I/O, any
 * thread; one survey belongs to one thread at a time.
 *
 * The caller reads in this order: node keys, then domains and disks, then
 * records.  The definition of sandbox_survey_judge() explains what follows from
 * that order.
 */

#ifndef SANDBOX_SURVEY_H
#define SANDBOX_SURVEY_H

#include <stddef.h>
#include <stdint.h>

#include "sandbox_id.h"

typedef enum {
    SANDBOX_SURVEY_FINE = 0,
    SANDBOX_SURVEY_ORPHAN,  /* node keys, domain or overlay without a record */
    SANDBOX_SURVEY_STRAY,   /* a domain of ours, a record of another node */
    SANDBOX_SURVEY_LOST,    /* the record says running, there is no domain */
    SANDBOX_SURVEY_REMAINS, /* error or paused, with domain, disk or address */
    SANDBOX_SURVEY_ADOPT,   /* not on the agenda, or its address is not held */
    SANDBOX_SURVEY_LATE     /* the agenda entry is too late */
} sandbox_verdict_t;

typedef struct {
    char id[SANDBOX_ID_SIZE];

    unsigned guest : 1;   /* the id holds an address of the node */
    unsigned agenda : 1;  /* the id is on the agenda, at agenda_at */
    unsigned domain : 1;  /* there is a domain, of any node */
    unsigned ours : 1;    /* the domain's metadata names this node */
    unsigned overlay : 1; /* there is an overlay, without a domain */

    unsigned recorded : 1;  /* there is a record, not a tombstone */
    unsigned elsewhere : 1; /* the record names another node */
    unsigned running : 1;
    unsigned failed : 1;  /* state error */
    unsigned paused : 1;  /* paused, resuming, or resumed (an alias) */
    unsigned leased : 1;  /* creating, warming, destroying or hibernating */
    unsigned sleeps : 1;  /* its deadline hibernates it */
    unsigned suspect : 1; /* libvirt was asked, and has no domain of it */

    int64_t agenda_at;  /* ms by Redis' clock, as the next two */
    int64_t lease_at;   /* 0: none */
    int64_t timeout_at; /* 0: none */
    uint32_t address;   /* of the record; IPv4, host order */
    char execution[17];

    sandbox_verdict_t verdict;
    sandbox_verdict_t found; /* the verdict of this survey alone */
    int64_t since_ms;        /* monotonic: an orphan or a stray since then */
    unsigned ripe : 1;       /* its grace is over */
    unsigned done : 1;       /* for the caller's use */
} sandbox_survey_entry_t;

typedef struct {
    sandbox_survey_entry_t *entries;
    size_t n;
    size_t size;
} sandbox_survey_t;

void sandbox_survey_free(sandbox_survey_t *s);

/*
 * Adds an entry; the same id may be added again.  NULL if memory is out.  The
 * next call may move the entries.
 */
sandbox_survey_entry_t *sandbox_survey_add(sandbox_survey_t *s, const char *id);

/*
 * The longest time until a hibernation that failed at its deadline is tried
 * again, in ms.
 */
#define SANDBOX_SURVEY_RETRY_MS 600000

/* Sorts the entries by id and merges those with the same id. */
void sandbox_survey_merge(sandbox_survey_t *s);

/*
 * Sets the verdict of e at the time now (ms since the epoch, by Redis' clock,
 * as the times of e).  An id without a record is left alone if its agenda entry
 * is due within patience_ms.
 */
void sandbox_survey_judge(sandbox_survey_entry_t *e, int64_t now,
                          int64_t patience_ms);

/*
 * The time, by the same clock, at which the agenda must look at a sandbox: the
 * end of its lease, now if it should have a lease and has none, else its
 * deadline (0: none).
 */
int64_t sandbox_survey_due(const sandbox_survey_entry_t *e, int64_t now);

/*
 * Compares s with the survey before it (sorted), as one survey alone is not
 * trusted.  Sets since when orphans and strays are known, and which are ripe
 * after grace_ms.  LOST (unless suspect) and ADOPT become FINE unless the
 * survey before says the same.  Returns the ms until the next survey is
 * worthwhile, or -1.
 */
int64_t sandbox_survey_age(sandbox_survey_t *s, const sandbox_survey_t *before,
                           int64_t monotonic_ms, int64_t grace_ms);

#endif
