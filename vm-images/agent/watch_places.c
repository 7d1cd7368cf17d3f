/*
 * The directories of a watch; see the header.  Must not know who watches.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "fs.h"
#include "replace.h"
#include "watch_places.h"

#define PLACES_MAX 4096        /* of all watches */
#define PLACES_STEP 128        /* entries looked at in a turn of the loop */
#define PLACES_NEWS_MAX 262144 /* bytes of news */
#define PLACES_MASK                                                            \
    (IN_CREATE | IN_MODIFY | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM             \
     | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF)

static unsigned places_total;


/* Ends the search of a place. */
static void
places_searched(agent_places_t *p)
{
    if (p->dir != NULL) {
        closedir(p->dir);
        p->dir = NULL;
        p->place = NULL;
    }
}


static void
places_drop(agent_place_list_t *list, agent_place_t *place)
{
    TAILQ_REMOVE(list, place, link);
    places_total--;
    free(place);
}


void
agent_places_path(char out[2 * SANDBOX_PATH_MAX], const char *path,
                  const char *name)
{
    snprintf(out, 2 * SANDBOX_PATH_MAX, "%s%s%s", path,
             path[1] != '\0' && name[0] != '\0' ? "/" : "", name);
}


void
agent_places_add(agent_places_t *p, const char *path, int told)
{
    size_t len;
    agent_place_t *place;

    len = strlen(path);
    place = NULL;

    if (places_total < PLACES_MAX && len < SANDBOX_PATH_MAX) {
        place = calloc(1, sizeof(*place) + len + 1);
    }

    if (place == NULL) {
        p->overflow = 1;
        return;
    }

    place->wd = -1;
    place->told = told;
    memcpy(place->path, path, len + 1);
    TAILQ_INSERT_TAIL(&p->unseen, place, link);
    places_total++;
}


/*
 * Watches an unseen place, and begins to search it if p is recursive; 0, or -1
 * with errno set.
 */
static int
places_begin(agent_places_t *p, agent_place_t *place)
{
    int fd, root;
    char proc[64];
    struct stat st;
    agent_place_t *other;

    root = agent_fs_root();
    fd = root == -1 ? -1 : agent_fs_open(root, place->path, O_PATH, 0);

    if (root != -1) {
        close(root);
    }

    if (fd == -1) {
        return -1;
    }

    if (fstat(fd, &st) == -1 || agent_fs_is_private(fd)) {
        close(fd);
        errno = ENOENT;
        return -1;
    }

    /* no other file system than that of the first place is entered */
    p->dev = TAILQ_EMPTY(&p->watched) ? st.st_dev : p->dev;

    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
    place->wd = -1;
    errno = EXDEV;

    if (st.st_dev == p->dev) {
        place->wd = inotify_add_watch(p->fd, proc, PLACES_MASK);
    }

    if (place->wd != -1 && S_ISDIR(st.st_mode) && p->recursive) {
        p->dir = agent_fs_list(fd);
        p->overflow |= p->dir == NULL;
    }

    close(fd);

    if (place->wd == -1) {
        return -1;
    }

    TAILQ_REMOVE(&p->unseen, place, link);

    /* a directory that was moved is watched already, by its old path */
    for (other = TAILQ_FIRST(&p->watched); other != NULL;
         other = TAILQ_NEXT(other, link))
    {
        if (other->wd == place->wd) {
            places_drop(&p->watched, other);
            break;
        }
    }

    TAILQ_INSERT_TAIL(&p->watched, place, link);
    p->place = p->dir ? place : NULL;

    return 0;
}


int
agent_places_hides(const agent_place_t *place, const char *name)
{
    int dir, hides, root;

    /* no place is within it */
    if (strcmp(name, strrchr(AGENT_FS_PRIVATE, '/') + 1) != 0) {
        return 0;
    }

    root = agent_fs_root();
    dir = agent_fs_open(root, place->path, O_PATH, 0);
    hides = dir != -1 && agent_fs_is_private_at(dir, name);

    if (dir != -1) {
        close(dir);
    }

    if (root != -1) {
        close(root);
    }

    return hides;
}


/* Handles an entry of the directory that is being searched. */
static void
places_entry(agent_places_t *p, const struct dirent *entry)
{
    struct stat st;
    char path[2 * SANDBOX_PATH_MAX];

    if (entry->d_name[0] == '.'
        && (entry->d_name[1] == '\0'
            || (entry->d_name[1] == '.' && entry->d_name[2] == '\0')))
    {
        return;
    }

    if (agent_places_hides(p->place, entry->d_name)) {
        return;
    }

    agent_places_path(path, p->place->path, entry->d_name);

    if (p->place->told && !agent_replace_is_temp(entry->d_name)) {
        if (p->news.len < PLACES_NEWS_MAX) {
            sandbox_text_add(&p->news, path, strlen(path) + 1);
        } else {
            p->overflow = 1;
        }
    }

    if (entry->d_type == DT_DIR
        || (entry->d_type == DT_UNKNOWN
            && fstatat(dirfd(p->dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW)
                   == 0
            && S_ISDIR(st.st_mode)))
    {
        agent_places_add(p, path, p->place->told);
    }
}


int
agent_places_step(agent_places_t *p)
{
    int i;
    struct dirent *entry;
    agent_place_t *place;

    for (i = 0; i < PLACES_STEP; i++) {
        if (p->dir != NULL) {
            entry = readdir(p->dir);
            if (entry != NULL) {
                places_entry(p, entry);
                continue;
            }

            places_searched(p);
        }

        place = TAILQ_FIRST(&p->unseen);
        if (place == NULL) {
            return 0;
        }

        if (places_begin(p, place) == -1) {
            /* what is not there or not to be entered is no loss */
            p->overflow |= errno != ENOENT && errno != ENOTDIR && errno != ELOOP
                           && errno != EXDEV;
            places_drop(&p->unseen, place);
        }
    }

    return 1;
}


agent_place_t *
agent_places_find(agent_places_t *p, int wd)
{
    agent_place_t *place;

    for (place = TAILQ_FIRST(&p->watched); place != NULL;
         place = TAILQ_NEXT(place, link))
    {
        if (place->wd == wd) {
            return place;
        }
    }

    return NULL;
}


/* The paths of the places below are wrong now, too. */
void
agent_places_forget(agent_places_t *p, const char *path)
{
    agent_place_t *place, *next;

    /* what is not found any more might have been news */
    for (place = TAILQ_FIRST(&p->unseen); place != NULL; place = next) {
        next = TAILQ_NEXT(place, link);

        if (sandbox_path_within(place->path, path)) {
            p->overflow |= place->told;
            places_drop(&p->unseen, place);
        }
    }

    for (place = TAILQ_FIRST(&p->watched); place != NULL; place = next) {
        next = TAILQ_NEXT(place, link);

        if (sandbox_path_within(place->path, path)) {
            p->overflow |= place == p->place && place->told;
            (void) inotify_rm_watch(p->fd, place->wd);
            agent_places_lose(p, place);
        }
    }
}


void
agent_places_lose(agent_places_t *p, agent_place_t *place)
{
    if (place == p->place) {
        places_searched(p);
    }

    places_drop(&p->watched, place);
}


const char *
agent_places_news(agent_places_t *p)
{
    const char *path;

    if (p->news_told == p->news.len || sandbox_text_failed(&p->news)) {
        p->overflow |= sandbox_text_failed(&p->news);
        agent_places_forget_news(p);
        return NULL;
    }

    path = p->news.data + p->news_told;
    p->news_told += strlen(path) + 1;

    return path;
}


void
agent_places_forget_news(agent_places_t *p)
{
    sandbox_text_free(&p->news);
    p->news_told = 0;
}


int
agent_places_init(agent_places_t *p, const char *path, int recursive)
{
    int err;

    TAILQ_INIT(&p->watched);
    TAILQ_INIT(&p->unseen);
    p->recursive = recursive;

    p->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (p->fd == -1) {
        return -1;
    }

    errno = EMFILE;
    agent_places_add(p, path, 0);

    if (!TAILQ_EMPTY(&p->unseen)
        && places_begin(p, TAILQ_FIRST(&p->unseen)) == 0) {
        return 0;
    }

    err = errno;
    agent_places_free(p);
    errno = err;

    return -1;
}


void
agent_places_free(agent_places_t *p)
{
    agent_place_t *place;

    while ((place = TAILQ_FIRST(&p->watched)) != NULL) {
        places_drop(&p->watched, place);
    }

    while ((place = TAILQ_FIRST(&p->unseen)) != NULL) {
        places_drop(&p->unseen, place);
    }

    places_searched(p);
    sandbox_text_free(&p->news);
    close(p->fd);
}
