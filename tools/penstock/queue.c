// SPDX-License-Identifier: BSD-3-Clause

// penstock queue list, show, flush.

#include "opts.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 500
#define SORTED_MAX 10000

// In one piece: json_dumpf writes each bracket by itself.
static void put_json(json_t *v)
{
	char *text = json_dumps(v, JSON_COMPACT);

	if (text != NULL)
		puts(text);
	free(text);
}

static long long number(json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

// A message with very many recipients comes in parts: asks for the rest.
static int whole_message(struct cli *cli, json_t *m, bool queued)
{
	json_t *list = json_object_get(m, "recipients"), *part;

	for (long long from; (from = number(m, "more_recipients")) > 0;) {
		json_object_del(m, "more_recipients");
		json_t *args = json_pack("{s:O,s:I,s:b}", "id", json_object_get(m, "queue_id"),
			"from", (json_int_t)from, "queued", queued);
		if (client_ask(cli, "queue.show", args, &part) != EXIT_OK)
			return EXIT_OK; // it left the queue meanwhile
		json_array_extend(list, json_object_get(part, "recipients"));
		json_t *more = json_object_get(part, "more_recipients");
		if (more != NULL)
			json_object_set(m, "more_recipients", more);
		json_decref(part);
	}
	return EXIT_OK;
}

// ---- list

enum sort { UNSORTED, OLDEST, NEWEST, LARGEST, NEXT };

struct listing {
	void (*each)(json_t *message); // NULL: show_entry
	uint64_t messages, bytes, limit;
	enum sort sort;
	json_t *kept; // the first `limit` in the order, sorted at the end
};

static void show_entry(struct cli *cli, struct listing *l, json_t *e)
{
	if (cli->json) {
		put_json(e);
	} else {
		if (l->messages == 0)
			show_queue_header(stdout);
		show_queue_entry(stdout, e);
	}
	l->messages++;
	l->bytes += (uint64_t)number(e, "message_size");
}

static enum sort compare_by;

static int compare(const void *a, const void *b)
{
	static const char *const keys[] = {[OLDEST] = "arrival_time",
		[NEWEST] = "arrival_time",
		[LARGEST] = "message_size",
		[NEXT] = "next_attempt"};
	json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	long long m = number(x, keys[compare_by]), n = number(y, keys[compare_by]);
	bool down = compare_by == NEWEST || compare_by == LARGEST;

	if (m != n)
		return (m < n) == down ? 1 : -1;
	return strcmp(json_string_value(json_object_get(x, "queue_id")),
		json_string_value(json_object_get(y, "queue_id")));
}

// Sorts what is kept and drops what is beyond the limit.
static void trim(struct listing *l)
{
	size_t n = json_array_size(l->kept);
	json_t **at = malloc((n + 1) * sizeof(json_t *)), *sorted = json_array();

	for (size_t i = 0; at != NULL && i < n; i++)
		at[i] = json_array_get(l->kept, i);
	compare_by = l->sort;
	if (at != NULL)
		qsort(at, n, sizeof(json_t *), compare);
	for (size_t i = 0; at != NULL && i < n && i < l->limit; i++)
		json_array_append(sorted, at[i]);
	free(at);
	json_decref(l->kept);
	l->kept = sorted;
}

static int take_page(struct cli *cli, struct listing *l, json_t *result)
{
	json_t *e;
	size_t i;

	json_array_foreach(json_object_get(result, "entries"), i, e)
	{
		if (l->sort == UNSORTED && l->messages == l->limit)
			return EXIT_OK;
		whole_message(cli, e, true);
		if (l->each != NULL)
			l->each(e);
		else if (l->sort == UNSORTED)
			show_entry(cli, l, e);
		else
			json_array_append(l->kept, e);
	}
	if (l->sort != UNSORTED && json_array_size(l->kept) >= 2 * l->limit + PAGE)
		trim(l);
	return EXIT_OK;
}

static int begin_page(struct cli *cli, json_t *selector, const struct listing *l, uint64_t seen,
	const char *cursor)
{
	uint64_t left = l->limit - seen;
	json_t *args = json_pack("{s:i,s:s}", "limit",
		l->sort != UNSORTED || left > PAGE ? PAGE : (int)left, "cursor", cursor);

	if (selector != NULL)
		json_object_set(args, "selector", selector);
	return client_begin(cli, "queue.list", args);
}

// What is shown of it is asked for on this connection, so the next page has to wait.
static bool in_parts(json_t *page)
{
	json_t *e;
	size_t i;

	json_array_foreach(json_object_get(page, "entries"), i, e)
	{
		if (number(e, "more_recipients") > 0)
			return true;
	}
	return false;
}

// Shows the page while the daemon makes the next one. *more: it was asked for.
static int show_page(struct cli *cli, json_t *selector, struct listing *l, json_t *page, bool *more)
{
	const char *next = json_string_value(json_object_get(page, "next"));
	size_t n = json_array_size(json_object_get(page, "entries"));
	bool parts = in_parts(page), sorted = l->sort != UNSORTED;
	uint64_t seen = l->messages + (sorted ? 0 : n);
	int status = EXIT_OK;

	*more = next != NULL && *next != '\0' && seen < l->limit;
	if (*more && !parts)
		status = begin_page(cli, selector, l, seen, next);
	take_page(cli, l, page);
	if (*more && parts)
		status = begin_page(cli, selector, l, seen, next);
	fflush(stdout); // a pipe reads on meanwhile
	return status;
}

static int list_pages(struct cli *cli, json_t *selector, struct listing *l)
{
	bool more = l->limit > 0;
	int status = more ? begin_page(cli, selector, l, 0, "") : EXIT_OK;

	while (more && status == EXIT_OK) {
		json_t *page;
		status = client_end(cli, &page);
		if (status != EXIT_OK)
			break;
		status = show_page(cli, selector, l, page, &more);
		json_decref(page);
	}
	return status;
}

int queue_pages(struct cli *cli, void (*fn)(json_t *message))
{
	struct listing l = {.limit = UINT64_MAX, .each = fn};

	return list_pages(cli, NULL, &l);
}

static void show_kept(struct cli *cli, struct listing *l)
{
	json_t *e;
	size_t i;

	trim(l);
	json_array_foreach(l->kept, i, e) show_entry(cli, l, e);
}

static bool read_sort(const char *word, enum sort *out)
{
	static const char *const words[] = {
		[OLDEST] = "oldest", [NEWEST] = "newest", [LARGEST] = "largest", [NEXT] = "next"};

	for (unsigned i = OLDEST; i <= NEXT; i++) {
		if (strcmp(words[i], word) == 0) {
			*out = (enum sort)i;
			return true;
		}
	}
	return false;
}

static void show_count(FILE *out, json_t *r)
{
	fprintf(out, "%lld messages, %lld recipients\n", number(r, "messages"),
		number(r, "recipients"));
}

static int count(struct cli *cli, json_t *selector)
{
	json_t *args = json_pack("{s:s}", "action", "count"), *tally = NULL;

	if (selector != NULL)
		json_object_set(args, "selector", selector);
	else
		json_object_set_new(args, "selector", json_pack("{s:b}", "everything", 1));
	int status = apply_all(cli, args, &tally);
	if (status == EXIT_OK && cli->json) {
		json_t *o =
			json_pack("{s:I,s:I}", "messages", (json_int_t)number(tally, "messages"),
				"recipients", (json_int_t)number(tally, "recipients"));
		put_json(o);
		json_decref(o);
	} else if (status == EXIT_OK) {
		show_count(stdout, tally);
	}
	json_decref(tally);
	return status;
}

static int list(struct cli *cli, json_t *args)
{
	json_t *selector = json_object_get(args, "selector");
	const char *sort = json_string_value(json_object_get(args, "sort"));
	json_t *limit = json_object_get(args, "limit");
	struct listing l = {.limit = UINT64_MAX};

	if (json_is_true(json_object_get(args, "count")))
		return count(cli, selector);
	if (limit != NULL)
		l.limit = (uint64_t)json_integer_value(limit);
	if (sort != NULL && !read_sort(sort, &l.sort))
		return opts_usage(
			"queue list", "--sort %s: give oldest, newest, largest or next", sort);
	if (l.sort != UNSORTED && limit == NULL)
		l.limit = 100;
	if (l.sort != UNSORTED && l.limit > SORTED_MAX)
		return opts_usage("queue list", "--limit: with --sort at most %d", SORTED_MAX);
	l.kept = json_array();
	int status = list_pages(cli, selector, &l);
	if (status == EXIT_OK && l.sort != UNSORTED)
		show_kept(cli, &l);
	json_decref(l.kept);
	if (status == EXIT_OK && !cli->json)
		show_queue_footer(stdout, l.messages, l.bytes);
	return status;
}

int verb_queue_list(struct cli *cli)
{
	static const struct opt own[] = {{"--limit", OPT_NUMBER, "limit"},
		{"--sort", OPT_TEXT, "sort"}, {"--count", OPT_FLAG, "count"},
		{NULL, OPT_FLAG, NULL}};
	static const struct opt *const tables[] = {opts_selector, own, NULL};
	json_t *args = json_object();
	int status = EXIT_USAGE;

	if (opts_parse(cli, "queue list", tables, args))
		status = cli->argc == 0
				 ? list(cli, args)
				 : opts_usage("queue list", "%s: takes no word", cli->argv[0]);
	json_decref(args);
	return status;
}

// ---- show and flush

int verb_queue_show(struct cli *cli)
{
	json_t *m;

	if (cli->argc != 1)
		return opts_usage("queue show", "give one queue id");
	int status = client_ask(cli, "queue.show", json_pack("{s:s}", "id", cli->argv[0]), &m);
	if (status != EXIT_OK)
		return status;
	whole_message(cli, m, false);
	if (cli->json)
		put_json(m);
	else
		show_message(stdout, m);
	json_decref(m);
	return EXIT_OK;
}

static void show_flushed(FILE *out, json_t *result)
{
	fprintf(out, "%lld messages will be tried now\n", number(result, "flushed"));
}

int verb_queue_flush(struct cli *cli)
{
	json_t *args = json_object();

	if (cli->argc > 1) {
		json_decref(args);
		return opts_usage("queue flush", "give at most one queue id");
	}
	if (cli->argc == 1)
		json_object_set_new(args, "id", json_string(cli->argv[0]));
	return ask_and_show(cli, "queue.flush", args, show_flushed);
}
