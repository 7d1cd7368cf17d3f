/*
 * For tests: the HTTP server in this process on a loopback port, and clients
 * in child processes.  A client that does not get what it expects ends, and
 * fails the test.
 */

#ifndef AGENT_CHECK_HTTP_H
#define AGENT_CHECK_HTTP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "http.h"

#define TOKEN "t0ken"
#define AUTH "Authorization: Bearer " TOKEN "\r\n"

/* 0 or -1; before all else. */
int check_init(void);

/* Serves routes to clients from the address peer. */
void server_start(const agent_route_t *routes, size_t n, const char *peer);

/* Runs a client to its end, with the server beside it. */
void scenario(void (*run)(void));

/* --- in a client -------------------------------------------------------- */

int dial(void);
void transmit(int fd, const char *data, size_t len);

/* Reads one answer with its body; the caller frees it. */
char *receive(int fd);

/* Sends a request; head is all of its head but Content-Length. */
void request(int fd, const char *head, const char *body);

/* One request on a connection of its own. */
char *ask(const char *head, const char *body);

/* The same; the answer must be JSON, of that status, and contain part. */
void answers(const char *head, const char *body, int status, const char *part);
/* The same, asked again until part is in the answer, for 10 s. */
void answers_soon(const char *head, const char *body, const char *part);

#endif
