// SPDX-License-Identifier: BSD-3-Clause

// penstock reload: the daemon reads its configuration again, or says why not.

#include "penstock.h"

#include <string.h>

static const char *text_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static void show_problem(json_t *p)
{
	long long line = (long long)json_integer_value(json_object_get(p, "line"));

	if (*text_of(p, "file") != '\0')
		fprintf(stderr, "%s:", text_of(p, "file"));
	if (line > 0)
		fprintf(stderr, "%lld:", line);
	fprintf(stderr, "%s%s: %s\n", *text_of(p, "file") != '\0' ? " " : "", text_of(p, "level"),
		text_of(p, "text"));
}

static void show_reload(FILE *out, json_t *result)
{
	json_t *one, *changed = json_object_get(result, "changed");
	size_t i;

	json_array_foreach(json_object_get(result, "problems"), i, one) show_problem(one);
	if (!json_is_true(json_object_get(result, "ok"))) {
		fputs("nothing was changed\n", stderr);
		return;
	}
	fputs(json_is_true(json_object_get(result, "reloaded")) ? "reloaded" : "good", out);
	json_array_foreach(changed, i, one)
		fprintf(out, "%s %s", i == 0 ? "; changed:" : ",", json_string_value(one));
	fputc('\n', out);
	json_array_foreach(json_object_get(result, "restart"), i, one)
		fprintf(out, "changed, but needs a restart: %s = %s (in effect: %s)\n",
			text_of(one, "name"), text_of(one, "value"), text_of(one, "in_effect"));
}

int verb_reload(struct cli *cli)
{
	bool check = cli->argc == 1 && strcmp(cli->argv[0], "--check") == 0;
	json_t *result;

	if (cli->argc > 0 && !check) {
		fprintf(stderr, "penstock: reload takes --check or nothing\n");
		return EXIT_USAGE;
	}
	int status = client_ask(cli, "reload", json_pack("{s:b}", "check", check), &result);
	if (status != EXIT_OK)
		return status;
	if (cli->json) {
		json_dumpf(result, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		show_reload(stdout, result);
	}
	status = json_is_true(json_object_get(result, "ok")) ? EXIT_OK : EXIT_REFUSED;
	json_decref(result);
	return status;
}
