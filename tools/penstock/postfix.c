// SPDX-License-Identifier: BSD-3-Clause

// mailq, postqueue, postsuper and qshape with the options, the output and the exit
// status that Postfix's have, for the scripts and the hands that know them.

#include "opts.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static long long number(json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

// The command itself stands in front of its arguments, as getopt wants it.
static int argc_of(const struct cli *cli)
{
	return cli->argc + 1;
}

static char **argv_of(const struct cli *cli)
{
	optind = 0; // not 1: getopt forgets where it was in the arguments before
	opterr = 0;
	return cli->argv - 1;
}

// ---- mailq, postqueue

static const char postqueue_usage[] = "usage: postqueue -f | postqueue -i queueid | postqueue -j | "
				      "postqueue -p | postqueue -s site";

static int fatal(const char *name, int status, const char *what)
{
	fprintf(stderr, "%s: fatal: %s\n", name, what);
	return status;
}

static int exit_of(int status)
{
	return status == EXIT_OK ? EX_OK : status == EXIT_UNREACHABLE ? EX_UNAVAILABLE : 1;
}

// One object a line, with Postfix's members only and in its order.
static void put_postqueue_json(json_t *e)
{
	json_t *rcpts = json_array(), *r;
	const char *sender = json_string_value(json_object_get(e, "sender"));
	const char *queue = json_string_value(json_object_get(e, "queue_name"));
	size_t i;

	json_array_foreach(json_object_get(e, "recipients"), i, r)
	{
		json_t *out = json_pack("{s:O}", "address", json_object_get(r, "address"));
		json_t *reason = json_object_get(r, "delay_reason");
		if (reason != NULL)
			json_object_set(out, "delay_reason", reason);
		json_array_append_new(rcpts, out);
	}
	bool incoming = queue != NULL && strcmp(queue, "waiting") == 0;
	json_t *o = json_pack("{s:s,s:O,s:O,s:O,s:O,s:s,s:o}", "queue_name",
		incoming        ? "incoming"
		: queue != NULL ? queue
				: "",
		"queue_id", json_object_get(e, "queue_id"), "arrival_time",
		json_object_get(e, "arrival_time"), "message_size",
		json_object_get(e, "message_size"), "forced_expire",
		json_object_get(e, "forced_expire"), "sender",
		sender != NULL && *sender != '\0' ? sender : "MAILER-DAEMON", "recipients", rcpts);
	json_dumpf(o, stdout, 0);
	putchar('\n');
	json_decref(o);
}

static int list_json(struct cli *cli)
{
	return queue_pages(cli, put_postqueue_json);
}

static int list_text(struct cli *cli)
{
	struct cli plain = {.directory = cli->directory, .socket = cli->socket};

	return verb_queue_list(&plain);
}

static int flush_site(struct cli *cli, const char *site)
{
	json_t *tally = NULL;
	int status = apply_all(cli,
		json_pack("{s:s,s:{s:s}}", "action", "retry", "selector", "domain", site), &tally);

	json_decref(tally);
	return status;
}

static int flush(struct cli *cli, const char *id)
{
	json_t *result, *args = json_object();

	if (id != NULL)
		json_object_set_new(args, "id", json_string(id));
	int status = client_ask(cli, "queue.flush", args, &result);
	json_decref(result);
	return status;
}

int verb_mailq(struct cli *cli)
{
	return exit_of(list_text(cli));
}

int verb_postqueue(struct cli *cli)
{
	char **argv = argv_of(cli);
	char mode = 0;
	const char *arg = NULL;

	for (int c; (c = getopt(argc_of(cli), argv, "c:fi:jps:v")) != -1;) {
		if (c == 'v')
			continue;
		if (c == 'c') {
			cli->directory = optarg;
			continue;
		}
		if (c == '?' || mode != 0)
			return fatal("postqueue", EX_UNAVAILABLE, postqueue_usage);
		mode = (char)c;
		arg = optarg;
	}
	if (optind < argc_of(cli))
		return fatal("postqueue", EX_UNAVAILABLE, postqueue_usage);
	switch (mode) {
	case 'p':
		return exit_of(list_text(cli));
	case 'j':
		return exit_of(list_json(cli));
	case 'f':
		return exit_of(flush(cli, NULL));
	case 'i':
		return exit_of(flush(cli, arg));
	case 's':
		return exit_of(flush_site(cli, arg));
	default:
		return fatal("postqueue", EX_UNAVAILABLE, postqueue_usage);
	}
}

// ---- postsuper

struct letter {
	char letter;
	const char *action, *one, *all; // "removed", "Deleted"
	const char *states;             // that ALL means
};

static const struct letter letters[] = {
	{'d', "delete", "removed", "Deleted", NULL},
	{'h', "hold", "placed on hold", "Placed on hold",
		"active,waiting,deferred,scheduled,bouncing"},
	{'H', "release", "released from hold", "Released from hold", "hold"},
	{'r', "requeue", "requeued", "Requeued", NULL},
	{'e', "expire", "expired", "Force-expired", NULL},
	{'f', "expire", "expired", "Force-expired", NULL},
};
#define LETTERS (sizeof(letters) / sizeof(letters[0]))

static const char postsuper_usage[] =
	"usage: postsuper [-c config_dir] [-d queue_id (delete)] [-e queue_id (expire)] "
	"[-f queue_id (expire and/or un-hold)] [-h queue_id (hold)] [-H queue_id (un-hold)] "
	"[-p (purge temporary files)] [-r queue_id (requeue)] [-s (structure fix)] "
	"[-S (redundant structure fix)] [-v (verbose)] [queue...]";

// The names of queues on the command line as states; NULL: one is not known. "" none is here.
static const char *states_of(char **queues, int n, char out[128])
{
	static const char *const ours[] = {"incoming", "active", "deferred", "hold"};
	static const char *const others[] = {
		"maildrop", "bounce", "defer", "trace", "corrupt", "flush", "saved"};
	size_t used = 0;

	out[0] = '\0';
	for (int i = 0; i < n; i++) {
		bool known = false;
		for (size_t k = 0; k < sizeof(others) / sizeof(others[0]); k++)
			known = known || strcmp(queues[i], others[k]) == 0;
		for (size_t k = 0; k < sizeof(ours) / sizeof(ours[0]); k++) {
			if (strcmp(queues[i], ours[k]) != 0)
				continue;
			known = true;
			// What Postfix keeps in "deferred" has more names here.
			used += (size_t)snprintf(out + used, 128 - used, "%s%s",
				used > 0 ? "," : "",
				k == 2 ? "deferred,scheduled,bouncing" : ours[k]);
			if (used > 100)
				return out;
		}
		if (!known)
			return NULL;
	}
	return out;
}

static int order_all(struct cli *cli, const char *action, const char *states, long long *done)
{
	json_t *tally = NULL, *selector = states != NULL ? json_pack("{s:s}", "state", states)
							 : json_pack("{s:b}", "everything", 1);
	int status = apply_all(
		cli, json_pack("{s:s,s:o}", "action", action, "selector", selector), &tally);

	*done += number(tally, "messages");
	json_decref(tally);
	return status;
}

static bool is_in(json_t *list, const char *text)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		if (strcmp(json_string_value(item), text) == 0)
			return true;
	}
	return false;
}

static int order_one(struct cli *cli, const struct letter *l, const char *id, long long *done)
{
	char *words[] = {(char *)(uintptr_t)id};
	struct cli one = {
		.directory = cli->directory, .socket = cli->socket, .argc = 1, .argv = words};
	json_t *tally = NULL;
	int status = EXIT_OK;

	if (l->letter == 'f')
		status = apply_ids(&one, json_pack("{s:s}", "action", "release"), &tally);
	json_decref(tally);
	tally = NULL;
	if (status == EXIT_OK)
		status = apply_ids(&one, json_pack("{s:s}", "action", l->action), &tally);
	if (status == EXIT_OK && !is_in(json_object_get(tally, "missing"), id)) {
		fprintf(stderr, "postsuper: %s: %s\n", id, l->one);
		++*done;
	}
	json_decref(tally);
	return status;
}

static int order_stdin(struct cli *cli, const struct letter *l, long long *done)
{
	char line[128];
	int status = EXIT_OK;

	while (status == EXIT_OK && fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, " \t\r\n*!#")] = '\0';
		if (*line != '\0')
			status = order_one(cli, l, line, done);
	}
	return status;
}

static int do_letter(struct cli *cli, const struct letter *l, const char *id, const char *states,
	long long *done)
{
	if (strcmp(id, "-") == 0)
		return order_stdin(cli, l, done);
	if (strcmp(id, "ALL") != 0)
		return order_one(cli, l, id, done);
	if (states != NULL && *states == '\0')
		return EXIT_OK; // queues that are not here have no mail
	long long released = 0;
	int status = EXIT_OK;
	if (l->letter == 'f')
		status = order_all(cli, "release", "hold", &released);
	if (status == EXIT_OK)
		status = order_all(cli, l->action, states != NULL ? states : l->states, done);
	return status;
}

int verb_postsuper(struct cli *cli)
{
	char **argv = argv_of(cli), states[128];
	struct {
		const struct letter *l;
		const char *id;
	} todo[64];
	int n = 0, status = EXIT_OK;

	for (int c; (c = getopt(argc_of(cli), argv, "c:d:e:f:h:H:pr:sSv")) != -1;) {
		const struct letter *l = letters;
		while (l < letters + LETTERS && l->letter != c)
			l++;
		if (c == 'c')
			cli->directory = optarg;
		else if (c == '?' || n == 64)
			return fatal("postsuper", 1, postsuper_usage);
		else if (l < letters + LETTERS) {
			todo[n].l = l;
			todo[n++].id = optarg;
		} // -p, -s, -S, -v: the spool has no temporary files and no structure to mend
	}
	int queues = argc_of(cli) - optind;
	const char *chosen = queues > 0 ? states_of(argv + optind, queues, states) : NULL;
	if (queues > 0 && chosen == NULL)
		return fatal("postsuper", 1, "invalid directory name");
	for (size_t k = 0; k < LETTERS && status == EXIT_OK; k++) {
		long long done = 0;
		bool asked = false;
		for (int i = 0; i < n && status == EXIT_OK; i++) {
			if (todo[i].l != &letters[k])
				continue;
			asked = true;
			status = do_letter(cli, todo[i].l, todo[i].id, chosen, &done);
		}
		if (asked && status == EXIT_OK)
			fprintf(stderr, "postsuper: %s: %lld message%s\n", letters[k].all, done,
				done == 1 ? "" : "s");
	}
	return exit_of(status);
}

// ---- qshape

struct qshape {
	int width, buckets, minutes;
	long long top;
	bool linear;
};

#define NAME_WIDTH 18

static void put_name(const char *name, int width)
{
	int n = (int)strlen(name);

	if (n <= width)
		printf("%*s", width, name);
	else if (name[0] == '.')
		printf(".+%s", name + n - (width - 2));
	else
		printf("+%s", name + n - (width - 1));
}

// The heads of the columns and how wide they are; returns what is left for names.
static int columns(const struct qshape *q, json_t *total, char heads[][24], int *wide)
{
	int left = q->width;
	long long age = 0;

	for (int i = 0; i <= q->buckets; i++) {
		char count[24];
		int n = snprintf(count, sizeof(count), "%lld",
			(long long)json_integer_value(json_array_get(total, (size_t)i)));
		int h = snprintf(heads[i], 24,
			i == 0            ? "T"
			: i == q->buckets ? "%lld+"
					  : "%lld",
			age);
		int most = h > n ? h : n;
		wide[i] = most > 2 ? most + 1 : 3;
		left -= wide[i];
		if (i + 1 < q->buckets)
			age += age != 0 && !q->linear ? age : q->minutes;
	}
	return left > NAME_WIDTH ? left : NAME_WIDTH;
}

static void show_qshape(const struct qshape *q, json_t *rows)
{
	char heads[64][24];
	int wide[64];
	json_t *row;
	size_t i;
	json_t *total = json_object_get(json_array_get(rows, 0), "counts");
	int left = columns(q, total, heads, wide);

	put_name("", left);
	for (int b = 0; b <= q->buckets; b++)
		printf("%*s", wide[b], heads[b]);
	putchar('\n');
	json_array_foreach(rows, i, row)
	{
		const char *name = json_string_value(json_object_get(row, "name"));
		json_t *counts = json_object_get(row, "counts");
		if (q->top > 0 && (long long)i >= q->top)
			break;
		put_name(name != NULL ? name : "", left);
		for (int b = 0; b <= q->buckets; b++)
			printf("%*lld", wide[b],
				(long long)json_integer_value(json_array_get(counts, (size_t)b)));
		putchar('\n');
	}
}

static int qshape_usage(void)
{
	fputs("Usage: qshape [ -s ] [ -p ] [ -m <min_subdomains> ] [ -l ]\n"
	      "\t[ -b <bucket_count> ] [ -t <bucket_time> ] [ -w <terminal_width> ]\n"
	      "\t[ -n <top_domains> ] [ -c <config_directory> ] [ <queue_name> ... ]\n",
		stderr);
	return 1;
}

int verb_qshape(struct cli *cli)
{
	char **argv = argv_of(cli), states[128] = "waiting,active";
	struct qshape q = {.width = 80, .buckets = 10, .minutes = 5};
	json_t *result, *args = json_object();

	q.top = isatty(STDOUT_FILENO) ? 20 : 0;
	for (int c; (c = getopt(argc_of(cli), argv, "lhc:psw:b:t:m:n:N:")) != -1;) {
		int n = optarg != NULL ? atoi(optarg) : 0;
		if (c == 'l')
			json_object_set_new(args, "linear", json_boolean(q.linear = true));
		else if (c == 'p')
			json_object_set_new(args, "parents", json_true());
		else if (c == 's')
			json_object_set_new(args, "by", json_string("sender"));
		else if (c == 'c')
			cli->directory = optarg;
		else if (c == 'w')
			q.width = n > 80 && n < 1000 ? n : q.width;
		else if (c == 'b')
			q.buckets = n > 1 && n <= 32 ? n : q.buckets;
		else if (c == 't')
			q.minutes = n > 0 && n <= 100000 ? n : q.minutes;
		else if (c == 'm' && n > 0)
			json_object_set_new(args, "min_subdomains", json_integer(n));
		else if (c == 'n')
			q.top = n;
		else if (c != 'N' && c != 'm') {
			json_decref(args);
			return qshape_usage();
		}
	}
	int queues = argc_of(cli) - optind;
	if (queues > 0 && states_of(argv + optind, queues, states) == NULL) {
		json_decref(args);
		return fatal("qshape", 1, "no such queue: give incoming, active, deferred or hold");
	}
	json_object_set_new(args, "buckets", json_integer(q.buckets));
	json_object_set_new(args, "minutes", json_integer(q.minutes));
	// A queue that is not here is empty: no recipient has this address.
	json_object_set_new(args, "selector",
		*states != '\0' ? json_pack("{s:s}", "state", states)
				: json_pack("{s:s,s:s}", "state", "hold", "recipient", "@"));
	int status = client_ask(cli, "queue.shape", args, &result);
	if (status == EXIT_OK)
		show_qshape(&q, json_object_get(result, "rows"));
	json_decref(result);
	return exit_of(status);
}
