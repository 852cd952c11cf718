// SPDX-License-Identifier: BSD-3-Clause

// penstock suspend and resume.

#include "opts.h"

#include <stdlib.h>
#include <string.h>

static bool known_scope(const char *word)
{
	static const char *const scopes[] = {"site", "domain", "tenant", "campaign", "source"};

	for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++) {
		if (strcmp(scopes[i], word) == 0)
			return true;
	}
	return false;
}

// "site NAME" of the command line; false: usage.
static bool read_target(struct cli *cli, const char *verb, json_t *args)
{
	if (cli->argc != 2 || !known_scope(cli->argv[0])) {
		opts_usage(
			verb, "give site, domain, tenant, campaign or source, and the name of one");
		return false;
	}
	json_object_set_new(args, "scope", json_string(cli->argv[0]));
	json_object_set_new(args, "name", json_string(cli->argv[1]));
	return true;
}

int verb_suspend_list(struct cli *cli)
{
	if (cli->argc != 0)
		return opts_usage("suspend list", "takes no argument");
	return ask_and_show(cli, "suspend.list", json_object(), show_suspensions);
}

int verb_suspend(struct cli *cli)
{
	static const struct opt own[] = {{"--for", OPT_AGE, "seconds"}, {"--at", OPT_TEXT, "at"},
		{"--reason", OPT_TEXT, "reason"}, {NULL, OPT_FLAG, NULL}};
	static const struct opt *const tables[] = {own, NULL};
	json_t *args = json_object();

	if (!opts_parse(cli, "suspend", tables, args) || !read_target(cli, "suspend", args)) {
		json_decref(args);
		return EXIT_USAGE;
	}
	if (json_object_get(args, "reason") == NULL) {
		json_decref(args);
		return opts_usage("suspend", "--reason TEXT is needed: others will ask");
	}
	return ask_and_show(cli, "suspend", args, show_suspended);
}

static void show_resumed(FILE *out, json_t *r)
{
	fprintf(out, "%lld suspensions ended%s\n",
		(long long)json_integer_value(json_object_get(r, "resumed")),
		json_is_true(json_object_get(r, "rules_cleared")) ? ", and what rules had set"
								  : "");
}

int verb_resume(struct cli *cli)
{
	static const struct opt own[] = {{"--at", OPT_TEXT, "at"}, {NULL, OPT_FLAG, NULL}};
	static const struct opt *const tables[] = {own, NULL};
	json_t *args = json_object();
	char *end;

	if (!opts_parse(cli, "resume", tables, args)) {
		json_decref(args);
		return EXIT_USAGE;
	}
	long long id = cli->argc == 1 ? strtoll(cli->argv[0], &end, 10) : 0;
	if (id > 0 && *end == '\0') {
		json_object_set_new(args, "id", json_integer(id));
	} else if (!read_target(cli, "resume", args)) {
		json_decref(args);
		return EXIT_USAGE;
	}
	return ask_and_show(cli, "resume", args, show_resumed);
}
