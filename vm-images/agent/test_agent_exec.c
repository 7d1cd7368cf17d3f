/* What an exec request may say, environments, and kept output. */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "capture.h"
#include "control.h"
#include "exec_request.h"
#include "memory.h"
#include "sandbox_text.h"


static agent_body_status_t
parse(agent_exec_request_t *req, const char *text, agent_body_error_t *err)
{
    memset(err, 0, sizeof(*err));

    return agent_exec_parse(req, text, strlen(text), err);
}


static void
test_minimal(void **state)
{
    agent_body_error_t err;
    agent_exec_request_t req;

    (void) state;

    assert_int_equal(parse(&req, "{\"command\":\"ls\"}", &err), AGENT_BODY_OK);
    assert_int_equal(req.argc, 1);
    assert_string_equal(req.argv[0], "ls");
    assert_null(req.argv[1]);
    assert_int_equal(req.timeout_secs, 30);
    assert_int_equal(req.signal, SIGKILL);
    assert_string_equal(req.cwd, "");
    assert_string_equal(req.user, "");
    agent_exec_free(&req);
}


static void
test_full(void **state)
{
    agent_body_error_t err;
    agent_exec_request_t req;

    (void) state;

    assert_int_equal(parse(&req,
                           "{\"command\":\"a b\",\"args\":[\"\",\"\\u00e9\"],"
                           "\"timeout_secs\":1e1,\"cwd\":\"/a//b/../c\","
                           "\"envs\":{\"X\":\"\",\"_y9\":\"=\"},"
                           "\"shell\":false,\"background\":false,"
                           "\"user\":\"nobody\",\"signal\":\"SIGTERM\"}",
                           &err),
                     AGENT_BODY_OK);
    assert_int_equal(req.argc, 3);
    assert_string_equal(req.argv[0], "a b");
    assert_string_equal(req.argv[1], "");
    assert_string_equal(req.argv[2], "\xc3\xa9");
    assert_null(req.argv[3]);
    assert_int_equal(req.timeout_secs, 10);
    assert_string_equal(req.cwd, "/a/c");
    assert_string_equal(req.envs.list[0], "X=");
    assert_string_equal(req.envs.list[1], "_y9==");
    assert_string_equal(req.user, "nobody");
    assert_int_equal(req.signal, SIGTERM);
    agent_exec_free(&req);
}


static void
test_shell(void **state)
{
    agent_body_error_t err;
    agent_exec_request_t req;

    (void) state;

    assert_int_equal(parse(&req,
                           "{\"shell\":true,\"command\":\"ls | wc\",\"args\":"
                           "[],\"envs\":null,\"user\":null}",
                           &err),
                     AGENT_BODY_OK);
    assert_int_equal(req.argc, 3);
    assert_string_equal(req.argv[0], "/bin/sh");
    assert_string_equal(req.argv[1], "-c");
    assert_string_equal(req.argv[2], "ls | wc");
    agent_exec_free(&req);
}


static void
test_signals(void **state)
{
    agent_body_error_t err;
    agent_exec_request_t req;

    (void) state;

    assert_int_equal(
        parse(&req, "{\"command\":\"x\",\"signal\":\"INT\"}", &err),
        AGENT_BODY_OK);
    assert_int_equal(req.signal, SIGINT);
    agent_exec_free(&req);

    assert_int_equal(parse(&req, "{\"command\":\"x\",\"signal\":15}", &err),
                     AGENT_BODY_OK);
    assert_int_equal(req.signal, SIGTERM);
    agent_exec_free(&req);
}


static void
test_refused(void **state)
{
    size_t i;
    agent_body_error_t err;
    agent_exec_request_t req;
    static const char *const bad[][2] = {
        { "{}", "command" },
        { "{\"command\":null}", "command" },
        { "{\"command\":\"\"}", "command" },
        { "{\"command\":7}", "command" },
        { "{\"command\":[\"ls\"]}", "command" },
        { "{\"command\":\"x\",\"args\":\"y\"}", "args" },
        { "{\"command\":\"x\",\"args\":[\"y\",7]}", "args[1]" },
        { "{\"command\":\"x\",\"args\":[\"y\"],\"shell\":true}", "args" },
        { "{\"command\":\"x\",\"timeout_secs\":0}", "timeout_secs" },
        { "{\"command\":\"x\",\"timeout_secs\":-1}", "timeout_secs" },
        { "{\"command\":\"x\",\"timeout_secs\":1.5}", "timeout_secs" },
        { "{\"command\":\"x\",\"timeout_secs\":86401}", "timeout_secs" },
        { "{\"command\":\"x\",\"timeout_secs\":1e99}", "timeout_secs" },
        { "{\"command\":\"x\",\"timeout_secs\":\"30\"}", "timeout_secs" },
        { "{\"command\":\"x\",\"cwd\":\"a\"}", "cwd" },
        { "{\"command\":\"x\",\"cwd\":\"/../a\"}", "cwd" },
        { "{\"command\":\"x\",\"cwd\":7}", "cwd" },
        { "{\"command\":\"x\",\"envs\":[]}", "envs" },
        { "{\"command\":\"x\",\"envs\":{\"A-B\":\"\"}}", "envs.A-B" },
        { "{\"command\":\"x\",\"envs\":{\"\":\"\"}}", "envs.\"\"" },
        { "{\"command\":\"x\",\"envs\":{\"A\":null}}", "envs.A" },
        { "{\"command\":\"x\",\"shell\":1}", "shell" },
        { "{\"command\":\"x\",\"user\":\"\"}", "user" },
        { "{\"command\":\"x\",\"signal\":\"FOO\"}", "signal" },
        { "{\"command\":\"x\",\"signal\":0}", "signal" },
        { "{\"command\":\"x\",\"signal\":65}", "signal" },
        { "{\"command\":\"x\",\"signal\":true}", "signal" },
        { "{\"command\":\"x\",\"timeout\":5}", "timeout" },
        { "{\"command\":\"x\",\"stdin\":true}", "stdin" },
        { "{\"command\":\"x\",\"stdin_base64\":\"?\"}", "stdin_base64" },
        { "{\"command\":\"x\",\"stdin\":\"\",\"stdin_base64\":\"\"}",
          "stdin_base64" },
        { "{\"command\":\"x\",\"stdin_base64\":\"\",\"stdin\":\"\"}", "stdin" },
        { "{\"command\":\"x\",\"encoding\":\"hex\"}", "encoding" },
        { "{\"command\":\"x\",\"background\":1}", "background" },
        { "{\"command\":\"x\",\"cols\":80}", "cols" },
        { "{\"command\":\"x\",\"session_id\":\"a\"}", "session_id" },
        { "{\"command\":\"x\",\"stream_id\":\"a\"}", "stream_id" },
    };
    static const char *const broken[][2] = {
        { "", "body" },
        { "{", "body" },
        { "[]", "body" },
        { "{\"command\":\"x\"}}", "body" },
        { "{\"command\":\"x\\u0000\"}", "command" },
        { "{\"command\":\"\xff\"}", "command" },
        { "{\"command\":\"x\",\"command\":\"y\"}", "command" },
        { "{\"args\":[\"\",\"\\ud800\"]}", "args[1]" },
    };

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(&req, bad[i][0], &err), AGENT_BODY_INVALID);
        assert_string_equal(err.field, bad[i][1]);
        assert_string_not_equal(err.reason, "");
    }

    for (i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        assert_int_equal(parse(&req, broken[i][0], &err), AGENT_BODY_NOT_JSON);
        assert_string_equal(err.field, broken[i][1]);
    }

    /* An unknown member that says nothing is no harm. */
    assert_int_equal(parse(&req, "{\"command\":\"x\",\"pty\":null}", &err),
                     AGENT_BODY_OK);
    agent_exec_free(&req);
}


static void
test_background(void **state)
{
    agent_body_error_t err;
    agent_exec_request_t req;

    (void) state;

    assert_int_equal(parse(&req,
                           "{\"command\":\"x\",\"background\":true,"
                           "\"stdin_base64\":\"AP8=\",\"encoding\":\"base64\"}",
                           &err),
                     AGENT_BODY_OK);
    assert_int_equal(req.background, 1);
    assert_int_equal(req.timeout_secs, 0);
    assert_int_equal(req.base64, 1);
    assert_int_equal(req.input_len, 2);
    assert_memory_equal(req.input, "\0\377", 2);
    agent_exec_free(&req);

    assert_int_equal(parse(&req,
                           "{\"command\":\"x\",\"background\":true,"
                           "\"timeout_secs\":7,\"stdin\":\"\"}",
                           &err),
                     AGENT_BODY_OK);
    assert_int_equal(req.timeout_secs, 7);
    assert_non_null(req.input);
    assert_int_equal(req.input_len, 0);
    agent_exec_free(&req);
}


static agent_body_status_t
message(agent_exec_request_t *req, agent_exec_form_t form, const char *text,
        agent_body_error_t *err)
{
    sandbox_json_t doc;
    agent_body_status_t status;

    assert_int_equal(agent_body_json(&doc, text, strlen(text), err), 0);
    status = agent_exec_read(req, form, &doc, err);
    sandbox_json_free(&doc);

    return status;
}


static void
test_messages(void **state)
{
    size_t i;
    agent_body_error_t err;
    agent_exec_request_t req;
    static const char *const bad[][2] = {
        { "{\"type\":\"pty_start\",\"args\":[\"a\"]}", "args" },
        { "{\"cols\":0}", "cols" },
        { "{\"rows\":10001}", "rows" },
        { "{\"rows\":\"24\"}", "rows" },
        { "{\"session_id\":\"\"}", "session_id" },
        { "{\"session_id\":\"a b\"}", "session_id" },
        { "{\"shell\":true}", "shell" },
        { "{\"background\":true}", "background" },
    };

    (void) state;

    assert_int_equal(message(&req, AGENT_EXEC_PTY,
                             "{\"type\":\"pty_start\",\"stream_id\":\"1\","
                             "\"session_id\":\"a-B_9\",\"cols\":100}",
                             &err),
                     AGENT_BODY_OK);
    assert_int_equal(req.argc, 0);
    assert_string_equal(req.session_id, "a-B_9");
    assert_int_equal(req.cols, 100);
    assert_int_equal(req.rows, 24);
    assert_int_equal(req.timeout_secs, 0);
    agent_exec_free(&req);

    assert_int_equal(message(&req, AGENT_EXEC_STREAM,
                             "{\"type\":\"exec_start\",\"stream_id\":\"1\","
                             "\"command\":\"cat -\",\"shell\":true,"
                             "\"stdin\":true}",
                             &err),
                     AGENT_BODY_OK);
    assert_int_equal(req.pipe, 1);
    assert_string_equal(req.argv[req.command], "cat -");
    assert_int_equal(req.timeout_secs, 0);
    agent_exec_free(&req);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(message(&req, AGENT_EXEC_PTY, bad[i][0], &err),
                         AGENT_BODY_INVALID);
        assert_string_equal(err.field, bad[i][1]);
    }
}


static agent_body_status_t
control(agent_control_t *c, agent_control_form_t form, const char *text,
        agent_body_error_t *err)
{
    return agent_control_parse(c, form, text, strlen(text), err);
}


static void
test_control(void **state)
{
    size_t i;
    agent_control_t c;
    agent_body_error_t err;
    static const struct {
        agent_control_form_t form;
        const char *text;
        const char *field;
    } bad[] = {
        { AGENT_CONTROL_STDIN, "{}", "data" },
        { AGENT_CONTROL_STDIN, "{\"eof\":false}", "data" },
        { AGENT_CONTROL_STDIN, "{\"data\":1}", "data" },
        { AGENT_CONTROL_STDIN, "{\"data\":\"\",\"data_base64\":\"\"}",
          "data_base64" },
        { AGENT_CONTROL_STDIN, "{\"data\":\"\",\"stream_id\":\"1\"}",
          "stream_id" },
        { AGENT_CONTROL_KILL, "{\"signal\":\"NONE\"}", "signal" },
        { AGENT_CONTROL_KILL, "{\"signal\":32}", "signal" },
        { AGENT_CONTROL_EXEC_SIGNAL, "{}", "signal" },
        { AGENT_CONTROL_EXEC_CONNECT, "{}", "pid" },
        { AGENT_CONTROL_EXEC_CONNECT, "{\"pid\":0}", "pid" },
        { AGENT_CONTROL_EXEC_CONNECT, "{\"pid\":1,\"offset\":-1}", "offset" },
        { AGENT_CONTROL_PTY_CONNECT, "{\"pid\":1}", "pid" },
        { AGENT_CONTROL_PTY_RESIZE, "{\"cols\":80}", "rows" },
        { AGENT_CONTROL_PTY_INPUT, "{\"data\":\"\",\"eof\":true}", "eof" },
        { AGENT_CONTROL_CLOSE, "{\"data\":\"\"}", "data" },
    };

    (void) state;

    assert_int_equal(control(&c, AGENT_CONTROL_STDIN,
                             "{\"data_base64\":\"AAE=\",\"eof\":true}", &err),
                     AGENT_BODY_OK);
    assert_int_equal(c.len, 2);
    assert_memory_equal(c.data, "\0\1", 2);
    assert_int_equal(c.eof, 1);
    agent_control_free(&c);

    assert_int_equal(control(&c, AGENT_CONTROL_KILL, "{}", &err),
                     AGENT_BODY_OK);
    assert_int_equal(c.signal, SIGTERM);

    assert_int_equal(control(&c, AGENT_CONTROL_EXEC_CONNECT,
                             "{\"type\":\"exec_connect\",\"stream_id\":\"1\","
                             "\"pid\":17,\"offset\":5}",
                             &err),
                     AGENT_BODY_OK);
    assert_int_equal(c.pid, 17);
    assert_int_equal(c.offset, 5);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(control(&c, bad[i].form, bad[i].text, &err),
                         AGENT_BODY_INVALID);
        assert_string_equal(err.field, bad[i].field);
        assert_null(c.data);
    }
}


static void
test_bounds(void **state)
{
    int i;
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    agent_body_error_t err;
    agent_exec_request_t req;

    (void) state;

    sandbox_text_str(&t, "{\"command\":\"x\",\"args\":[\"0\"");
    for (i = 0; i < AGENT_EXEC_ARGS_MAX; i++) {
        sandbox_text_str(&t, ",\"1\"");
    }
    sandbox_text_str(&t, "]}");
    assert_int_equal(parse(&req, t.data, &err), AGENT_BODY_INVALID);
    assert_string_equal(err.field, "args");
    sandbox_text_free(&t);

    sandbox_text_str(&t, "{\"command\":\"x\",\"envs\":{\"A\":\"");
    for (i = 0; i < AGENT_ENV_MAX; i++) {
        sandbox_text_str(&t, "a");
    }
    sandbox_text_str(&t, "\"}}");
    assert_int_equal(parse(&req, t.data, &err), AGENT_BODY_INVALID);
    assert_string_equal(err.field, "envs");
    sandbox_text_free(&t);

    sandbox_text_str(&t, "{\"command\":\"x\",\"envs\":{\"A\":\"\"");
    for (i = 0; i < AGENT_ENV_NAMES_MAX; i++) {
        sandbox_text_fmt(&t, ",\"A%d\":\"\"", i);
    }
    sandbox_text_str(&t, "}}");
    assert_int_equal(parse(&req, t.data, &err), AGENT_BODY_INVALID);
    assert_string_equal(err.field, "envs");
    sandbox_text_free(&t);
}


static void
test_env(void **state)
{
    agent_env_t a, b;

    (void) state;

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));

    assert_int_equal(agent_env_set(&a, "PATH", "/bin"), 0);
    assert_int_equal(agent_env_set(&a, "PATHS", "1"), 0);
    assert_int_equal(agent_env_set(&b, "PATH", "/usr/bin=x"), 0);
    assert_int_equal(agent_env_set(&b, "B", ""), 0);
    assert_int_equal(agent_env_merge(&a, &b), 0);

    assert_int_equal(a.n, 3);
    assert_string_equal(a.list[0], "PATH=/usr/bin=x");
    assert_string_equal(a.list[1], "PATHS=1");
    assert_string_equal(a.list[2], "B=");
    assert_null(a.list[3]);

    agent_env_free(&a);
    agent_env_free(&b);
}


static void
test_capture(void **state)
{
    int i;
    char *block;
    agent_capture_t c;

    (void) state;

    memset(&c, 0, sizeof(c));
    block = malloc(65536);
    assert_non_null(block);
    memset(block, 'a', 65536);

    agent_capture_add(&c, "xyz", 3);
    assert_int_equal(c.len, 3);
    assert_memory_equal(c.data, "xyz", 3);

    for (i = 0; i < AGENT_CAPTURE_MAX / 65536 - 1; i++) {
        agent_capture_add(&c, block, 65536);
    }
    agent_capture_add(&c, block, 65533);
    assert_int_equal(c.len, AGENT_CAPTURE_MAX);
    assert_int_equal(c.truncated, 0);

    agent_capture_add(&c, block, 1);
    assert_int_equal(c.len, AGENT_CAPTURE_MAX);
    assert_int_equal(c.truncated, 1);

    agent_capture_free(&c);
    assert_int_equal(c.len, 0);
    assert_int_equal(c.truncated, 0);

    /* The limit cuts no character. */
    for (i = 0; i < AGENT_CAPTURE_MAX / 65536 - 1; i++) {
        agent_capture_add(&c, block, 65536);
    }
    agent_capture_add(&c, block, 65533);
    agent_capture_add(&c, "\xf0\x9f\x98\x80", 4);
    assert_int_equal(c.len, AGENT_CAPTURE_MAX - 3);
    assert_int_equal(c.truncated, 1);
    agent_capture_free(&c);
    free(block);
}


/* The first bytes are always kept, and no share is given back twice. */
static void
test_share(void **state)
{
    char block[10000];
    size_t taken;
    agent_capture_t c;

    (void) state;

    memset(&c, 0, sizeof(c));
    memset(block, 'a', sizeof(block));

    taken = agent_memory_left(AGENT_MEMORY_OUTPUT) - 20000;
    assert_int_equal(agent_memory_take(AGENT_MEMORY_OUTPUT, taken), 0);

    agent_capture_add(&c, block, sizeof(block));
    assert_int_equal(c.len, 10000);
    assert_int_equal(agent_memory_left(AGENT_MEMORY_OUTPUT),
                     20000 - (16384 - 4096));
    agent_capture_add(&c, block, sizeof(block));
    assert_int_equal(c.len, 16384);
    assert_int_equal(c.truncated, 1);
    agent_capture_uncount(&c);
    assert_int_equal(agent_memory_left(AGENT_MEMORY_OUTPUT), 20000);
    agent_capture_free(&c);
    assert_int_equal(agent_memory_left(AGENT_MEMORY_OUTPUT), 20000);

    assert_int_equal(agent_memory_take(AGENT_MEMORY_OUTPUT, 20000), 0);
    agent_capture_add(&c, "xyz", 3);
    assert_int_equal(c.truncated, 0);
    agent_capture_add(&c, block, sizeof(block));
    assert_int_equal(c.len, 4096);
    assert_int_equal(c.truncated, 1);
    agent_capture_free(&c);

    agent_capture_add(&c, block, sizeof(block));
    assert_int_equal(c.len, 4096);
    assert_int_equal(c.truncated, 1);
    agent_capture_free(&c);
    assert_int_equal(agent_memory_left(AGENT_MEMORY_OUTPUT), 0);

    agent_memory_give(AGENT_MEMORY_OUTPUT, taken + 20000);
}


static void
test_halve(void **state)
{
    agent_capture_t c;

    (void) state;

    memset(&c, 0, sizeof(c));
    agent_capture_add(&c, "\xc3\xa9\xc3\xa9\xc3\xa9", 6);
    agent_capture_halve(&c);
    assert_int_equal(c.len, 2);
    assert_int_equal(c.truncated, 1);
    agent_capture_halve(&c);
    assert_int_equal(c.len, 0);
    agent_capture_free(&c);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_minimal),    cmocka_unit_test(test_full),
        cmocka_unit_test(test_shell),      cmocka_unit_test(test_signals),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_background), cmocka_unit_test(test_messages),
        cmocka_unit_test(test_control),    cmocka_unit_test(test_env),
        cmocka_unit_test(test_capture),    cmocka_unit_test(test_share),
        cmocka_unit_test(test_halve),
    };

    return cmocka_run_group_tests_name("agent exec", tests, NULL, NULL);
}
