/*
 * What a node has, side by side: for each id what Redis, libvirt and the disk
 * directory know of it, and what is to be done about it.  Pure C, no I/O, any
 * thread; one survey belongs to one thread at a time.
 *
 * The caller looks in this order: node keys, then domains and disks, then
 * records.  What that order proves stands at sandbox_survey_judge().
 */

#ifndef SANDBOX_SURVEY_H
#define SANDBOX_SURVEY_H

#include <stddef.h>
#include <stdint.h>

#include "sandbox_id.h"

typedef enum {
    SANDBOX_SURVEY_FINE = 0,
    SANDBOX_SURVEY_ORPHAN,  /* something, and no record */
    SANDBOX_SURVEY_STRAY,   /* a domain of ours, a record of another node */
    SANDBOX_SURVEY_LOST,    /* runs by its record, and has no domain */
    SANDBOX_SURVEY_REMAINS, /* error or paused, and something is still there */
    SANDBOX_SURVEY_ADOPT,   /* not on the agenda, or its address is not held */
    SANDBOX_SURVEY_LATE     /* the agenda would look too late */
} sandbox_verdict_t;

typedef struct {
    char id[SANDBOX_ID_SIZE];

    unsigned guest : 1;   /* holds an address */
    unsigned agenda : 1;  /* and when: agenda_at */
    unsigned domain : 1;  /* of whatever node */
    unsigned ours : 1;    /* of this one, by its metadata */
    unsigned overlay : 1; /* without a domain */

    unsigned recorded : 1;  /* and is no tombstone */
    unsigned elsewhere : 1; /* of another node */
    unsigned running : 1;
    unsigned failed : 1;  /* state error */
    unsigned paused : 1;  /* has no machine and no place, or is an alias */
    unsigned leased : 1;  /* creating, destroying or hibernating */
    unsigned sleeps : 1;  /* at its deadline it is hibernated */
    unsigned suspect : 1; /* somebody could not reach it */

    int64_t agenda_at;  /* ms by Redis' clock, as the next two */
    int64_t lease_at;   /* 0: none */
    int64_t timeout_at; /* 0: none */
    uint32_t address;   /* of the record; IPv4, host order */
    char execution[17];

    sandbox_verdict_t verdict;
    sandbox_verdict_t found; /* what this survey alone says */
    int64_t since;           /* monotonic ms: an orphan or a stray since then */
    unsigned ripe : 1;       /* its grace is over */
    unsigned done : 1;       /* the caller's */
} sandbox_survey_entry_t;

typedef struct {
    sandbox_survey_entry_t *entries;
    size_t n;
    size_t size;
} sandbox_survey_t;

void sandbox_survey_free(sandbox_survey_t *s);

/* A new entry; the same id may be added again.  NULL if memory is out. */
sandbox_survey_entry_t *sandbox_survey_add(sandbox_survey_t *s, const char *id);

/*
 * A hibernation that has failed at its deadline is tried again so much later
 * at most, in ms.
 */
#define SANDBOX_SURVEY_RETRY 600000

/* Sorts by id and makes one entry of those that have the same. */
void sandbox_survey_merge(sandbox_survey_t *s);

/*
 * Sets the verdict of e at the time now (ms since the epoch, by the clock of
 * the times of e, which is Redis').  What has no
 * record is left alone while the agenda comes to it within patience ms.
 */
void
sandbox_survey_judge(sandbox_survey_entry_t *e, int64_t now, int64_t patience);

/*
 * When somebody must look at the sandbox of a record, by the same clock: now,
 * if it is in the hands of nobody.
 */
int64_t sandbox_survey_due(const sandbox_survey_entry_t *e, int64_t now);

/*
 * What one survey says is not believed at once; before is the one before
 * (sorted).  Finds out since when orphans and strays are known and which are
 * ripe.  What is lost (and not suspect) or to be adopted is fine until the
 * second survey in a row that says so.  ms until the next look is worth it,
 * or -1.
 */
int64_t sandbox_survey_age(sandbox_survey_t *s, const sandbox_survey_t *before,
                           int64_t monotonic, int64_t grace);

#endif
