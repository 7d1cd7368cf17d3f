/* Ranges and conditions; see the header. */

#define _GNU_SOURCE

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "conditions.h"

static const char conditions_days[] = "SunMonTueWedThuFriSat";
static const char conditions_months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";


void
agent_date(char out[AGENT_DATE_SIZE], time_t t)
{
    struct tm tm;

    if (t < 0 || t > 253402300799) {
        t = 0; /* years of four digits */
    }

    gmtime_r(&t, &tm);
    snprintf(out, AGENT_DATE_SIZE, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
             conditions_days + tm.tm_wday * 3, (unsigned) tm.tm_mday % 100,
             conditions_months + tm.tm_mon * 3,
             (unsigned) (tm.tm_year + 1900) % 10000,
             (unsigned) tm.tm_hour % 100, (unsigned) tm.tm_min % 100,
             (unsigned) tm.tm_sec % 100);
}


/*
 * A date in the form that all senders use now; 0, or -1: then it counts as not
 * sent.
 */
static int
conditions_date(const char *s, time_t *t)
{
    struct tm tm;
    char back[AGENT_DATE_SIZE];

    if (strlen(s) != AGENT_DATE_SIZE - 1) {
        return -1;
    }

    memset(&tm, 0, sizeof(tm));
    if (strptime(s, "%a, %d %b %Y %H:%M:%S GMT", &tm) == NULL) {
        return -1;
    }

    *t = timegm(&tm);
    agent_date(back, *t);

    return strcmp(back, s) == 0 ? 0 : -1;
}


static const char *
conditions_blanks(const char *s)
{
    return s + strspn(s, " \t");
}


/* A decimal number; *s is moved behind it.  -1 if there is none. */
static int64_t
conditions_number(const char **s)
{
    int64_t n;
    const char *p;

    n = 0;

    for (p = *s; *p >= '0' && *p <= '9'; p++) {
        /* more than any file has: it is as good as that */
        n = n > INT64_MAX / 10 - 1 ? INT64_MAX / 10 : n * 10 + (*p - '0');
    }

    if (p == *s) {
        return -1;
    }

    *s = p;

    return n;
}


agent_range_t
agent_range(const char *value, int64_t size, int64_t *first, int64_t *len)
{
    int64_t from, to;

    if (value == NULL || strncasecmp(value, "bytes=", 6) != 0) {
        return AGENT_RANGE_ALL;
    }

    value = conditions_blanks(value + 6);
    from = conditions_number(&value);

    if (*value++ != '-') {
        return AGENT_RANGE_ALL;
    }

    to = conditions_number(&value);

    if (*conditions_blanks(value) != '\0' || (from == -1 && to == -1)
        || (to != -1 && from > to))
    {
        return AGENT_RANGE_ALL;
    }

    if (from == -1) {
        from = to < size ? size - to : 0;
        to = to == 0 ? -1 : size - 1;
    } else {
        to = to == -1 || to >= size ? size - 1 : to;
    }

    if (from >= size || to < from) {
        return AGENT_RANGE_BAD;
    }

    *first = from;
    *len = to - from + 1;

    return AGENT_RANGE_PART;
}


/* 1 if a list of entity tags has this one; a malformed list has none. */
static int
conditions_tags(const char *list, const char *etag, int weak)
{
    size_t len;
    int is_weak;
    const char *end;

    list = conditions_blanks(list);

    if (list[0] == '*' && *conditions_blanks(list + 1) == '\0') {
        return etag != NULL;
    }

    if (etag == NULL) {
        return 0;
    }

    for (len = strlen(etag); *list != '\0';) {
        is_weak = strncmp(list, "W/", 2) == 0;
        list += is_weak ? 2 : 0;

        end = *list == '"' ? strchr(list + 1, '"') : NULL;
        if (end == NULL) {
            return 0;
        }

        end++;

        if ((weak || !is_weak) && (size_t) (end - list) == len
            && memcmp(list, etag, len) == 0)
        {
            return 1;
        }

        list = end + strspn(end, " \t,");
    }

    return 0;
}


unsigned
agent_conditions(const agent_conditions_t *c, const char *etag, time_t modified,
                 int reads)
{
    time_t t;

    if (c->match != NULL) {
        if (!conditions_tags(c->match, etag, 0)) {
            return 412;
        }

    } else if (c->unmodified_since != NULL && etag != NULL
               && conditions_date(c->unmodified_since, &t) == 0 && modified > t)
    {
        return 412;
    }

    if (c->none_match != NULL) {
        if (conditions_tags(c->none_match, etag, 1)) {
            return reads ? 304 : 412;
        }

    } else if (reads && c->modified_since != NULL && etag != NULL
               && conditions_date(c->modified_since, &t) == 0 && modified <= t)
    {
        return 304;
    }

    return 0;
}


/* A date is too coarse to say that nothing has changed. */
int
agent_condition_range(const agent_conditions_t *c, const char *etag)
{
    return c->range == NULL || strcmp(c->range, etag) == 0;
}
