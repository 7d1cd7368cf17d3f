/*
 * Messages of the agent, to the console of the machine, one line each.  They
 * must contain no secret: the console is a log file on the host.
 */

#ifndef AGENT_CONSOLE_H
#define AGENT_CONSOLE_H

void agent_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Logs the reason, and powers the machine off (PID 1) or exits (in a test). */
void
agent_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Ends the machine in good order: file systems synced, then power off. */
void agent_power_off(void) __attribute__((noreturn));

#endif
