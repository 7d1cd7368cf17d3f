/*
 * The directories that one inotify descriptor watches: one, or it with all
 * below it, which are looked for a few entries at a time.  Links are not
 * followed, other file systems and what the agent keeps for itself not
 * entered.  Event loop only.
 */

#ifndef AGENT_WATCH_PLACES_H
#define AGENT_WATCH_PLACES_H

#include <dirent.h>
#include <sys/queue.h>

#include "sandbox_path.h"
#include "sandbox_text.h"

typedef struct agent_place_s agent_place_t;

/* A directory, or the file itself. */
struct agent_place_s {
    int wd;   /* -1: to be looked at */
    int told; /* its entries are news */
    TAILQ_ENTRY(agent_place_s) link;
    char path[]; /* from the root of the guest */
};

typedef TAILQ_HEAD(agent_place_list_s, agent_place_s) agent_place_list_t;

/* Zeroed at first. */
typedef struct {
    int fd; /* to read events from */
    int recursive;
    int overflow; /* not all could be watched or kept; the owner clears it */
    dev_t dev;
    agent_place_list_t watched; /* the one that was asked for first */
    agent_place_list_t unseen;
    DIR *dir; /* of the place that is being looked at, or NULL */
    agent_place_t *place;
    sandbox_text_t news; /* paths that were found, each with its NUL */
    size_t news_told;    /* bytes of them */
} agent_places_t;

/* Watches path.  0, or -1 with errno set and nothing to be freed. */
int agent_places_init(agent_places_t *p, const char *path, int recursive);
void agent_places_free(agent_places_t *p);

/* A directory that has appeared; told: what is in it is news. */
void agent_places_add(agent_places_t *p, const char *path, int told);

/* Looks on, a bounded step; 1 if there is more to be looked at. */
int agent_places_step(agent_places_t *p);

/* The next path that was found and is news, until the next call; or NULL. */
const char *agent_places_news(agent_places_t *p);
void agent_places_forget_news(agent_places_t *p);

/* The one of an event, or NULL. */
agent_place_t *agent_places_find(agent_places_t *p, int wd);

/* The kernel does not watch it any more. */
void agent_places_lose(agent_places_t *p, agent_place_t *place);

/* A directory has another name, or none any more: so have those below it. */
void agent_places_forget(agent_places_t *p, const char *path);

/* A path and a name in it, which may be "". */
void agent_places_path(char out[2 * SANDBOX_PATH_MAX], const char *path,
                       const char *name);

#endif
