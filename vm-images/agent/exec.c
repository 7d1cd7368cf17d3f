/*
 * The exec route: owns what a command inherits, its kept output, and the
 * shape of the answer.  Must not know how connections or processes work.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "capture.h"
#include "exec.h"
#include "exec_request.h"
#include "process.h"
#include "sandbox_text.h"

#define DEFAULT_PATH                                                           \
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

typedef struct {
    agent_request_t *request;
    agent_process_t *process;
    agent_capture_t output[2];
    int64_t timeout_secs;
} exec_t;

static agent_env_t exec_envs;
static char exec_cwd[SANDBOX_PATH_MAX] = "/";


int
agent_exec_defaults(const agent_env_t *envs, const char *cwd)
{
    agent_env_t copy;

    memset(&copy, 0, sizeof(copy));

    if (agent_env_merge(&copy, envs) == -1) {
        agent_env_free(&copy);
        return -1;
    }

    agent_env_free(&exec_envs);
    exec_envs = copy;
    snprintf(exec_cwd, sizeof(exec_cwd), "%s", cwd);

    return 0;
}


static void
exec_free(exec_t *e)
{
    agent_capture_free(&e->output[AGENT_STDOUT]);
    agent_capture_free(&e->output[AGENT_STDERR]);
    free(e);
}


static void
exec_output(void *data, agent_stream_t stream, const char *buf, size_t len)
{
    exec_t *e = data;

    agent_capture_add(&e->output[stream], buf, len);
}


/* One stream's member; its raw bytes are freed before the next is written. */
static void
exec_stream(sandbox_text_t *t, const char *name, agent_capture_t *c)
{
    int truncated;

    truncated = c->truncated;

    sandbox_text_fmt(t, ",\"%s\":", name);
    sandbox_text_json_string(t, c->len ? c->data : "", c->len);
    agent_capture_free(c);

    if (truncated) {
        sandbox_text_fmt(t, ",\"%s_truncated\":true", name);
    }
}


static void
exec_answer(exec_t *e, int code, int64_t pid)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    sandbox_text_fmt(&t, "{\"exit_code\":%d", code);
    exec_stream(&t, "stdout", &e->output[AGENT_STDOUT]);
    exec_stream(&t, "stderr", &e->output[AGENT_STDERR]);
    sandbox_text_fmt(&t, ",\"pid\":%lld}", (long long) pid);

    /* The exit code is not lost for want of memory for the output. */
    if (sandbox_text_failed(&t)) {
        sandbox_text_free(&t);
        sandbox_text_fmt(&t,
                         "{\"exit_code\":%d,\"stdout\":\"\",\"stderr\":\"\","
                         "\"stdout_truncated\":true,\"stderr_truncated\":true,"
                         "\"pid\":%lld}",
                         code, (long long) pid);
    }

    agent_http_answer(e->request, 200, &t);
}


static void
exec_done(void *data, int code, int timed_out)
{
    char message[128];
    exec_t *e = data;

    if (timed_out) {
        snprintf(message, sizeof(message),
                 "The command ran longer than %lld s and was killed.",
                 (long long) e->timeout_secs);
        agent_http_error(e->request, 504, "exec_timeout", message, NULL, NULL);
    } else {
        exec_answer(e, code, agent_process_pid(e->process));
    }

    exec_free(e);
}


static void
exec_invalid(agent_request_t *r, unsigned status, const char *code,
             const char *field, const char *reason)
{
    char message[512];

    snprintf(message, sizeof(message), "The member \"%s\" %s.", field, reason);
    agent_http_error(r, status, code, message, field, reason);
}


/* Answers for a body that cannot be carried out. */
static void
exec_refuse(agent_request_t *r, agent_exec_status_t status,
            const agent_exec_error_t *err)
{
    char message[512];

    switch (status) {
    case AGENT_EXEC_INVALID_JSON:
        snprintf(message, sizeof(message), "The body is not valid JSON: %s.",
                 err->reason);
        agent_http_error(r, 400, "invalid_json", message, NULL, NULL);
        return;

    case AGENT_EXEC_NOT_IMPLEMENTED:
        exec_invalid(r, 501, "not_implemented", err->field, err->reason);
        return;

    case AGENT_EXEC_INVALID:
        exec_invalid(r, 400, "invalid_request", err->field, err->reason);
        return;

    default:
        agent_http_error(r, 503, "capacity_exceeded",
                         "The sandbox is out of memory.", NULL, NULL);
    }
}


/* Own basics first, then the sandbox's, then the request's. */
static int
exec_environment(agent_env_t *env, const agent_user_t *user,
                 const agent_exec_request_t *req)
{
    if (agent_env_set(env, "PATH", DEFAULT_PATH) == -1
        || agent_env_set(env, "HOME", user->home) == -1
        || agent_env_set(env, "USER", user->name) == -1
        || agent_env_set(env, "LOGNAME", user->name) == -1
        || agent_env_set(env, "LANG", "C.UTF-8") == -1
        || agent_env_merge(env, &exec_envs) == -1)
    {
        return -1;
    }

    return agent_env_merge(env, &req->envs);
}


/* 0, or -1 after an answer. */
static int
exec_place(agent_request_t *r, const agent_exec_request_t *req,
           agent_user_t *user, const char **cwd)
{
    struct stat st;
    const char *name;

    name = req->user ? req->user : "root";
    if (agent_user_find(user, name) == -1) {
        exec_invalid(r, 400, "invalid_request", "user",
                     "is not a user of the sandbox");
        return -1;
    }

    *cwd = req->cwd[0] ? req->cwd : exec_cwd;
    if (stat(*cwd, &st) == 0 && S_ISDIR(st.st_mode)) {
        return 0;
    }

    /* A default that was removed since must not make exec impossible. */
    if (req->cwd[0] == '\0') {
        *cwd = "/";
        return 0;
    }

    exec_invalid(r, 400, "invalid_request", "cwd",
                 "is not a directory of the sandbox");
    return -1;
}


/* Starts the process; NULL with errno set. */
static agent_process_t *
exec_start(exec_t *e, const agent_exec_request_t *req, const agent_user_t *user,
           const char *cwd)
{
    int err;
    agent_env_t env;
    agent_process_t *process;
    agent_process_spec_t spec;
    agent_process_owner_t owner;

    memset(&env, 0, sizeof(env));

    process = NULL;
    errno = ENOMEM;

    if (exec_environment(&env, user, req) == 0) {
        spec.argv = req->argv;
        spec.envp = env.list;
        spec.cwd = cwd;
        spec.user = user;
        spec.timeout_ms = req->timeout_secs * 1000;
        spec.timeout_signal = req->signal;

        owner.output = exec_output;
        owner.done = exec_done;
        owner.data = e;

        process = agent_process_start(&spec, &owner);
    }

    err = errno;
    agent_env_free(&env);
    errno = err;

    return process;
}


static void
exec_run(agent_request_t *r, const agent_exec_request_t *req)
{
    char message[160];
    exec_t *e;
    const char *cwd;
    agent_user_t user;

    if (exec_place(r, req, &user, &cwd) == -1) {
        return;
    }

    e = calloc(1, sizeof(*e));
    if (e != NULL) {
        e->request = r;
        e->timeout_secs = req->timeout_secs;
        e->process = exec_start(e, req, &user, cwd);
    }

    if (e == NULL || e->process == NULL) {
        snprintf(message, sizeof(message),
                 "The sandbox cannot start another process: %s.",
                 strerror(errno));
        agent_http_error(r, 503, "capacity_exceeded", message, NULL, NULL);
        free(e);
        return;
    }

    agent_http_set_ctx(r, e);
}


void
agent_exec_handler(agent_request_t *r, const char *body, size_t len)
{
    agent_exec_error_t err;
    agent_exec_status_t status;
    agent_exec_request_t req;

    status = agent_exec_parse(&req, body, len, &err);
    if (status != AGENT_EXEC_OK) {
        exec_refuse(r, status, &err);
        return;
    }

    exec_run(r, &req);
    agent_exec_free(&req);
}


void
agent_exec_abort(void *ctx)
{
    exec_t *e = ctx;

    agent_process_abandon(e->process);
    exec_free(e);
}
