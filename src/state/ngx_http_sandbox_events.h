/*
 * Changes in Redis, as told to every worker: one subscription a worker to the
 * channel Pevents, with several subscribers.  A message is "<id> <word>" or
 * "<id> <word> <detail>".  Of a sandbox:
 *
 *   running      its create was committed
 *   failed code  its create has failed; the code of the error
 *   hibernating  its hibernation has begun
 *   paused       its hibernation has ended well, or a resume of it has failed
 *   resuming     a new execution of it is being started
 *   resumed      the new execution runs, and this id is its alias
 *   free         the checkpoint of it is done: other operations may use it
 *   destroying   its destruction has begun
 *   destroyed    its destruction has ended
 *   network      its network settings have changed
 *   error        its machine has ended by itself
 *   suspect node its guest could not be reached: does its machine still run?
 *
 * Of a snapshot:
 *
 *   ready        it was taken
 *   failed code  its taking has failed
 *   deleted      it is gone
 *   kept code    it could not be deleted
 *
 * Of a warm pool:
 *
 *   ready        it has one more member
 *
 * The scripts publish after they wrote; "suspect" is published by a worker.
 * Messages may be lost: lost() and ready() tell when.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_EVENTS_H
#define NGX_HTTP_SANDBOX_EVENTS_H

#include "ngx_http_sandbox_module.h"

typedef struct ngx_http_sandbox_subscriber_s ngx_http_sandbox_subscriber_t;

/* In static memory of the subscriber; lost and ready may be NULL. */
struct ngx_http_sandbox_subscriber_s {
    void (*message)(const char *id, ngx_str_t *word, ngx_str_t *detail);
    void (*lost)(void);
    void (*ready)(void); /* listening (again) */
    ngx_http_sandbox_subscriber_t *next;
};

/* Publishes a message to all workers; it is lost if Redis is away. */
void ngx_http_sandbox_events_publish(const char *id, const char *word,
                                     const ngx_str_t *detail);

/* 1 if a message's word is this one. */
ngx_uint_t ngx_http_sandbox_events_is(const ngx_str_t *word, const char *name);

/* To be called before ngx_http_sandbox_events_listen(). */
void ngx_http_sandbox_events_subscribe(ngx_http_sandbox_subscriber_t *s);

/* From init_process, when Redis is started. */
ngx_int_t ngx_http_sandbox_events_listen(void);

#endif
