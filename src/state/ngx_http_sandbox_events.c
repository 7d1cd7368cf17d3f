/* Parses messages and passes them to the subscribers; see the header. */

#include "ngx_http_sandbox_events.h"

#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_redis.h"


static ngx_http_sandbox_key_t ngx_http_sandbox_events_channel;
static ngx_http_sandbox_redis_listener_t ngx_http_sandbox_events_listener;
static ngx_http_sandbox_subscriber_t *ngx_http_sandbox_subscribers;


/* Takes the first word off text. */
static void
ngx_http_sandbox_events_word(ngx_str_t *text, ngx_str_t *word)
{
    u_char *end, *last;

    last = text->data + text->len;
    end = ngx_strlchr(text->data, last, ' ');

    word->data = text->data;
    word->len = (size_t) ((end ? end : last) - text->data);

    text->data = end ? end + 1 : last;
    text->len = (size_t) (last - text->data);
}


static void
ngx_http_sandbox_events_message(void *data, ngx_str_t *payload)
{
    char id[SANDBOX_ID_SIZE];
    ngx_str_t first, word, rest;
    ngx_http_sandbox_subscriber_t *s;

    rest = *payload;
    ngx_http_sandbox_events_word(&rest, &first);
    ngx_http_sandbox_events_word(&rest, &word);

    if (sandbox_id_parse(id, "sb", (char *) first.data, first.len) != 0
        && sandbox_id_parse(id, "snap", (char *) first.data, first.len) != 0
        && sandbox_id_parse(id, "twp", (char *) first.data, first.len) != 0)
    {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "sandbox: event of %uz bytes ignored", payload->len);
        return;
    }

    for (s = ngx_http_sandbox_subscribers; s; s = s->next) {
        s->message(id, &word, &rest);
    }
}


static void
ngx_http_sandbox_events_lost(void *data)
{
    ngx_http_sandbox_subscriber_t *s;

    for (s = ngx_http_sandbox_subscribers; s; s = s->next) {
        if (s->lost) {
            s->lost();
        }
    }
}


static void
ngx_http_sandbox_events_ready(void *data)
{
    ngx_http_sandbox_subscriber_t *s;

    for (s = ngx_http_sandbox_subscribers; s; s = s->next) {
        if (s->ready) {
            s->ready();
        }
    }
}


ngx_uint_t
ngx_http_sandbox_events_is(const ngx_str_t *word, const char *name)
{
    return word->len == ngx_strlen(name)
           && ngx_strncmp(word->data, name, word->len) == 0;
}


static void
ngx_http_sandbox_events_published(void *data, redisReply *reply)
{
}


void
ngx_http_sandbox_events_publish(const char *id, const char *word,
                                const ngx_str_t *detail)
{
    u_char text[SANDBOX_ID_SIZE + 32 + NGX_HTTP_SANDBOX_PREFIX_MAX];
    ngx_str_t argv[3];

    ngx_str_set(&argv[0], "PUBLISH");
    argv[1] = ngx_http_sandbox_events_channel.name;
    argv[2].data = text;
    argv[2].len =
        ngx_snprintf(text, sizeof(text), "%s %s %V", id, word, detail) - text;

    (void) ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                          ngx_http_sandbox_events_published,
                                          NULL, 3, argv);
}


void
ngx_http_sandbox_events_subscribe(ngx_http_sandbox_subscriber_t *s)
{
    s->next = ngx_http_sandbox_subscribers;
    ngx_http_sandbox_subscribers = s;
}


ngx_int_t
ngx_http_sandbox_events_listen(void)
{
    ngx_http_sandbox_key_events(&ngx_http_sandbox_events_channel);

    ngx_http_sandbox_events_listener.message = ngx_http_sandbox_events_message;
    ngx_http_sandbox_events_listener.lost = ngx_http_sandbox_events_lost;
    ngx_http_sandbox_events_listener.ready = ngx_http_sandbox_events_ready;

    return ngx_http_sandbox_redis_subscribe(
        ngx_http_sandbox_worker.redis, &ngx_http_sandbox_events_channel.name,
        &ngx_http_sandbox_events_listener);
}
