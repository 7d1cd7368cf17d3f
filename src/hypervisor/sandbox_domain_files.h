/*
 * The files of a domain as its XML has them: the chain of its disk and the
 * memory that is a file.  The XML of a domain that runs is kept up to date by
 * libvirt, whatever is done to its disk.
 *
 * Pure functions over libxml2; any thread.
 */

#ifndef SANDBOX_DOMAIN_FILES_H
#define SANDBOX_DOMAIN_FILES_H

#include <stddef.h>

/* Strings are malloc'd and its own. */
typedef struct {
    char *memory;  /* NULL: no file of ours */
    char **layers; /* of its disks, the overlay first, the template's last */
    size_t n;
} sandbox_domain_files_t;

/* 0, or -1: it is no XML of a domain, or memory is out; *files is empty. */
int sandbox_domain_files_read(sandbox_domain_files_t *files, const char *xml);
void sandbox_domain_files_free(sandbox_domain_files_t *files);

#endif
