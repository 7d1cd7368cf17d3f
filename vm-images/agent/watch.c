/*
 * The messages of the channel "watch", over inotify.
 *
 * Events wait in the kernel's queue only: they are read when the socket has
 * room, so the queue of a client that does not read overflows, which the client
 * is told.  The kernel watches single directories; below the path of a
 * recursive stream they are searched for, a few entries at a time, at the start
 * of the stream and when a directory appears.  What is found in a directory
 * that was created, not renamed, is told as created too.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "body.h"
#include "fault.h"
#include "fs.h"
#include "loop.h"
#include "replace.h"
#include "watch.h"
#include "watch_places.h"

#define WATCH_BUFFER 16384
#define WATCH_PAIR_MS 20    /* the wait for the second half of a rename */
#define WATCH_RETRY_MS 1000 /* the wait for memory of the kernel */
#define WATCH_TURN 64       /* events handled in a turn of the loop */
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

typedef struct {
    agent_ws_stream_t stream;
    agent_watch_t input;
    agent_timer_t scanner; /* also for events that are left */
    agent_timer_t pair;    /* for the second half of a rename */
    agent_places_t places;
    char path[SANDBOX_PATH_MAX]; /* that the client named */
    int started;                 /* watch_started was sent */

    unsigned turn;   /* events handled in this turn of the loop */
    int late;        /* the second half of a rename did not come in time */
    uint32_t cookie; /* of a rename whose second half is awaited, or 0 */
    char from[2 * SANDBOX_PATH_MAX];
    size_t pos, len;
    char events[WATCH_BUFFER]
        __attribute__((aligned(__alignof__(struct inotify_event))));
} watch_t;

typedef struct {
    char path[SANDBOX_PATH_MAX];
    int recursive;
} watch_request_t;


static watch_t *
watch_of(agent_ws_stream_t *s)
{
    return (watch_t *) (void *) ((char *) s - offsetof(watch_t, stream));
}


static void
watch_free(watch_t *w)
{
    agent_loop_timer_stop(&w->scanner);
    agent_loop_timer_stop(&w->pair);
    agent_loop_unwatch(&w->input);
    agent_places_free(&w->places);
    free(w);
}


static void
watch_detached(agent_ws_stream_t *s)
{
    watch_free(watch_of(s));
}


/* --- telling ------------------------------------------------------------ */

static void
watch_tell(watch_t *w, const char *event, const char *path, const char *to)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    agent_ws_begin(&t, "watch_event", &w->stream);
    sandbox_text_fmt(&t, ",\"event\":\"%s\",\"path\":", event);
    sandbox_text_json_string(&t, path, strlen(path));

    if (to != NULL) {
        sandbox_text_str(&t, ",\"to\":");
        sandbox_text_json_string(&t, to, strlen(to));
    }

    sandbox_text_str(&t, "}");
    agent_ws_send(w->stream.ws, &t);
}


static void
watch_tell_started(watch_t *w)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    w->started = 1;
    agent_ws_begin(&t, "watch_started", &w->stream);
    sandbox_text_str(&t, "}");
    agent_ws_send(w->stream.ws, &t);
}


/* Tells that something was lost. */
static void
watch_tell_overflow(watch_t *w)
{
    w->places.overflow = 0;
    agent_places_forget_news(&w->places);
    watch_tell(w, "overflow", w->path, NULL);
}


static void
watch_scan_later(watch_t *w)
{
    agent_loop_timer(&w->scanner, 0);
}


static void
watch_scan(void *data)
{
    watch_t *w = data;

    w->turn = 0;

    if (agent_places_step(&w->places)) {
        watch_scan_later(w);
    }

    agent_ws_ready(&w->stream); /* which may free w */
}


/* --- events ------------------------------------------------------------- */

/*
 * Tells a first half of a rename that was held back as a deletion; 1 if there
 * was one.
 */
static int
watch_flush(watch_t *w)
{
    if (w->cookie == 0) {
        return 0;
    }

    w->cookie = 0;
    agent_loop_timer_stop(&w->pair);
    watch_tell(w, "delete", w->from, NULL);

    return 1;
}


static void
watch_moved_to(watch_t *w, const struct inotify_event *e, const char *path)
{
    int paired;

    paired = w->cookie != 0 && w->cookie == e->cookie;

    if (paired) {
        w->cookie = 0;
        agent_loop_timer_stop(&w->pair);
    }

    if (paired && agent_replace_is_temp(strrchr(w->from, '/') + 1)) {
        watch_tell(w, "modify", path, NULL); /* a file put in place */
    } else if (paired) {
        watch_tell(w, "rename", w->from, path);
    } else {
        watch_tell(w, "create", path, NULL);
    }

    if (w->places.recursive && (e->mask & IN_ISDIR)) {
        agent_places_add(&w->places, path, 0);
        watch_scan_later(w);
    }
}


/*
 * 1 for a file that has no name yet (O_TMPFILE), which inotify reports as
 * "#NUMBER".
 */
static int
watch_is_nameless(const char *path, const char *name)
{
    int fd, root;

    if (name[0] != '#' || name[1 + strspn(name + 1, "0123456789")] != '\0') {
        return 0;
    }

    root = agent_fs_root();
    fd = agent_fs_open(root, path, O_PATH | O_NOFOLLOW, 0);

    if (root != -1) {
        close(root);
    }

    if (fd != -1) {
        close(fd);
    }

    return fd == -1;
}


/*
 * Handles an event; 1 if the client was told of one, 0 if the event was held
 * back or does not concern the client.
 */
static int
watch_event(watch_t *w, const struct inotify_event *e)
{
    const char *name;
    agent_place_t *place;
    char path[2 * SANDBOX_PATH_MAX];

    if (e->mask & IN_Q_OVERFLOW) {
        watch_tell_overflow(w);
        return 1;
    }

    place = agent_places_find(&w->places, e->wd);
    if (place == NULL) {
        return 0;
    }

    name = e->len > 0 ? e->name : "";
    agent_places_path(path, place->path, name);

    if (e->mask & IN_IGNORED) {
        agent_places_lose(&w->places, place);
        return 0;
    }

    if (agent_places_hides(place, name)) {
        return 0;
    }

    if (e->mask & IN_MOVED_FROM) {
        w->cookie = e->cookie;
        strcpy(w->from, path);

        if (e->mask & IN_ISDIR) {
            agent_places_forget(&w->places, path);
        }
        return 0;
    }

    if (e->mask & IN_MOVED_TO) {
        watch_moved_to(w, e, path);
        return 1;
    }

    if (agent_replace_is_temp(name) || watch_is_nameless(path, name)) {
        return 0;
    }

    if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF)) {
        /* the end of a subdirectory is an event of the one above it */
        if (place != TAILQ_FIRST(&w->places.watched)) {
            return 0;
        }

        watch_tell(w, "delete", path, NULL);
        return 1;
    }

    if ((e->mask & IN_CREATE) && (e->mask & IN_ISDIR) && w->places.recursive) {
        agent_places_add(&w->places, path, 1);
        watch_scan_later(w);
    }

    watch_tell(w,
               e->mask & IN_CREATE   ? "create"
               : e->mask & IN_DELETE ? "delete"
                                     : "modify",
               path, NULL);

    return 1;
}


static void
watch_wait(watch_t *w)
{
    if (w->input.fd == -1) {
        /* until the kernel has memory for that, events are asked for */
        if (agent_loop_watch(&w->input, w->places.fd, EPOLLIN) == -1
            && !w->scanner.active)
        {
            agent_loop_timer(&w->scanner, WATCH_RETRY_MS);
        }
    }

    if (w->cookie != 0 && !w->pair.active) {
        agent_loop_timer(&w->pair, WATCH_PAIR_MS);
    }
}


/*
 * 1 if others have to get their turn of the loop first: commands may make
 * events faster than they are handled.
 */
static int
watch_yields(watch_t *w)
{
    if (w->turn < WATCH_TURN) {
        return 0;
    }

    watch_scan_later(w);

    return 1;
}


/* 1 if the client was told of an event, 0 if there is none now. */
static int
watch_next(watch_t *w)
{
    int moved;
    ssize_t n;
    const struct inotify_event *e;

    for (;;) {
        if (watch_yields(w)) {
            return 0;
        }

        if (w->pos == w->len) {
            n = read(w->places.fd, w->events, sizeof(w->events));
            if (n <= 0) {
                watch_wait(w);
                return 0;
            }

            w->pos = 0;
            w->len = (size_t) n;
        }

        e = (const struct inotify_event *) (const void *) (w->events + w->pos);
        moved = (e->mask & IN_MOVED_TO) && e->cookie == w->cookie;

        /* IN_IGNORED of watches that were given up may come in between */
        if (w->cookie != 0 && !moved && !(e->mask & IN_IGNORED)) {
            return watch_flush(w); /* the next call handles the event */
        }

        w->pos += sizeof(*e) + e->len;
        w->turn++;

        if (watch_event(w, e)) {
            return 1;
        }
    }
}


static int
watch_pump(agent_ws_stream_t *s)
{
    watch_t *w;
    const char *path;

    w = watch_of(s);

    if (!w->started) {
        if (w->places.dir != NULL || !TAILQ_EMPTY(&w->places.unseen)) {
            return 0; /* watch_scan() asks again */
        }

        watch_tell_started(w);
        return 1;
    }

    if (watch_yields(w)) {
        return 0;
    }

    path = w->places.overflow ? NULL : agent_places_news(&w->places);
    if (path != NULL) {
        w->turn++;
        watch_tell(w, "create", path, NULL);
        return 1;
    }

    if (w->places.overflow) {
        watch_tell_overflow(w);
        return 1;
    }

    if (w->late) {
        w->late = 0;

        if (watch_flush(w)) {
            return 1;
        }
    }

    return watch_next(w);
}


static void
watch_input(void *data, uint32_t events)
{
    watch_t *w = data;

    (void) events;

    w->turn = 0;
    agent_loop_unwatch(&w->input);
    agent_ws_ready(&w->stream);
}


/* The second half of a rename did not come: the new path is not watched. */
static void
watch_pair(void *data)
{
    watch_t *w = data;

    w->late = 1;
    agent_ws_ready(&w->stream);
}


/* --- messages ----------------------------------------------------------- */

/* NULL with errno set. */
static watch_t *
watch_make(const watch_request_t *request)
{
    watch_t *w;

    w = calloc(1, sizeof(*w));
    if (w == NULL
        || agent_places_init(&w->places, request->path, request->recursive)
               == -1)
    {
        free(w);
        return NULL;
    }

    strcpy(w->path, request->path);
    w->input.fd = -1;
    w->input.handler = watch_input;
    w->input.data = w;
    w->scanner.handler = watch_scan;
    w->scanner.data = w;
    w->pair.handler = watch_pair;
    w->pair.data = w;

    return w;
}


static void
watch_start(agent_ws_t *ws, agent_ws_stream_t *s, const char *id,
            const sandbox_json_t *doc)
{
    watch_t *w;
    agent_fault_t fault;
    watch_request_t request;
    agent_body_error_t err;
    agent_field_t fields[] = {
        { .name = "type", .kind = AGENT_FIELD_ELSEWHERE },
        { .name = "stream_id", .kind = AGENT_FIELD_ELSEWHERE },
        { .name = "path",
          .kind = AGENT_FIELD_PATH,
          .value = request.path,
          .required = 1 },
        { .name = "recursive",
          .kind = AGENT_FIELD_BOOL,
          .value = &request.recursive },
    };

    (void) s;
    memset(&request, 0, sizeof(request));

    if (agent_body_read(fields, COUNT(fields), 1, doc, &err) != AGENT_BODY_OK) {
        agent_ws_invalid(ws, id, err.field, err.reason);
        return;
    }

    w = watch_make(&request);
    if (w == NULL) {
        agent_fault(&fault, errno);
        agent_ws_error(ws, id, fault.code, fault.message);
        return;
    }

    agent_ws_attach(ws, &w->stream, id);
    watch_scan_later(w);
}


static void
watch_stop(agent_ws_t *ws, agent_ws_stream_t *s, const char *id,
           const sandbox_json_t *doc)
{
    (void) ws;
    (void) id;
    (void) doc;

    agent_ws_detach(s);
    watch_free(watch_of(s));
}


static const agent_ws_message_t watch_messages[] = {
    { "watch_start", watch_start, 1 },
    { "watch_stop", watch_stop, 0 },
};

const agent_ws_channel_t agent_watch_channel = { "watch", watch_messages,
                                                 COUNT(watch_messages),
                                                 watch_pump, watch_detached };
