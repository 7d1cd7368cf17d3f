/* Dotted paths of members, such as "network.allow_out[2]".  Any thread. */

#ifndef SANDBOX_JSON_PATH_H
#define SANDBOX_JSON_PATH_H

#include <stddef.h>

#define SANDBOX_JSON_PATH_SIZE 128

/*
 * Appends a member's name, or the index of an array's element.  A path that
 * would be too long is cut between characters; an empty name reads "".
 */
void
sandbox_json_path_name(char path[SANDBOX_JSON_PATH_SIZE], const char *name);
void sandbox_json_path_index(char path[SANDBOX_JSON_PATH_SIZE], size_t index);

#endif
