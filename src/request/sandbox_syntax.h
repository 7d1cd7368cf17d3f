/*
 * Checks of the syntax of names, references and hosts in the API: 1 if text is
 * valid.  Pure functions over NUL-terminated text; any thread.
 */

#ifndef SANDBOX_SYNTAX_H
#define SANDBOX_SYNTAX_H

#include <stddef.h>

/* An id or a name that this API gives: letters, digits, "_", "." and "-". */
int sandbox_syntax_id(const char *text);

/* [A-Za-z_][A-Za-z0-9_]* */
int sandbox_syntax_env(const char *text);

/* A template's name, name:tag, or a Docker image reference. */
int sandbox_syntax_reference(const char *text);

/*
 * "host", "host:port" or "[IPv6]:port"; one "${PORT}" in it
 * stands for any port.
 */
int sandbox_syntax_authority(const char *text);

#endif
