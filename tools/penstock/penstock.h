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
	int fixed; // 1 + the index of the first word behind "--", 0 without
};

// client.c

// Sends one request. `args` is taken over. Returns EXIT_OK and the result
// (owned by the caller), or another exit status after a message on stderr.
// The connection stays open for the next request.
int client_ask(const struct cli *cli, const char *verb, json_t *args, json_t **result);
// The same in two steps: the daemon works on the answer meanwhile. Each begin that was EXIT_OK
// needs its end before anything else is asked.
int client_begin(const struct cli *cli, const char *verb, json_t *args);
int client_end(const struct cli *cli, json_t **result);
// The same, and says nothing when the daemon refuses.
int client_try(const struct cli *cli, const char *verb, json_t *args, json_t **result);
void client_close(void);

// show.c: for people
void show_status(FILE *out, json_t *result);
void show_queue_header(FILE *out);
void show_queue_entry(FILE *out, json_t *entry);
void show_queue_footer(FILE *out, uint64_t messages, uint64_t bytes);
void show_message(FILE *out, json_t *result);
void put_safe(FILE *out, const char *s); // bytes of others, for a terminal
void show_counters(FILE *out, json_t *result);
void show_suspended(FILE *out, json_t *suspension); // site.c
void show_suspensions(FILE *out, json_t *result);
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
int verb_queue_requeue(struct cli *cli);
int verb_queue_retry(struct cli *cli);
int verb_queue_bounce(struct cli *cli);
int verb_queue_expire(struct cli *cli);
int verb_queue_move(struct cli *cli);
int verb_why(struct cli *cli);
int verb_site_list(struct cli *cli);
int verb_site_show(struct cli *cli);
int verb_suspend(struct cli *cli);
int verb_suspend_list(struct cli *cli);
int verb_resume(struct cli *cli);
int verb_source_list(struct cli *cli);
int verb_pool_list(struct cli *cli);
int verb_tenant_list(struct cli *cli);
int verb_campaign_list(struct cli *cli);
int verb_audit(struct cli *cli);
int verb_mailq(struct cli *cli);
int verb_postqueue(struct cli *cli);
int verb_postsuper(struct cli *cli);
int verb_qshape(struct cli *cli);
int verb_stop(struct cli *cli);
int verb_config_check(struct cli *cli);
int verb_config_show(struct cli *cli);
int verb_reload(struct cli *cli);      // reload.c
int verb_spool_check(struct cli *cli); // spool.c
int verb_explain(struct cli *cli);
int verb_tls_probe(struct cli *cli);
int verb_tlsrpt_list(struct cli *cli);
int verb_tlsrpt_show(struct cli *cli);
int verb_tlsrpt_send(struct cli *cli);
int verb_suppression_add(struct cli *cli);
int verb_suppression_remove(struct cli *cli);
int verb_suppression_check(struct cli *cli);
int verb_suppression_list(struct cli *cli);
int verb_suppression_export(struct cli *cli);
int verb_suppression_import(struct cli *cli);

// apply.c: an order (queue.apply) to all that it chooses, with progress on stderr; args is taken
// over, *tally (NULL at first) is the sum, the caller's. Returns the exit status.
int apply_all(struct cli *cli, json_t *args, json_t **tally);
// The same for the ids in cli->argv, or on standard input for "-".
int apply_ids(struct cli *cli, json_t *args, json_t **tally);

// queue.c: fn for each message of the queue, page by page.
int queue_pages(struct cli *cli, void (*fn)(json_t *message));

// verbs.c: asks once, and shows the result as JSON or with `show`.
int ask_and_show(struct cli *cli, const char *verb, json_t *args, void (*show)(FILE *, json_t *));
