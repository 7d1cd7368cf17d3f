/* What is said to QEMU's monitor, and answers of several versions of it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_qmp.h"


static void
test_local(void **state)
{
    (void) state;

    assert_int_equal(sandbox_qmp_local("qemu:///system"), 1);
    assert_int_equal(sandbox_qmp_local("qemu:///system?socket=/a+b://c"), 1);
    assert_int_equal(sandbox_qmp_local("qemu+unix:///system"), 1);
    assert_int_equal(sandbox_qmp_local("qemu+unix://a/system"), 0);
    assert_int_equal(sandbox_qmp_local("qemu://a/system"), 0);
    assert_int_equal(sandbox_qmp_local("qemu+ssh://a/system"), 0);
    assert_int_equal(sandbox_qmp_local("qemu+tls:///system"), 0);
    assert_int_equal(sandbox_qmp_local("qemu+ext:///system?command=/c"), 0);
    assert_int_equal(sandbox_qmp_local("qemu+unixy:///system"), 0);
    assert_int_equal(sandbox_qmp_local("qemu"), 0);
    assert_int_equal(sandbox_qmp_local(""), 0);
}


static void
test_file(void **state)
{
    char uri[SANDBOX_QMP_URI_SIZE], path[SANDBOX_QMP_URI_SIZE + 1];

    (void) state;

    assert_int_equal(sandbox_qmp_file(uri, "/d/boot_a.state", 812), 0);
    assert_string_equal(uri, "file:/d/boot_a.state,offset=812");
    assert_int_equal(sandbox_qmp_file(uri, "/d, e/offset=1/a", 0), 0);
    assert_string_equal(uri, "file:/d, e/offset=1/a,offset=0");

    /* QEMU would take the first one */
    assert_int_equal(sandbox_qmp_file(uri, "/d,offset=1/a", 0), -1);
    assert_int_equal(sandbox_qmp_file(uri, "/d/a", -1), -1);

    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(sandbox_qmp_file(uri, path, 0), -1);
}


static void
test_sends(void **state)
{
    size_t i;
    static const struct {
        const char *answer;
        int sends;
    } cases[] = {
        /* as QEMU 10.0 gives them, less what is of no interest here */
        { "{\"return\":{}}", 0 },
        { "{\"return\":{\"status\":\"setup\",\"total-time\":0}}", 0 },
        { "{\"return\":{\"status\":\"active\",\"total-time\":3,\"ram\":"
          "{\"total\":268435456,\"transferred\":94,\"duplicate\":0,"
          "\"normal\":0,\"remaining\":268435456}},\"id\":\"libvirt-1\"}",
          0 },
        { "{\"return\":{\"status\":\"active\",\"ram\":"
          "{\"transferred\":4190,\"duplicate\":0,\"normal\":1}}}",
          1 },
        { "{\"return\":{\"status\":\"active\",\"ram\":"
          "{\"transferred\":9,\"duplicate\":7,\"normal\":0}}}",
          1 },
        { "{\"return\":{\"status\":\"completed\",\"ram\":"
          "{\"duplicate\":60000,\"normal\":5536}}}",
          1 },
        { "{\"return\":{\"status\":\"failed\",\"error-desc\":\"no\"}}", 0 },
        { "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}}", 0 },
        { "{\"return\":{\"ram\":{\"normal\":\"1\",\"duplicate\":-1}}}", 0 },
        { "{\"return\":{\"ram\":[1]}}", 0 },
        { "{\"return\":[{\"ram\":{\"normal\":1}}]}", 0 },
        { "[1]", 0 },
        { "1", 0 },
        { "{\"return\":{\"ram\":{\"normal\":1}", 0 },
        { "", 0 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(sandbox_qmp_sends(cases[i].answer), cases[i].sends);
    }
}


static void
test_is_on(void **state)
{
    size_t i;
    static const struct {
        const char *answer;
        int on;
    } cases[] = {
        { "{\"return\":[{\"capability\":\"xbzrle\",\"state\":false},"
          "{\"capability\":\"background-snapshot\",\"state\":true}]}",
          1 },
        { "{\"return\":[{\"capability\":\"xbzrle\",\"state\":true},"
          "{\"capability\":\"background-snapshot\",\"state\":false}]}",
          0 },
        { "{\"return\":[{\"capability\":\"xbzrle\",\"state\":true}]}", 0 },
        { "{\"return\":[1,[],{\"state\":true},"
          "{\"capability\":1,\"state\":true},"
          "{\"capability\":\"background-snapshot\"},"
          "{\"capability\":\"background-snapshot\",\"state\":1}]}",
          0 },
        { "{\"return\":[]}", 0 },
        { "{\"return\":{}}", 0 },
        { "{\"error\":{\"desc\":\"no\"}}", 0 },
        { "[]", 0 },
        { "", 0 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(
            sandbox_qmp_is_on(cases[i].answer, "background-snapshot"),
            cases[i].on);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_local),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_sends),
        cmocka_unit_test(test_is_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
