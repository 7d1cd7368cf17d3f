/* Who is shown a page and who is given JSON. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_accept.h"


static void
test_accept(void **state)
{
    int html;
    char *copy;
    size_t i, len;
    static const struct {
        const char *text;
        int html;
    } cases[] = {
        { "", 0 },
        { "*/*", 0 },
        { "text/*", 0 },
        { "application/json", 0 },
        { "text/html", 1 },
        { "TEXT/HTML", 1 },
        { " text/html ", 1 },
        { "text/htmlx", 0 },
        { "text/html;q=0", 0 },
        { "text/html;q=0.000", 0 },
        { "text/html;q=0.001", 1 },
        { "text/html; charset=utf-8; q=0.5", 1 },
        { "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
          1 },
        { "application/json, text/html", 0 },
        { "text/html, application/json", 1 },
        { "application/json;q=0.5, text/html", 1 },
        { "application/json, text/html;q=0.9", 0 },
        { "text/html;q=0.5,application/json;q=0.51", 0 },
        { "text/html;q=0.5,application/json;q=0.5", 1 },
        { ",,text/html,,", 1 },
        { "text/html;q=", 1 },
        { "text/html;", 1 },
        { ";q=0,text/html", 1 },
        { "text/html;q=1.000", 1 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* without a NUL: sanitizers see a read past the end */
        len = strlen(cases[i].text);
        copy = malloc(len ? len : 1);
        assert_non_null(copy);
        memcpy(copy, cases[i].text, len);
        html = sandbox_accept_html(copy, len);
        free(copy);

        if (html != cases[i].html) {
            fail_msg("\"%s\": %d", cases[i].text, html);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
