// SPDX-License-Identifier: BSD-3-Clause
#include "penstock.h"

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
