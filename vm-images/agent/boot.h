/*
 * The duties of the first process: kernel file systems, modules, and the
 * move from the initramfs to the root file system.  Once, before the loop;
 * blocking.
 */

#ifndef AGENT_BOOT_H
#define AGENT_BOOT_H

#define AGENT_ROOT_DEVICE "/dev/vda"

/* Returns in the root file system, or powers the machine off. */
void agent_boot(void);

/* Loads the modules that the file lists; 0, or -1 after a console line. */
int agent_boot_modules(const char *list);

/* Makes what programs expect below "/" (see docs/guest-agent.md). */
void agent_boot_furnish(void);

#endif
