/*
 * What changed in Redis, as told to every worker: one subscription a worker
 * to the channel Pevents, with several subscribers.  A message is
 * "<id> <word>" or "<id> <word> <detail>":
 *
 *   running      a create was committed
 *   failed code  a create was undone; the code of its error
 *   hibernating  a hibernation has begun
 *   paused       it has ended well, or a resume has failed
 *   resuming     a new execution of it is being started
 *   resumed      that runs, and this id is its alias
 *   free         a checkpoint of it was taken, it can be had again
 *   destroying   a destruction has begun
 *   destroyed    it has ended
 *   network      its network settings have changed
 *   error        its machine has ended by itself
 *   suspect node it could not be reached: does its machine still run there?
 *   ready        a snapshot was taken; of the snapshot's id, as the next ones:
 *   failed code  its taking has failed
 *   deleted      it is gone
 *   kept code    it could not be deleted
 *   ready        a warm pool, whose id it is, has one more member
 *
 * Published by the scripts after they wrote, suspect by a worker.  Messages
 * may be lost: lost() and ready() tell when.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_EVENTS_H
#define NGX_HTTP_SANDBOX_EVENTS_H

#include "ngx_http_sandbox_module.h"

typedef struct ngx_http_sandbox_subscriber_s ngx_http_sandbox_subscriber_t;

/* Static storage of the subscriber's; lost and ready may be NULL. */
struct ngx_http_sandbox_subscriber_s {
    void (*message)(const char *id, ngx_str_t *word, ngx_str_t *detail);
    void (*lost)(void);
    void (*ready)(void); /* listening (again) */
    ngx_http_sandbox_subscriber_t *next;
};

/* Tells all workers; lost if Redis is away. */
void ngx_http_sandbox_events_publish(const char *id, const char *word,
                                     const ngx_str_t *detail);

/* 1 if a message's word is this one. */
ngx_uint_t ngx_http_sandbox_events_is(const ngx_str_t *word, const char *name);

/* Before listen. */
void ngx_http_sandbox_events_subscribe(ngx_http_sandbox_subscriber_t *s);

/* From init_process, when Redis is started. */
ngx_int_t ngx_http_sandbox_events_listen(void);

#endif
