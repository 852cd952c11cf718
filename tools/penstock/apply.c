// SPDX-License-Identifier: BSD-3-Clause

// penstock queue hold, release, requeue, retry, delete, bounce, expire, move: orders
// to messages that are named or selected.

#include "opts.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define IDS_PER_REQUEST 500

struct order {
	const char *action, *done; // "delete", "deleted"
	const char *told;          // "%llu messages ..."
};

static const struct order orders[] = {{"hold", "held", "put on hold"},
	{"release", "released", "released"}, {"requeue", "requeued", "requeued"},
	{"retry", "retried", "due now"}, {"delete", "deleted", "deleted"},
	{"bounce", "bounced", "bounced"}, {"expire", "expired", "expired"},
	{"move", "moved", "moved"}};

static long long number(json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void add_tally(json_t *sum, json_t *more)
{
	static const char *const keys[] = {"examined", "messages", "recipients", "done"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		json_object_set_new(
			sum, keys[i], json_integer(number(sum, keys[i]) + number(more, keys[i])));
	json_t *missing = json_object_get(more, "missing");
	if (json_is_array(missing))
		json_array_extend(json_object_get(sum, "missing"), missing);
}

// A line that is written over on a terminal; elsewhere a line now and then.
static void progress(json_t *tally, double *next, double now)
{
	bool terminal = isatty(STDERR_FILENO);

	if (now < *next)
		return;
	*next = now + (terminal ? 0.5 : 10);
	fprintf(stderr, "%spenstock: %lld messages looked at, %lld chosen, %lld done%s",
		terminal ? "\r" : "", number(tally, "examined"), number(tally, "messages"),
		number(tally, "done"), terminal ? " " : "\n");
}

int apply_all(struct cli *cli, json_t *args, json_t **tally)
{
	json_t *sum = *tally != NULL ? *tally : json_pack("{s:[]}", "missing"), *result;
	double started = seconds(), next = started + 2;
	int status;
	bool more;

	*tally = sum;
	do {
		status = client_ask(cli, "queue.apply", json_deep_copy(args), &result);
		if (status != EXIT_OK)
			break;
		add_tally(sum, result);
		json_t *cursor = json_object_get(result, "next");
		more = json_is_string(cursor);
		if (more)
			json_object_set(args, "cursor", cursor);
		json_decref(result);
		if (more)
			progress(sum, &next, seconds());
	} while (more);
	if (seconds() > started + 2 && isatty(STDERR_FILENO))
		fputc('\n', stderr);
	json_decref(args);
	return status;
}

// The ids of the command line, or of standard input for "-", as postsuper reads them.
static bool next_id(struct cli *cli, int *at, char line[64], const char **id)
{
	if (cli->argc == 1 && strcmp(cli->argv[0], "-") == 0) {
		while (fgets(line, 64, stdin) != NULL) {
			line[strcspn(line, " \t\r\n*!#")] = '\0';
			if (*line != '\0') {
				*id = line;
				return true;
			}
		}
		return false;
	}
	*id = *at < cli->argc ? cli->argv[(*at)++] : NULL;
	return *id != NULL;
}

int apply_ids(struct cli *cli, json_t *args, json_t **tally)
{
	int at = 0, status = EXIT_OK;
	char line[64];
	const char *id;
	bool more = next_id(cli, &at, line, &id);

	if (*tally == NULL)
		*tally = json_pack("{s:[]}", "missing");
	while (more && status == EXIT_OK) {
		json_t *ids = json_array();
		for (int n = 0; more && n < IDS_PER_REQUEST; n++) {
			json_t *text = json_string(id);
			json_array_append_new(ids, text != NULL ? text : json_string("?"));
			more = next_id(cli, &at, line, &id);
		}
		json_t *some = json_deep_copy(args);
		json_object_set_new(some, "ids", ids);
		status = apply_all(cli, some, tally);
	}
	json_decref(args);
	return status;
}

static void show_tally(struct cli *cli, const struct order *o, json_t *tally, bool dry, bool by_ids)
{
	json_t *missing = json_object_get(tally, "missing"), *id;
	size_t i;

	if (cli->json && by_ids && !dry) {
		json_t *out = json_pack("{s:I,s:O}", o->done, (json_int_t)number(tally, "done"),
			"missing", missing);
		json_dumpf(out, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(out);
	} else if (cli->json) {
		json_t *out = json_pack("{s:b,s:I,s:I,s:I,s:I}", "dry_run", dry, o->done,
			(json_int_t)number(tally, "done"), "messages",
			(json_int_t)number(tally, "messages"), "recipients",
			(json_int_t)number(tally, "recipients"), "examined",
			(json_int_t)number(tally, "examined"));
		json_dumpf(out, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(out);
	} else if (dry) {
		printf("%lld messages with %lld recipients would be %s\n",
			number(tally, "messages"), number(tally, "recipients"), o->told);
	} else {
		printf("%lld messages %s\n", number(tally, "done"), o->told);
	}
	json_array_foreach(missing, i, id)
		fprintf(stderr, "penstock: %s: no such message\n", json_string_value(id));
}

static int refuse_all(const char *verb)
{
	return opts_usage(verb,
		"which messages? Give queue ids, - to read ids, or conditions (--site, --domain, "
		"--tenant, --campaign, --pool, --sender, --recipient, --older-than, --state, "
		"--in-doubt), or --everything");
}

static int run(struct cli *cli, const struct order *o, const char *verb, json_t *args)
{
	bool dry = json_is_true(json_object_get(args, "dry_run"));
	json_t *selector = json_object_get(args, "selector"), *tally = NULL;
	bool all = cli->argc == 1 && strcmp(cli->argv[0], "ALL") == 0;

	if (all && selector == NULL) {
		json_object_set_new(args, "selector", json_pack("{s:b}", "everything", 1));
		cli->argc = 0;
	}
	selector = json_object_get(args, "selector");
	if (selector == NULL && cli->argc == 0) {
		json_decref(args);
		return refuse_all(verb);
	}
	if (selector != NULL && cli->argc > 0) {
		json_decref(args);
		return opts_usage(verb, "give either queue ids or conditions");
	}
	bool by_ids = cli->argc > 0;
	int status = by_ids ? apply_ids(cli, args, &tally) : apply_all(cli, args, &tally);
	if (status == EXIT_OK)
		show_tally(cli, o, tally, dry, by_ids);
	if (status == EXIT_OK && json_array_size(json_object_get(tally, "missing")) > 0)
		status = EXIT_REFUSED;
	json_decref(tally);
	return status;
}

static int apply(struct cli *cli, const char *action)
{
	static const struct opt common[] = {
		{"--dry-run", OPT_FLAG, "dry_run"}, {NULL, OPT_FLAG, NULL}};
	static const struct opt bounce[] = {
		{"--reason", OPT_TEXT, "reason"}, {NULL, OPT_FLAG, NULL}};
	// --pool is where to; of where they are it is --from-pool.
	static const struct opt move[] = {{"--pool", OPT_TEXT, "pool"},
		{"--from-pool", OPT_TEXT, ".pool"}, {"--route", OPT_TEXT, "route"},
		{NULL, OPT_FLAG, NULL}};
	bool moves = strcmp(action, "move") == 0, bounces = strcmp(action, "bounce") == 0;
	const struct opt *const tables[] = {common,
		moves     ? move
		: bounces ? bounce
			  : opts_selector,
		opts_selector, NULL};
	const struct order *o = orders;
	char verb[32];

	snprintf(verb, sizeof(verb), "queue %s", action);
	while (strcmp(o->action, action) != 0)
		o++;
	json_t *args = json_pack("{s:s}", "action", action);
	if (!opts_parse(cli, verb, tables, args)) {
		json_decref(args);
		return EXIT_USAGE;
	}
	if (bounces && json_object_get(args, "reason") == NULL) {
		json_decref(args);
		return opts_usage(verb, "--reason TEXT is needed: the senders will read it");
	}
	if (moves && json_object_get(args, "pool") == NULL &&
		json_object_get(args, "route") == NULL) {
		json_decref(args);
		return opts_usage(verb, "where to? Give --pool POOL or --route TRANSPORT:NEXTHOP");
	}
	return run(cli, o, verb, args);
}

int verb_queue_hold(struct cli *cli)
{
	return apply(cli, "hold");
}

int verb_queue_release(struct cli *cli)
{
	return apply(cli, "release");
}

int verb_queue_requeue(struct cli *cli)
{
	return apply(cli, "requeue");
}

int verb_queue_retry(struct cli *cli)
{
	return apply(cli, "retry");
}

int verb_queue_delete(struct cli *cli)
{
	return apply(cli, "delete");
}

int verb_queue_bounce(struct cli *cli)
{
	return apply(cli, "bounce");
}

int verb_queue_expire(struct cli *cli)
{
	return apply(cli, "expire");
}

int verb_queue_move(struct cli *cli)
{
	return apply(cli, "move");
}
