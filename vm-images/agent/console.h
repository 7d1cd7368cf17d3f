/*
 * What the agent has to say goes to the console of the machine, one line a
 * message.  Nothing secret is ever passed here: the console is a log file on
 * the host.
 */

#ifndef AGENT_CONSOLE_H
#define AGENT_CONSOLE_H

void agent_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Says why, and powers the machine off (as PID 1) or exits (as a test). */
void
agent_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Ends the machine in good order: file systems synced, then power off. */
void agent_power_off(void) __attribute__((noreturn));

#endif
