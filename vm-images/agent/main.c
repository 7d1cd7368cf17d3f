/*
 * The agent: first process of every guest.  Boots the machine, then serves
 * two faces in one loop: the bootstrap protocol on the virtio-serial port,
 * and, once configured, HTTP on the guest's address.
 */

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "boot.h"
#include "bootstrap.h"
#include "configure.h"
#include "console.h"
#include "exec.h"
#include "exec_channel.h"
#include "file_routes.h"
#include "flush.h"
#include "freeze.h"
#include "http.h"
#include "launch.h"
#include "loop.h"
#include "port.h"
#include "processes.h"
#include "reap.h"
#include "sandbox_agent.h"
#include "steps.h"
#include "upload_routes.h"
#include "watch.h"
#include "worker.h"
#include "ws.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A flush that runs, and the operation that its end answers. */
typedef struct {
    agent_bootstrap_t *bootstrap;
    const char *op;
    char nonce[AGENT_NONCE_SIZE];
} main_flush_t;

/* The value of agent_route_t.query for routes that read it. */
#define QUERY 1

/* A route whose begin() starts a worker, or answers at once. */
#define MAIN_WORKER(name, method, query, begin)                                \
    {                                                                          \
        name, method, query, NULL, agent_worker_abort, begin,                  \
            agent_worker_piece, agent_worker_finish                            \
    }

static const agent_route_t main_routes[] = {
    { "exec", "POST", 0, agent_exec_handler, agent_exec_abort },
    { "files", "GET", QUERY, .begin = agent_file_get },
    { "files", "HEAD", QUERY, .begin = agent_file_get },
    MAIN_WORKER("files", "PUT", QUERY, agent_file_put),
    MAIN_WORKER("files", "DELETE", QUERY, agent_file_delete),
    { "files/stat", "GET", QUERY, .begin = agent_file_stat },
    { "files/stat", "HEAD", QUERY, .begin = agent_file_stat },
    MAIN_WORKER("files/list", "GET", QUERY, agent_file_list),
    MAIN_WORKER("files/list", "HEAD", QUERY, agent_file_list),
    MAIN_WORKER("files/archive", "GET", QUERY, agent_archive_get),
    MAIN_WORKER("files/archive", "HEAD", QUERY, agent_archive_get),
    MAIN_WORKER("files/archive", "PUT", QUERY, agent_archive_put),
    { "files/mkdir", "POST", 0, agent_file_mkdir },
    { "files/move", "POST", 0, agent_file_move, agent_worker_abort },
    { "uploads", "POST", 0, agent_upload_create, agent_worker_abort },
    MAIN_WORKER("uploads/*", "GET", 0, agent_upload_get),
    MAIN_WORKER("uploads/*", "HEAD", 0, agent_upload_get),
    MAIN_WORKER("uploads/*", "DELETE", 0, agent_upload_delete),
    MAIN_WORKER("uploads/*/parts/*", "PUT", 0, agent_upload_part),
    { "uploads/*/complete", "POST", 0, agent_upload_complete,
      agent_worker_abort },
    { "processes", "GET", 0, agent_processes_list },
    { "processes/*/logs", "GET", QUERY, agent_processes_logs },
    { "processes/*/kill", "POST", 0, agent_processes_kill },
    { "processes/*/stdin", "POST", 0, agent_processes_stdin,
      agent_processes_stdin_abort },
    { "ws", "GET", QUERY, agent_ws_handler },
};

static const agent_ws_channel_t *const main_channels[] = {
    &agent_exec_channel,
    &agent_pty_channel,
    &agent_watch_channel,
};


static int
main_step_exec(const agent_config_t *c, char *error, size_t size)
{
    if (agent_launch_defaults(&c->envs, c->cwd) == -1) {
        snprintf(error, size, "The environment does not fit into memory.");
        return -1;
    }

    return 0;
}


static int
main_step_http(const agent_config_t *c, char *error, size_t size)
{
    agent_http_conf_t conf;

    conf.address = c->address;
    conf.port = SANDBOX_AGENT_PORT;
    conf.peer = c->gateway;
    conf.token = c->token;
    conf.routes = main_routes;
    conf.nroutes = COUNT(main_routes);

    if (agent_http_start(&conf) == -1) {
        snprintf(error, size, "The agent's server could not be started: %s.",
                 strerror(errno));
        return -1;
    }

    return 0;
}


/*
 * The last step: commands of an earlier execution go on, and see only the new
 * configuration.
 */
static int
main_step_thaw(const agent_config_t *c, char *error, size_t size)
{
    (void) c;

    return agent_thaw(error, size);
}


/*
 * The order is part of the protocol: randomness before all else, and commands
 * of an earlier execution go on when nothing can fail any more.
 */
static const agent_step_t main_steps[] = {
    { agent_step_entropy },  { agent_step_clock },   { agent_step_hostname },
    { agent_step_identity }, { agent_step_network }, { agent_step_disk },
    { agent_step_cwd },      { main_step_exec },     { main_step_http },
    { main_step_thaw },
};

/* 1 if the last configuration failed: commands are not thawed then. */
static int main_failed;

static int main_lived; /* 1 if a configuration has succeeded */


static int
main_configure(void *data, const sandbox_json_t *doc,
               char error[AGENT_ERROR_SIZE])
{
    int rc;
    agent_config_t config;

    (void) data;

    if (agent_config_parse(&config, doc, error, AGENT_ERROR_SIZE) == -1) {
        return -1;
    }

    config.lived = main_lived;
    main_failed = 1;
    rc = agent_freeze_hold(error, AGENT_ERROR_SIZE);

    /* Connections of an earlier execution have no business in this one. */
    agent_http_retire();
    agent_ws_stop();

    if (rc == 0) {
        rc = agent_config_apply(&config, main_steps, COUNT(main_steps), error,
                                AGENT_ERROR_SIZE);
    }

    if (rc == 0) {
        main_failed = 0;
        main_lived = 1;
    } else {
        agent_ws_stop();
        agent_http_stop();
        agent_log("not configured: %s", error);
    }

    agent_config_free(&config);

    return rc;
}


static int
main_thaw(void *data, char error[AGENT_ERROR_SIZE])
{
    (void) data;

    if (main_failed) {
        snprintf(error, AGENT_ERROR_SIZE, "The last configuration failed.");
        return -1;
    }

    return agent_thaw(error, AGENT_ERROR_SIZE);
}


static void
main_flush_failed(int err, char error[AGENT_ERROR_SIZE])
{
    snprintf(error, AGENT_ERROR_SIZE,
             "The file systems could not be written: %s.", strerror(err));
}


/*
 * If the flush of a freeze fails, the commands stay frozen: the guest may have
 * been started from a checkpoint meanwhile, which only the host knows.
 */
static void
main_flushed(void *data, int err)
{
    char error[AGENT_ERROR_SIZE];
    main_flush_t *f = data;

    main_flush_failed(err, error);
    agent_bootstrap_later(f->bootstrap, f->op, f->nonce, err ? error : NULL);
    free(f);
}


static int
main_write(agent_bootstrap_t *b, const char *op, const char *nonce,
           char error[AGENT_ERROR_SIZE])
{
    main_flush_t *f;

    f = malloc(sizeof(*f));
    if (f != NULL) {
        f->bootstrap = b;
        f->op = op;
        snprintf(f->nonce, sizeof(f->nonce), "%s", nonce);

        if (agent_flush(main_flushed, f) == 0) {
            return AGENT_LATER;
        }
    }

    main_flush_failed(errno, error);
    free(f);

    return -1;
}


static int
main_flush(void *data, const char *nonce, char error[AGENT_ERROR_SIZE])
{
    return main_write(data, "flush", nonce, error);
}


static int
main_freeze(void *data, const char *nonce, int sync,
            char error[AGENT_ERROR_SIZE])
{
    int rc;
    char more[AGENT_ERROR_SIZE];

    rc = agent_freeze(error, AGENT_ERROR_SIZE);

    if (rc == 0 && sync) {
        rc = main_write(data, "freeze", nonce, error);
    }

    if (rc == -1) {
        main_thaw(NULL, more);
    }

    return rc;
}


static void
main_answer(void *data, const char *line, size_t len)
{
    (void) data;
    agent_port_write(line, len);
}


static void
main_input(void *data, const char *buf, size_t len)
{
    agent_bootstrap_feed(data, buf, len);
}


int
main(void)
{
    static agent_bootstrap_t bootstrap;

    if (getpid() != 1) {
        agent_log("this program is the first process of a sandbox's machine");
        return 1;
    }

    /*
     * The memory of a large answer is given back at once: the guest is small.
     */
    mallopt(M_MMAP_THRESHOLD, 131072);
    mallopt(M_TRIM_THRESHOLD, 131072);

    reboot(RB_DISABLE_CAD); /* Ctrl-Alt-Del sends SIGINT */
    agent_boot();
    agent_freeze_init();
    agent_network_init();
    agent_steps_warm();
    agent_ws_channels(main_channels, COUNT(main_channels));

    bootstrap.configure = main_configure;
    bootstrap.freeze = main_freeze;
    bootstrap.thaw = main_thaw;
    bootstrap.flush = main_flush;
    bootstrap.data = &bootstrap;
    bootstrap.answer = main_answer;

    if (agent_loop_init() == -1 || agent_reap_init() == -1
        || agent_bootstrap_init(&bootstrap) == -1)
    {
        agent_die("the agent could not be set up: %s", strerror(errno));
    }

    if (agent_port_open(main_input, &bootstrap) == -1) {
        agent_die("the machine cannot be reached by its host");
    }

    agent_log("ready");

    if (agent_loop_run() == -1) {
        agent_die("the event loop failed: %s", strerror(errno));
    }

    agent_die("the event loop ended");
}
