// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// penstock(1): what its verbs share.

#include "pen_span.h"

#include <jansson.h>
#include <stdio.h>

enum { // exit status
	EXIT_OK = 0,
	EXIT_REFUSED = 1,
	EXIT_USAGE = 2,
	EXIT_UNREACHABLE = 3,
};

struct cli {
	const char *directory; // -c
	const char *socket;    // --socket, or what main.cf says
	bool json, help;
	int argc; // what follows the verb
	char **argv;
};

// client.c

// Sends one request. `args` is taken over. Returns EXIT_OK and the result
// (owned by the caller), or another exit status after a message on stderr.
// The connection stays open for the next request.
int client_ask(const struct cli *cli, const char *verb, json_t *args, json_t **result);
void client_close(void);

// show.c: for people
void show_status(FILE *out, json_t *result);
void show_queue_header(FILE *out);
void show_queue_entry(FILE *out, json_t *entry);
void show_queue_footer(FILE *out, uint64_t messages, uint64_t bytes);
void show_message(FILE *out, json_t *result);
void show_counters(FILE *out, json_t *result);
void show_explain(FILE *out, json_t *result); // explain.c

// verbs.c and config.c; each returns the exit status.
int verb_status(struct cli *cli);
int verb_counters(struct cli *cli);
int verb_queue_list(struct cli *cli);
int verb_queue_show(struct cli *cli);
int verb_queue_flush(struct cli *cli);
int verb_queue_hold(struct cli *cli);
int verb_queue_release(struct cli *cli);
int verb_queue_delete(struct cli *cli);
int verb_stop(struct cli *cli);
int verb_config_check(struct cli *cli);
int verb_config_show(struct cli *cli);
int verb_spool_check(struct cli *cli); // spool.c
int verb_explain(struct cli *cli);
int verb_tls_probe(struct cli *cli);
int verb_tlsrpt_list(struct cli *cli);
int verb_tlsrpt_show(struct cli *cli);
int verb_tlsrpt_send(struct cli *cli);

// verbs.c: asks once, and shows the result as JSON or with `show`.
int ask_and_show(struct cli *cli, const char *verb, json_t *args, void (*show)(FILE *, json_t *));
