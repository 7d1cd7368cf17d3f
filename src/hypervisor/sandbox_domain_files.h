/*
 * The files of a domain as its XML has them: the chain of its disk and the file
 * of its memory.  libvirt keeps the XML of a running domain up to date when
 * its disk gets an overlay or is flattened, but not when a layer is renamed.
 *
 * Pure functions over libxml2; any thread.
 */

#ifndef SANDBOX_DOMAIN_FILES_H
#define SANDBOX_DOMAIN_FILES_H

#include <stddef.h>

/* Strings are malloc'd and the struct's own. */
typedef struct {
    char *memory;  /* NULL: the memory is in no file */
    char **layers; /* of the disk: the overlay first, the template's last */
    size_t n;
} sandbox_domain_files_t;

/* 0, or -1: xml is no XML of a domain, or no memory; *files is empty then. */
int sandbox_domain_files_read(sandbox_domain_files_t *files, const char *xml);
void sandbox_domain_files_free(sandbox_domain_files_t *files);

#endif
