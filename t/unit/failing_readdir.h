/*
 * A reading of a directory that fails: the linker has it in the place of
 * readdir(), with $(FAILING_READDIR).
 */

#ifndef FAILING_READDIR_H
#define FAILING_READDIR_H

extern int readdir_fails_at; /* which call does, with EIO; 0: none */
extern int readdir_calls;    /* so far */

#endif
