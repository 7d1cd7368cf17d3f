/*
 * Points at which a test may end or stop this process: before and after each
 * step of an operation.  Only in a build with --crash-points; in every other
 * one a point is no code at all.
 *
 * A point is armed by a file of its name in the directory that the environment
 * variable SANDBOX_CRASH_DIR names.  The first thread that reaches the point
 * removes the file and does what it says: "kill" (SIGKILL for this process),
 * "stop" (SIGSTOP; the test continues the process) or "sleep MS" (this thread
 * alone).  A line on standard error says so.
 *
 * Any thread.
 */

#ifndef SANDBOX_CRASH_H
#define SANDBOX_CRASH_H

#ifdef SANDBOX_CRASH_POINTS

#define SANDBOX_CRASH_POINT(name) sandbox_crash_point(name)

void sandbox_crash_point(const char *name);

#else

#define SANDBOX_CRASH_POINT(name) ((void) 0)

#endif

#endif
