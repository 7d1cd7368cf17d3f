/*
 * The egress policy of a sandbox: lists of CIDR blocks, and the text form in
 * which lists are stored and passed on.  Pure C, no I/O, any thread.
 */

#ifndef SANDBOX_POLICY_H
#define SANDBOX_POLICY_H

#include "sandbox_net.h"
#include "sandbox_text.h"

/* Blocks of a list, counted as a client gives them. */
#define SANDBOX_POLICY_CIDRS 64

/* An IPv6 address, a slash and a prefix length, with the NUL. */
#define SANDBOX_CIDR_TEXT_SIZE 50

/* Sorted, without duplicates: lists are equal if the sets are. */
typedef struct {
    sandbox_cidr_t cidr[SANDBOX_POLICY_CIDRS];
    size_t n;
} sandbox_cidrs_t;

typedef struct {
    int internet;          /* 0: no packet leaves, whatever the lists say */
    sandbox_cidrs_t allow; /* if not empty: only these may be reached */
    sandbox_cidrs_t deny;  /* never to be reached, allowed or not */
} sandbox_policy_t;

/* Always with its prefix length: "192.0.2.1/32". */
void sandbox_cidr_format(char out[SANDBOX_CIDR_TEXT_SIZE],
                         const sandbox_cidr_t *cidr);

/* 1 if all of b is in a. */
int sandbox_cidr_covers(const sandbox_cidr_t *a, const sandbox_cidr_t *b);

/* Adds a block: 0, also if the list has it already; -1: the list is full. */
int sandbox_cidrs_add(sandbox_cidrs_t *list, const sandbox_cidr_t *cidr);

/* Appends "192.0.2.0/24,2001:db8::/32"; nothing for an empty list. */
void sandbox_cidrs_format(sandbox_text_t *t, const sandbox_cidrs_t *list);

/* Reads a list in that form; 0, or -1 if text is no such list. */
int sandbox_cidrs_parse(sandbox_cidrs_t *list, const char *text);

/* Reads both lists from text, NULL for an empty one; 0, or -1 as above. */
int sandbox_policy_parse(sandbox_policy_t *policy, int internet,
                         const char *allow, const char *deny);

/* Appends a list's text as a JSON array of strings; NULL: an empty one. */
void sandbox_cidrs_json(sandbox_text_t *t, const char *text);

#endif
