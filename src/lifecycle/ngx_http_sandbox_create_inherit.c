/* What a new sandbox inherits from its source's record; see the header. */

#include "ngx_http_sandbox_create_source.h"

#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_reply.h"


/*
 * Copies a string of the reply to the heap; NULL if the record does not have
 * it.  The record may be read more than once: an earlier copy is freed, as the
 * field may be gone.
 */
static ngx_int_t
ngx_http_sandbox_source_copy(char **copy, redisReply *reply, size_t i)
{
    free(*copy);
    *copy = NULL;

    if (reply->element[i]->type != REDIS_REPLY_STRING) {
        return NGX_OK;
    }

    *copy = strdup(reply->element[i]->str);

    return *copy ? NGX_OK : NGX_ERROR;
}


/* 1 unless the record says 0: records of earlier versions lack the field. */
static int
ngx_http_sandbox_source_internet(redisReply *reply)
{
    return ngx_strcmp(ngx_http_sandbox_reply_string(reply, SOURCE_INTERNET),
                      "0")
           != 0;
}


ngx_int_t
ngx_http_sandbox_source_machine(ngx_http_sandbox_create_op_t *c,
                                redisReply *reply)
{
    sandbox_template_t *const *t;

    c->spec.vcpus = ngx_http_sandbox_reply_integer(reply, SOURCE_VCPUS);
    c->spec.memory_mb = ngx_http_sandbox_reply_integer(reply, SOURCE_MEMORY);
    c->spec.disk_mb = ngx_http_sandbox_reply_integer(reply, SOURCE_DISK);

    c->spec.internet = ngx_http_sandbox_source_internet(reply);
    ngx_cpystrn(
        (u_char *) c->resume.generation,
        (u_char *) ngx_http_sandbox_reply_string(reply, SOURCE_GENERATION),
        sizeof(c->resume.generation));

    if (ngx_http_sandbox_source_copy(&c->template_name, reply, SOURCE_TEMPLATE)
            != NGX_OK
        || ngx_http_sandbox_source_copy(&c->spec.allow_out, reply,
                                        SOURCE_ALLOW_OUT)
               != NGX_OK
        || ngx_http_sandbox_source_copy(&c->spec.deny_out, reply,
                                        SOURCE_DENY_OUT)
               != NGX_OK
        || ngx_http_sandbox_source_copy(&c->spec.envs, reply, SOURCE_ENVS)
               != NGX_OK
        || c->template_name == NULL)
    {
        return NGX_ERROR;
    }

    /* the template may not be configured any more */
    for (t = ngx_http_sandbox_worker.conf->templates;
         *t && ngx_strcmp((*t)->name, c->template_name) != 0; t++)
    { /* void */
    }

    c->spec.template = *t;

    if (c->spec.cwd == NULL
        && ngx_http_sandbox_source_copy(&c->spec.cwd, reply, SOURCE_CWD)
               != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_sandbox_source_rest(ngx_http_sandbox_create_op_t *c, redisReply *reply)
{
    c->spec.timeout_ms = ngx_http_sandbox_reply_integer(reply, SOURCE_TIMEOUT);
    c->spec.hibernate =
        ngx_strcmp(ngx_http_sandbox_reply_string(reply, SOURCE_ACTION),
                   NGX_HTTP_SANDBOX_ACTION_HIBERNATE)
        == 0;
    c->spec.auto_resume =
        ngx_http_sandbox_reply_integer(reply, SOURCE_AUTO_RESUME) != 0;
    c->spec.public_traffic =
        ngx_http_sandbox_reply_integer(reply, SOURCE_PUBLIC) != 0;

    if (c->spec.metadata == NULL
        && ngx_http_sandbox_source_copy(&c->spec.metadata, reply,
                                        SOURCE_METADATA)
               != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_sandbox_source_copy(&c->spec.mask_host, reply, SOURCE_MASK)
                       == NGX_OK
                   && c->spec.metadata
               ? NGX_OK
               : NGX_ERROR;
}


const char *
ngx_http_sandbox_source_contradiction(const ngx_http_sandbox_create_op_t *c,
                                      redisReply *reply)
{
    const char *envs;

    if (c->spec.template
        && ngx_strcmp(c->spec.template->name,
                      ngx_http_sandbox_reply_string(reply, SOURCE_TEMPLATE))
               != 0)
    {
        return "template";
    }

    if (c->spec.vcpus
        && c->spec.vcpus != ngx_http_sandbox_reply_integer(reply, SOURCE_VCPUS))
    {
        return "vcpus";
    }

    if (c->spec.memory_mb
        && c->spec.memory_mb
               != ngx_http_sandbox_reply_integer(reply, SOURCE_MEMORY))
    {
        return "memory_mb";
    }

    if (c->spec.internet != -1
        && c->spec.internet != ngx_http_sandbox_source_internet(reply))
    {
        return "internet_access";
    }

    if (c->spec.allow_out
        && ngx_strcmp(c->spec.allow_out,
                      ngx_http_sandbox_reply_string(reply, SOURCE_ALLOW_OUT))
               != 0)
    {
        return "network.allow_out";
    }

    if (c->spec.deny_out
        && ngx_strcmp(c->spec.deny_out,
                      ngx_http_sandbox_reply_string(reply, SOURCE_DENY_OUT))
               != 0)
    {
        return "network.deny_out";
    }

    envs = ngx_http_sandbox_reply_string(reply, SOURCE_ENVS);

    if (c->spec.envs && !sandbox_json_equal(c->spec.envs, *envs ? envs : "{}"))
    {
        return "envs";
    }

    return NULL;
}
