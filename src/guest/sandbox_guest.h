/*
 * The bootstrap conversation with a guest agent: a line of JSON in, a line
 * of JSON out, over any byte channel.  docs/guest-protocol.md is the contract.
 *
 * The guest is not trusted: a line longer than SANDBOX_GUEST_LINE_MAX, more
 * than SANDBOX_GUEST_NOISE_MAX bytes of other lines, or malformed JSON ends
 * the conversation with an error.  Blocking; pool threads only.
 */

#ifndef SANDBOX_GUEST_H
#define SANDBOX_GUEST_H

#include <stddef.h>
#include <stdint.h>

#define SANDBOX_GUEST_LINE_MAX 4096
#define SANDBOX_GUEST_NOISE_MAX 65536

/*
 * A byte channel.  write gives 0 or -1; read gives bytes, 0 at the deadline, or
 * -1 if the channel has ended.  Deadlines are monotonic, here and below.
 */
typedef struct {
    void *channel;
    int (*write)(void *channel, const char *data, size_t len,
                 int64_t deadline_ms);
    int64_t (*read)(void *channel, char *data, size_t size,
                    int64_t deadline_ms);
} sandbox_guest_channel_t;

typedef struct {
    const char *hostname;
    const char *mac;
    const char *address;    /* "10.88.0.5/16" */
    const char *gateway;    /* also the only peer the agent's server accepts */
    const char *const *dns; /* NULL-terminated, may be NULL */
    const char *token;      /* for the agent's HTTP server */
    const char *envs;       /* JSON object text, may be NULL */
    const char *cwd;
    int grow_disk;
} sandbox_guest_config_t;

typedef enum {
    SANDBOX_GUEST_OK = 0,
    SANDBOX_GUEST_TIMEOUT,
    SANDBOX_GUEST_CLOSED,
    SANDBOX_GUEST_PROTOCOL, /* the guest broke the protocol */
    SANDBOX_GUEST_REFUSED   /* the guest answered that a step failed */
} sandbox_guest_status_t;

/*
 * Synchronises by nonce (anything the guest said before is skipped), then
 * configures: identity, clock, 64 bytes of host entropy, environment.  OK only
 * when the guest confirmed every step and its HTTP server listens.
 * message (size bytes) gets a sentence for the log on failure.
 */
sandbox_guest_status_t
sandbox_guest_bootstrap(const sandbox_guest_channel_t *ch,
                        const sandbox_guest_config_t *conf, int64_t deadline_ms,
                        char *message, size_t size);

/* The first half alone: OK when the guest's agent is up and answers. */
sandbox_guest_status_t
sandbox_guest_sync(const sandbox_guest_channel_t *ch, int64_t deadline_ms,
                   char *message, size_t size);

/*
 * Writes the guest's file systems to its disk while its commands go on, so
 * that a freeze has little left to write.  May take as long as the disk needs.
 */
sandbox_guest_status_t
sandbox_guest_flush(const sandbox_guest_channel_t *ch, int64_t deadline_ms,
                    char *message, size_t size);

/*
 * Stops the guest's commands, before a checkpoint is taken.  With sync, then
 * also writes the guest's file systems to its disk; without, takes only one
 * exchange of lines.  In a guest that is started from the checkpoint, bootstrap
 * lets the commands go on.  Unless OK, they may stand still or not: the caller
 * thaws.
 */
sandbox_guest_status_t
sandbox_guest_freeze(const sandbox_guest_channel_t *ch, int sync,
                     int64_t deadline_ms, char *message, size_t size);

/* Lets the guest's commands go on; does nothing if they run. */
sandbox_guest_status_t
sandbox_guest_thaw(const sandbox_guest_channel_t *ch, int64_t deadline_ms,
                   char *message, size_t size);

#endif
