// SPDX-License-Identifier: BSD-3-Clause
#include "penstock.h"

#include <stdlib.h>
#include <unistd.h>

#define PAGE 500
#define IDS_PER_REQUEST 500

static int usage(const char *what)
{
	fprintf(stderr, "penstock: %s\nTry --help.\n", what);
	return EXIT_USAGE;
}

static void put_json(json_t *v)
{
	json_dumpf(v, stdout, JSON_COMPACT);
	putchar('\n');
}

// Asks once and shows the result as JSON or with `show`.
int ask_and_show(struct cli *cli, const char *verb, json_t *args, void (*show)(FILE *, json_t *))
{
	json_t *result;
	int status = client_ask(cli, verb, args, &result);

	if (status != EXIT_OK)
		return status;
	if (cli->json)
		put_json(result);
	else
		show(stdout, result);
	json_decref(result);
	return EXIT_OK;
}

int verb_status(struct cli *cli)
{
	if (cli->argc != 0)
		return usage("status takes no argument");
	return ask_and_show(cli, "status", json_object(), show_status);
}

int verb_counters(struct cli *cli)
{
	if (cli->argc != 0)
		return usage("counters takes no argument");
	return ask_and_show(cli, "counters", json_object(), show_counters);
}

static void show_stop(FILE *out, json_t *result)
{
	(void)result;
	fputs("penstockd is stopping\n", out);
}

int verb_stop(struct cli *cli)
{
	if (cli->argc != 0)
		return usage("stop takes no argument");
	return ask_and_show(cli, "stop", json_object(), show_stop);
}

// One page; *cursor is replaced by the next one, NULL at the end.
static int list_page(struct cli *cli, char **cursor, uint64_t *messages, uint64_t *bytes)
{
	json_t *args = json_pack("{s:i,s:s}", "limit", PAGE, "cursor", *cursor), *result, *e;
	size_t i;
	int status = client_ask(cli, "queue.list", args, &result);

	free(*cursor);
	*cursor = NULL;
	if (status != EXIT_OK)
		return status;
	json_array_foreach(json_object_get(result, "entries"), i, e)
	{
		if (cli->json) {
			put_json(e);
		} else {
			if (*messages == 0)
				show_queue_header(stdout);
			show_queue_entry(stdout, e);
		}
		++*messages;
		*bytes += (uint64_t)json_number_value(json_object_get(e, "message_size"));
	}
	const char *next = json_string_value(json_object_get(result, "next"));
	if (next != NULL && *next != '\0')
		*cursor = strdup(next);
	json_decref(result);
	return EXIT_OK;
}

int verb_queue_list(struct cli *cli)
{
	uint64_t messages = 0, bytes = 0;
	char *cursor = strdup("");
	int status = EXIT_OK;

	if (cli->argc != 0) {
		free(cursor);
		return usage("queue list takes no argument");
	}
	while (cursor != NULL && status == EXIT_OK)
		status = list_page(cli, &cursor, &messages, &bytes);
	if (status == EXIT_OK && !cli->json)
		show_queue_footer(stdout, messages, bytes);
	return status;
}

int verb_queue_show(struct cli *cli)
{
	if (cli->argc != 1)
		return usage("queue show wants one queue id");
	return ask_and_show(
		cli, "queue.show", json_pack("{s:s}", "id", cli->argv[0]), show_message);
}

static void show_flushed(FILE *out, json_t *result)
{
	fprintf(out, "%lld messages will be tried now\n",
		(long long)json_integer_value(json_object_get(result, "flushed")));
}

int verb_queue_flush(struct cli *cli)
{
	json_t *args = json_object();

	if (cli->argc > 1) {
		json_decref(args);
		return usage("queue flush takes at most one queue id");
	}
	if (cli->argc == 1)
		json_object_set_new(args, "id", json_string(cli->argv[0]));
	return ask_and_show(cli, "queue.flush", args, show_flushed);
}

static void show_held(FILE *out, json_t *result)
{
	fputs(json_object_get(result, "held") != NULL ? "the message is on hold\n"
						      : "the message was released\n",
		out);
}

int verb_queue_hold(struct cli *cli)
{
	if (cli->argc != 1)
		return usage("queue hold takes one queue id");
	return ask_and_show(cli, "queue.hold", json_pack("{s:s}", "id", cli->argv[0]), show_held);
}

int verb_queue_release(struct cli *cli)
{
	if (cli->argc != 1)
		return usage("queue release takes one queue id");
	return ask_and_show(
		cli, "queue.release", json_pack("{s:s}", "id", cli->argv[0]), show_held);
}

// Reads ids from standard input, as postsuper -d - does.
static bool next_id(struct cli *cli, int *at, char line[64], const char **id)
{
	if (cli->argc == 1 && strcmp(cli->argv[0], "-") == 0) {
		while (fgets(line, 64, stdin) != NULL) {
			line[strcspn(line, " \t\r\n*!")] = '\0';
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

static int delete_some(struct cli *cli, json_t *args, uint64_t *deleted, json_t *missing)
{
	json_t *result;
	int status = client_ask(cli, "queue.delete", args, &result);

	if (status != EXIT_OK)
		return status;
	*deleted += (uint64_t)json_integer_value(json_object_get(result, "deleted"));
	json_t *list = json_object_get(result, "missing");
	if (json_is_array(list))
		json_array_extend(missing, list);
	json_decref(result);
	return EXIT_OK;
}

static int delete_all(struct cli *cli, uint64_t *deleted, json_t *missing)
{
	char line[64];
	const char *id;
	int at = 0, status = EXIT_OK;

	if (cli->argc == 1 && strcmp(cli->argv[0], "ALL") == 0)
		return delete_some(cli, json_pack("{s:b}", "all", 1), deleted, missing);
	bool more = next_id(cli, &at, line, &id);
	while (more && status == EXIT_OK) {
		json_t *ids = json_array();
		for (int n = 0; more && n < IDS_PER_REQUEST; n++) {
			json_array_append_new(ids, json_string(id));
			more = next_id(cli, &at, line, &id);
		}
		status = delete_some(cli, json_pack("{s:o}", "ids", ids), deleted, missing);
	}
	return status;
}

int verb_queue_delete(struct cli *cli)
{
	uint64_t deleted = 0;
	json_t *missing = json_array(), *id;
	size_t i;

	if (cli->argc == 0) {
		json_decref(missing);
		return usage("queue delete wants queue ids, ALL, or - to read them");
	}
	int status = delete_all(cli, &deleted, missing);
	if (cli->json && status == EXIT_OK) {
		json_t *all =
			json_pack("{s:I,s:O}", "deleted", (json_int_t)deleted, "missing", missing);
		put_json(all);
		json_decref(all);
	} else if (status == EXIT_OK) {
		printf("%llu messages deleted\n", (unsigned long long)deleted);
	}
	json_array_foreach(missing, i, id)
		fprintf(stderr, "penstock: %s: no such message\n", json_string_value(id));
	if (status == EXIT_OK && json_array_size(missing) > 0)
		status = EXIT_REFUSED;
	json_decref(missing);
	return status;
}
