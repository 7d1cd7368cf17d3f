/* The timeout schema; see the header. */

#include "sandbox_timeout.h"

#include <string.h>

#include "sandbox_body.h"


enum { M_TIMEOUT, M_ACTION };

static const char *const timeout_actions[] = { "destroy", "hibernate", NULL };

static const sandbox_schema_member_t timeout_members[] = {
    { .name = "timeout_ms",
      .slot = M_TIMEOUT,
      .type = SANDBOX_SCHEMA_INTEGER,
      .min = 1,
      .limit = SANDBOX_SCHEMA_LIMIT(sandbox_create_limits_t, max_timeout_ms),
      .required = 1 },
    { .name = "timeout_action",
      .slot = M_ACTION,
      .type = SANDBOX_SCHEMA_WORD,
      .words = timeout_actions },
    { .name = NULL },
};


static sandbox_body_status_t
timeout_check(sandbox_timeout_t *timeout, sandbox_schema_t *s)
{
    sandbox_schema_status_t rc;

    rc = sandbox_schema_walk(s, timeout_members, &s->doc.nodes[0]);

    if (rc != SANDBOX_SCHEMA_OK) {
        return sandbox_body_status(rc, SANDBOX_BODY_INVALID);
    }

    timeout->timeout_ms = s->number[M_TIMEOUT];

    if (s->node[M_ACTION]) {
        timeout->action = sandbox_schema_is(s, M_ACTION, "hibernate")
                              ? timeout_actions[1]
                              : timeout_actions[0];
    }

    return SANDBOX_BODY_OK;
}


sandbox_body_status_t
sandbox_timeout_parse(sandbox_timeout_t *timeout, const char *body, size_t len,
                      const sandbox_create_limits_t *lim,
                      sandbox_body_error_t *err)
{
    sandbox_schema_t s;
    sandbox_body_status_t rc;

    memset(timeout, 0, sizeof(*timeout));

    rc = sandbox_body_open(&s, body, len, lim, NULL);

    if (rc == SANDBOX_BODY_OK) {
        rc = timeout_check(timeout, &s);
    }

    return sandbox_body_close(&s, rc, err);
}
