/* Why a sandbox could not be taken; see the header. */

#include "ngx_http_sandbox_take_error.h"

#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_object.h"
#include "ngx_http_sandbox_state.h"


/* A transition_conflict of a running sandbox: no checkpoint can be taken. */
static void
ngx_http_sandbox_take_conflict(ngx_http_sandbox_op_t *op, const char *message)
{
    op->error = &ngx_http_sandbox_transition_conflict;
    op->message = message;
    ngx_cpystrn(
        (u_char *) op->state,
        (u_char *) ngx_http_sandbox_state_name(NGX_HTTP_SANDBOX_RUNNING),
        sizeof(op->state));
}


void
ngx_http_sandbox_take_error(ngx_http_sandbox_op_t *op,
                            const sandbox_take_t *take,
                            const ngx_http_sandbox_take_words_t *words)
{
    switch (take->result.status) {
    case SANDBOX_HV_UNAVAILABLE:
        op->error = &ngx_http_sandbox_hypervisor_unavailable;
        op->message = "The hypervisor does not answer.";
        return;

    case SANDBOX_HV_NO_CAPACITY:
        op->error = &ngx_http_sandbox_capacity_exceeded;
        op->message = words->no_room;
        return;

    case SANDBOX_HV_NO_CHECKPOINT:
        ngx_http_sandbox_take_conflict(op, words->old);
        return;

    case SANDBOX_HV_GUEST:
        if (take->refused) {
            ngx_http_sandbox_take_conflict(op, words->refused);
            return;
        }

        if (take->keep) {
            break;
        }

        /* the guest did not prepare itself for the end of its machine */
        /* fall through */

    case SANDBOX_HV_TIMEOUT:
        op->error = take->lost ? &ngx_http_sandbox_transition_in_progress
                               : &ngx_http_sandbox_timeout;
        op->message = take->lost ? words->lost : words->late;
        return;

    default:
        break;
    }

    op->error = &ngx_http_sandbox_hypervisor_unavailable;
    op->message = words->failed;
}
