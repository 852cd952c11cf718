// SPDX-License-Identifier: BSD-3-Clause

// penstock tlsrpt: TLS reports of the day, those that wait, and those sent.

#include "penstock.h"

#include <string.h>

static const char *text_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static long long number_of(json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

static void show_list(FILE *out, json_t *result)
{
	json_t *r, *list = json_object_get(result, "reports");
	size_t i;

	if (json_array_size(list) == 0)
		fputs("no domain that asks for reports was met\n", out);
	json_array_foreach(list, i, r) fprintf(out, "%s  %-9s %8lld ok %8lld failed  %s\n",
		text_of(r, "day"), text_of(r, "state"), number_of(r, "success"),
		number_of(r, "failure"), text_of(r, "domain"));
}

static void show_report(FILE *out, json_t *result)
{
	json_dumpf(result, out, JSON_INDENT(2));
	fputc('\n', out);
}

static void show_sent(FILE *out, json_t *result)
{
	json_t *r;
	size_t i;

	json_array_foreach(json_object_get(result, "reports"), i, r)
	{
		bool sent = json_is_true(json_object_get(r, "sent"));
		fprintf(out, "%s %s: %s%s\n", text_of(r, "day"), text_of(r, "domain"),
			sent ? "sent" : "not sent: ", sent ? "" : text_of(r, "why"));
	}
}

// "DOMAIN", "--day DAY", both or neither.
static bool parse(struct cli *cli, json_t *args)
{
	for (int i = 0; i < cli->argc; i++) {
		const char *a = cli->argv[i];
		if (strcmp(a, "--day") == 0 && i + 1 < cli->argc) {
			json_object_set_new(args, "day", json_string(cli->argv[++i]));
		} else if (a[0] != '-' && json_object_get(args, "domain") == NULL) {
			json_object_set_new(args, "domain", json_string(a));
		} else {
			fprintf(stderr, "penstock: tlsrpt: unexpected %s\nTry --help.\n", a);
			return false;
		}
	}
	return true;
}

static int ask(struct cli *cli, const char *verb, void (*show)(FILE *, json_t *))
{
	json_t *args = json_object();

	if (parse(cli, args))
		return ask_and_show(cli, verb, args, show);
	json_decref(args);
	return EXIT_USAGE;
}

int verb_tlsrpt_list(struct cli *cli)
{
	return ask(cli, "tlsrpt.list", show_list);
}

int verb_tlsrpt_show(struct cli *cli)
{
	if (cli->argc == 0) {
		fputs("penstock: tlsrpt show wants a domain\nTry --help.\n", stderr);
		return EXIT_USAGE;
	}
	return ask(cli, "tlsrpt.show", show_report);
}

int verb_tlsrpt_send(struct cli *cli)
{
	return ask(cli, "tlsrpt.send", show_sent);
}
