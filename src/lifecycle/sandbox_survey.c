/* The table and the rules; see the header. */

#include "sandbox_survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SANDBOX_SURVEY_AGAIN_MS 1000 /* until a survey that confirms LOST */


void
sandbox_survey_free(sandbox_survey_t *s)
{
    free(s->entries);
    memset(s, 0, sizeof(*s));
}


sandbox_survey_entry_t *
sandbox_survey_add(sandbox_survey_t *s, const char *id)
{
    size_t size;
    sandbox_survey_entry_t *e;

    if (s->n == s->size) {
        size = s->size ? s->size * 2 : 64;
        e = realloc(s->entries, size * sizeof(*e));

        if (e == NULL) {
            return NULL;
        }

        s->entries = e;
        s->size = size;
    }

    e = &s->entries[s->n++];
    memset(e, 0, sizeof(*e));
    (void) snprintf(e->id, sizeof(e->id), "%s", id);

    return e;
}


static int
sandbox_survey_compare(const void *a, const void *b)
{
    const sandbox_survey_entry_t *x = a;
    const sandbox_survey_entry_t *y = b;

    return strcmp(x->id, y->id);
}


void
sandbox_survey_merge(sandbox_survey_t *s)
{
    size_t i, last;
    sandbox_survey_entry_t *e, *other;

    if (s->n == 0) {
        return;
    }

    qsort(s->entries, s->n, sizeof(*s->entries), sandbox_survey_compare);

    last = 0;

    for (i = 1; i < s->n; i++) {
        e = &s->entries[last];
        other = &s->entries[i];

        if (strcmp(e->id, other->id) != 0) {
            s->entries[++last] = *other;
            continue;
        }

        if (other->agenda) {
            e->agenda_at = other->agenda_at;
        }

        e->guest |= other->guest;
        e->agenda |= other->agenda;
        e->domain |= other->domain;
        e->ours |= other->ours;
        e->overlay |= other->overlay;
    }

    s->n = last + 1;
}


int64_t
sandbox_survey_due(const sandbox_survey_entry_t *e, int64_t now)
{
    if (!e->leased) {
        return e->timeout_at;
    }

    return e->lease_at ? e->lease_at : now;
}


/* The verdict on a record of this node that needs its agenda entry. */
static sandbox_verdict_t
sandbox_survey_kept(const sandbox_survey_entry_t *e, int64_t now)
{
    /* a sandbox in state error has given its address back */
    if (!e->agenda || (!e->guest && e->address && !e->failed)) {
        return SANDBOX_SURVEY_ADOPT;
    }

    if (e->leased) {
        /* a lease that ran out within the last second is left to the agenda */
        return e->lease_at + 1000 < now && e->agenda_at > now + 1000
                   ? SANDBOX_SURVEY_LATE
                   : SANDBOX_SURVEY_FINE;
    }

    if (e->timeout_at == 0 || e->agenda_at <= e->timeout_at) {
        return SANDBOX_SURVEY_FINE;
    }

    return e->sleeps && e->timeout_at <= now
                   && e->agenda_at <= now + SANDBOX_SURVEY_RETRY_MS
               ? SANDBOX_SURVEY_FINE
               : SANDBOX_SURVEY_LATE;
}


/*
 * Records were read after domains and disks, and node keys before both.  So:
 *
 * - A domain or overlay without a record has no owner.  A create writes its
 *   record before it makes either, and an id whose record is gone never gets
 *   one again.
 * - An address that is held without a record may belong to a create between
 *   admit.lua and reserve.lua: that create has an agenda entry that is due
 *   soon.
 * - A running record without a domain may have been committed after the
 *   domains were listed.  The caller looks for the domain again: the record
 *   says that it was there before, and no domain is ever started again under
 *   the same execution.
 */
void
sandbox_survey_judge(sandbox_survey_entry_t *e, int64_t now,
                     int64_t patience_ms)
{
    e->verdict = SANDBOX_SURVEY_FINE;

    if (e->recorded && e->elsewhere) {
        if (e->ours) {
            e->verdict = SANDBOX_SURVEY_STRAY;
        }

    } else if (!e->recorded) {
        if (!(e->agenda && e->agenda_at <= now + patience_ms)
            && (e->ours || !e->domain))
        {
            e->verdict = SANDBOX_SURVEY_ORPHAN;
        }

    } else if (e->running && !e->domain) {
        e->verdict = SANDBOX_SURVEY_LOST;

    } else if ((e->failed || e->paused)
               && (e->domain || e->overlay || e->guest)) {
        e->verdict = SANDBOX_SURVEY_REMAINS;

    } else if (e->running || e->failed || e->leased) {
        e->verdict = sandbox_survey_kept(e, now);
    }
}


/* Sets since and ripe of an orphan or a stray; ms until it is ripe, or -1. */
static int64_t
sandbox_survey_ripen(sandbox_survey_entry_t *e,
                     const sandbox_survey_entry_t *old, int64_t monotonic_ms,
                     int64_t grace_ms)
{
    int64_t left;

    e->since_ms = old && old->since_ms ? old->since_ms : monotonic_ms;
    left = e->since_ms + grace_ms - monotonic_ms;
    e->ripe = left <= 0;

    return e->ripe ? -1 : left;
}


/*
 * LOST and ADOPT must be confirmed by two surveys: a libvirtd that has just
 * started may not list all its domains yet, and node keys were read before the
 * records, so an operation under way may look as if its keys were lost.
 */
static int64_t
sandbox_survey_confirm(sandbox_survey_entry_t *e,
                       const sandbox_survey_entry_t *old)
{
    if ((old && old->found == e->found)
        || (e->found == SANDBOX_SURVEY_LOST && e->suspect))
    {
        return -1;
    }

    e->verdict = SANDBOX_SURVEY_FINE;

    return e->found == SANDBOX_SURVEY_LOST ? SANDBOX_SURVEY_AGAIN_MS : -1;
}


int64_t
sandbox_survey_age(sandbox_survey_t *s, const sandbox_survey_t *before,
                   int64_t monotonic_ms, int64_t grace_ms)
{
    size_t i;
    int64_t left, next;
    sandbox_survey_entry_t *e, *old;

    next = -1;

    for (i = 0; i < s->n; i++) {
        e = &s->entries[i];
        e->found = e->verdict;
        old = before->n ? bsearch(e, before->entries, before->n, sizeof(*e),
                                  sandbox_survey_compare)
                        : NULL;

        switch (e->verdict) {
        case SANDBOX_SURVEY_ORPHAN:
        case SANDBOX_SURVEY_STRAY:
            left = sandbox_survey_ripen(e, old, monotonic_ms, grace_ms);
            break;

        case SANDBOX_SURVEY_LOST:
        case SANDBOX_SURVEY_ADOPT:
            left = sandbox_survey_confirm(e, old);
            break;

        default:
            left = -1;
        }

        if (left >= 0 && (next < 0 || left < next)) {
            next = left;
        }
    }

    return next;
}
