/*
 * Jobs: commands that the agent has started and clients can come back to, each
 * with its newest output and, after its end, its exit status.  Event loop only.
 *
 * A reader of a job's output has a tap.  While a job has taps, no output is
 * overwritten that one of them has not taken: the command waits instead.
 * Without taps the newest output is kept, and the command never waits.
 */

#ifndef AGENT_JOB_H
#define AGENT_JOB_H

#include <sys/queue.h>

#include "exec_request.h"
#include "process.h"
#include "ring.h"
#include "sandbox_text.h"

#define AGENT_JOBS_ENDED_MAX 256 /* that are remembered */
#define AGENT_JOB_COMMAND_SIZE 1025

typedef struct agent_job_s agent_job_t;
typedef struct agent_tap_s agent_tap_t;

struct agent_tap_s {
    agent_job_t *job;          /* NULL while not attached */
    uint64_t offset;           /* of the next byte to be taken */
    void (*ready)(void *data); /* there is more output, or the job has ended */
    void *data;
    unsigned told; /* private to job.c */
    LIST_ENTRY(agent_tap_s) link;
};

/* To be read only. */
struct agent_job_s {
    int64_t pid;
    int64_t started_ms;
    char command[AGENT_JOB_COMMAND_SIZE];
    char session_id[AGENT_SESSION_ID_SIZE]; /* "" if it has no terminal */
    agent_exit_t exit;
    agent_ring_t ring;
    unsigned short cols;
    unsigned short rows;
    unsigned running : 1;
    unsigned background : 1;
    unsigned foreground : 1; /* the output goes to the owner */
    unsigned input : 1;
    unsigned telling : 1; /* the taps are being told of the end */

    agent_process_t *process;
    agent_process_owner_t owner;
    unsigned round;
    LIST_HEAD(job_taps_s, agent_tap_s) taps;
    TAILQ_ENTRY(agent_job_s) link;
};

typedef struct {
    const char *command;    /* as the client wrote it */
    const char *session_id; /* of a terminal; NULL: a new one is made */
    int background;

    /* Of a foreground job: gets the output; the job is freed after done(). */
    const agent_process_owner_t *owner;
} agent_job_conf_t;

/* NULL with errno set. */
agent_job_t *
agent_job_start(const agent_process_spec_t *spec, const agent_job_conf_t *conf);

/*
 * Kills and forgets a running job without taps: one in the foreground whose
 * owner goes away, or one that could not be begun.  done() is not called.
 */
void agent_job_abandon(agent_job_t *job);

/* The newest job of that pid or session, running or not; or NULL. */
agent_job_t *agent_job_find(int64_t pid);
agent_job_t *agent_job_find_session(const char *session_id);

/* Appends a JSON array of all jobs, the oldest first. */
void agent_job_list(sandbox_text_t *t);

/* The name of a signal without "SIG"; static. */
const char *agent_signal_name(int signal);

/* Appends "exit_code":N and, after a signal, ,"signal":"NAME". */
void agent_exit_members(sandbox_text_t *t, const agent_exit_t *e);

/* Attaches a tap where reading from an offset begins: agent_ring_from(). */
void agent_job_attach(agent_tap_t *tap, agent_job_t *job, uint64_t offset);
void agent_job_detach(agent_tap_t *tap);

/*
 * Bytes at an offset, at most max, which is at least 4, of one stream; 0 if
 * there are none now.  A character is not cut, so one that is incomplete is
 * held back until there is more output or the job has ended.  agent_job_rest()
 * gives what peek() holds back, for who waits no longer.
 */
size_t agent_job_peek(const agent_job_t *job, uint64_t offset, size_t max,
                      const char **data, agent_stream_t *stream);
size_t agent_job_rest(const agent_job_t *job, uint64_t offset,
                      const char **data, agent_stream_t *stream);
void agent_job_take(agent_tap_t *tap, size_t n);

/* 1 if the job has ended, and the tap has taken all of its output. */
int agent_job_over(const agent_tap_t *tap);

/* As for a process (process.h); a job that has ended takes no input. */
int agent_job_write(agent_job_t *job, agent_input_t *in);
void agent_job_cancel(agent_job_t *job, agent_input_t *in);
int agent_job_signal(agent_job_t *job, int signal);
void
agent_job_resize(agent_job_t *job, unsigned short cols, unsigned short rows);

#endif
