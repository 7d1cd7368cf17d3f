/* Names of the entries of archives.  No I/O. */

#ifndef AGENT_ARCHIVE_NAME_H
#define AGENT_ARCHIVE_NAME_H

#include "sandbox_path.h"

/*
 * Sets path to the entry's path below the directory that is unpacked into,
 * beginning with "/"; a leading "/" of name makes no difference.  Returns NULL,
 * or why the name is refused (static); name may be NULL.
 */
const char *agent_archive_name(char path[SANDBOX_PATH_MAX], const char *name);

#endif
