/* What a command inherits.  Must not know where the request came from. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "launch.h"

#define DEFAULT_PATH                                                           \
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define DEFAULT_TERM "xterm-256color"

static agent_env_t launch_envs;
static char launch_cwd[SANDBOX_PATH_MAX] = "/";


int
agent_launch_defaults(const agent_env_t *envs, const char *cwd)
{
    agent_env_t copy;

    memset(&copy, 0, sizeof(copy));

    if (agent_env_merge(&copy, envs) == -1) {
        agent_env_free(&copy);
        return -1;
    }

    agent_env_free(&launch_envs);
    launch_envs = copy;
    snprintf(launch_cwd, sizeof(launch_cwd), "%s", cwd);

    return 0;
}


/* The agent's own variables first, then the sandbox's, then the request's. */
static int
launch_environment(agent_env_t *env, const agent_user_t *user,
                   const agent_exec_request_t *req, int terminal)
{
    if (agent_env_set(env, "PATH", DEFAULT_PATH) == -1
        || agent_env_set(env, "HOME", user->home) == -1
        || agent_env_set(env, "USER", user->name) == -1
        || agent_env_set(env, "LOGNAME", user->name) == -1
        || agent_env_set(env, "LANG", "C.UTF-8") == -1
        || (terminal && agent_env_set(env, "TERM", DEFAULT_TERM) == -1)
        || (terminal && agent_env_set(env, "SHELL", user->shell) == -1)
        || agent_env_merge(env, &launch_envs) == -1)
    {
        return -1;
    }

    return agent_env_merge(env, &req->envs);
}


static int
launch_refuse(agent_launch_error_t *err, const char *field, const char *reason)
{
    err->field = field;
    err->taken = 0;
    snprintf(err->reason, sizeof(err->reason), "%s", reason);

    return -1;
}


static int
launch_place(const agent_exec_request_t *req, agent_user_t *user,
             const char **cwd, agent_launch_error_t *err)
{
    struct stat st;
    agent_job_t *job;

    if (agent_user_find(user, req->user[0] ? req->user : "root") == -1) {
        return launch_refuse(err, "user", "is not a user of the sandbox");
    }

    job = req->session_id[0] ? agent_job_find_session(req->session_id) : NULL;
    if (job != NULL && job->running) {
        launch_refuse(err, "session_id", "is the name of a running one");
        err->taken = 1;
        return -1;
    }

    *cwd = req->cwd[0] ? req->cwd : launch_cwd;
    if (stat(*cwd, &st) == 0 && S_ISDIR(st.st_mode)) {
        return 0;
    }

    if (req->cwd[0] != '\0') {
        return launch_refuse(err, "cwd", "is not a directory of the sandbox");
    }

    /* Commands must still start if the default was removed since. */
    *cwd = "/";

    return 0;
}


agent_job_t *
agent_launch(const agent_exec_request_t *req, agent_exec_form_t form,
             const agent_process_owner_t *owner, agent_launch_error_t *err)
{
    char *shell[2];
    agent_env_t env;
    agent_job_t *job;
    agent_user_t user;
    agent_job_conf_t conf;
    agent_process_spec_t spec;

    memset(&spec, 0, sizeof(spec));
    memset(&env, 0, sizeof(env));

    if (launch_place(req, &user, &spec.cwd, err) == -1) {
        return NULL;
    }

    shell[0] = user.shell;
    shell[1] = NULL;

    spec.argv = req->argc ? req->argv : shell;
    spec.user = &user;
    spec.timeout_ms = req->timeout_secs * 1000;
    spec.timeout_signal = req->signal;
    spec.input = req->input != NULL || req->background || req->pipe;
    spec.terminal = form == AGENT_EXEC_PTY;
    spec.cols = (unsigned short) req->cols;
    spec.rows = (unsigned short) req->rows;

    conf.command = req->argc ? req->argv[req->command] : user.shell;
    conf.session_id = req->session_id[0] ? req->session_id : NULL;
    conf.background = req->background;
    conf.owner = owner;

    job = NULL;
    errno = ENOMEM;

    if (launch_environment(&env, &user, req, spec.terminal) == 0) {
        spec.envp = env.list;
        job = agent_job_start(&spec, &conf);
    }

    if (job == NULL) {
        launch_refuse(err, NULL, strerror(errno));
    }

    agent_env_free(&env);

    return job;
}
