/*
 * The directories that one inotify descriptor watches: one directory, or also
 * all below it, which are searched for a few entries at a time.  Links are not
 * followed; other file systems and the agent's private directory are not
 * entered.  Event loop only.
 */

#ifndef AGENT_WATCH_PLACES_H
#define AGENT_WATCH_PLACES_H

#include <dirent.h>
#include <sys/queue.h>

#include "sandbox_path.h"
#include "sandbox_text.h"

typedef struct agent_place_s agent_place_t;

/* A watched directory, or the watched file itself. */
struct agent_place_s {
    int wd;   /* -1: not watched yet */
    int told; /* entries found in it are reported as news */
    TAILQ_ENTRY(agent_place_s) link;
    char path[]; /* from the root of the guest */
};

typedef TAILQ_HEAD(agent_place_list_s, agent_place_s) agent_place_list_t;

/* Zeroed at first. */
typedef struct {
    int fd; /* to read events from */
    int recursive;
    int overflow; /* some place or news was lost; the owner clears it */
    dev_t dev;
    agent_place_list_t watched; /* the requested path first */
    agent_place_list_t unseen;
    DIR *dir; /* of the place that is being searched, or NULL */
    agent_place_t *place;
    sandbox_text_t news; /* paths that were found, each with its NUL */
    size_t news_told;    /* bytes of news that were given out */
} agent_places_t;

/* Watches path.  0, or -1 with errno set and nothing to be freed. */
int agent_places_init(agent_places_t *p, const char *path, int recursive);
void agent_places_free(agent_places_t *p);

/* Adds a new directory; told: entries found in it are news. */
void agent_places_add(agent_places_t *p, const char *path, int told);

/* Searches on, for a bounded number of entries; 1 if there is more to do. */
int agent_places_step(agent_places_t *p);

/* The next path that is news, or NULL; valid until the next call. */
const char *agent_places_news(agent_places_t *p);
void agent_places_forget_news(agent_places_t *p);

/* 1 if name in a place is the agent's private directory. */
int agent_places_hides(const agent_place_t *place, const char *name);

/* The place of an event's wd, or NULL. */
agent_place_t *agent_places_find(agent_places_t *p, int wd);

/* Removes a place that the kernel does not watch any more. */
void agent_places_lose(agent_places_t *p, agent_place_t *place);

/* Removes a directory that was renamed or removed, and all below it. */
void agent_places_forget(agent_places_t *p, const char *path);

/* Joins a directory's path and a name in it, which may be "". */
void agent_places_path(char out[2 * SANDBOX_PATH_MAX], const char *path,
                       const char *name);

#endif
