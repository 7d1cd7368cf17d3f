/*
 * The Accept header (RFC 9110, 12.5.1), as far as it tells a person's browser
 * from a program.  Pure C, any thread.
 */

#ifndef SANDBOX_ACCEPT_H
#define SANDBOX_ACCEPT_H

#include <stddef.h>

/*
 * 1 if text/html is named and wanted more than application/json, or as much
 * and named first.  Wildcards ask for nothing: programs send them, too.
 */
int sandbox_accept_html(const char *text, size_t len);

#endif
