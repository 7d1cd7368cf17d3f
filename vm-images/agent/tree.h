/* Removing a file, or a directory with all that is in it.  Blocking. */

#ifndef AGENT_TREE_H
#define AGENT_TREE_H

/*
 * Links are removed, never followed.  Mounted file systems, the agent's private
 * directory, and the directories above them stay.  0, or -1 with errno set.
 */
int agent_tree_remove(int dir, const char *name);

#endif
