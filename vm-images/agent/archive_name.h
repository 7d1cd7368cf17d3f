/* Names of the entries of archives.  No I/O. */

#ifndef AGENT_ARCHIVE_NAME_H
#define AGENT_ARCHIVE_NAME_H

#include "sandbox_path.h"

/*
 * The path below the directory that is unpacked into, from its "/" on; a name
 * that begins with "/" is taken as one that does not.  NULL, or why it cannot
 * be (static); name may be NULL.
 */
const char *agent_archive_name(char path[SANDBOX_PATH_MAX], const char *name);

#endif
