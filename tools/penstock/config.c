// SPDX-License-Identifier: BSD-3-Clause

// config check and show: the daemon's own reader of main.cf, run here.

#include "penstock.h"

#include "pen_config.h"
#include "pen_tls_decide.h"

#include <stdlib.h>

struct problems {
	bool json;
	json_t *list;
};

static void note(void *ctx, const struct pen_report_entry *e)
{
	struct problems *p = ctx;
	char text[2048];

	if (!p->json) {
		fprintf(stderr, "%s\n", pen_report_format(e, text, sizeof(text)));
		return;
	}
	json_t *one = json_pack("{s:s,s:s?,s:i,s:s}", "level",
		e->level == PEN_REPORT_ERROR ? "error" : "warning", "file", e->file, "line",
		(int)e->line, "text", e->text);
	if (one == NULL) // bytes that are not UTF-8
		one = json_pack("{s:s,s:i,s:s}", "level", "error", "line", (int)e->line, "text",
			"the text of this problem is not UTF-8");
	json_array_append_new(p->list, one);
}

int verb_config_check(struct cli *cli)
{
	struct problems p = {cli->json, json_array()};
	struct pen_report r = {.fn = note, .ctx = &p};

	if (cli->argc != 0) {
		json_decref(p.list);
		fprintf(stderr, "penstock: config check takes no argument\n");
		return EXIT_USAGE;
	}
	struct pen_config *c = pen_config_load(cli->directory, &r);
	if (c != NULL)
		pen_tls_settings_free(pen_tls_settings_new(c, NULL, NULL, &r));
	bool ok = c != NULL && r.errors == 0;
	pen_config_free(c);
	if (cli->json) {
		json_t *all = json_pack("{s:b,s:i,s:i,s:O}", "ok", ok, "errors", (int)r.errors,
			"warnings", (int)r.warnings, "problems", p.list);
		json_dumpf(all, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(all);
	} else if (ok) {
		printf("%s: good, %u warnings\n", cli->directory, r.warnings);
	} else {
		printf("%s: %u errors, %u warnings\n", cli->directory, r.errors, r.warnings);
	}
	json_decref(p.list);
	return ok ? EXIT_OK : EXIT_REFUSED;
}

struct shown {
	struct cli *cli;
	json_t *json; // NULL: text
	int seen;
};

static bool wanted(const struct cli *cli, const char *name)
{
	for (int i = 0; i < cli->argc; i++) {
		if (strcmp(cli->argv[i], name) == 0)
			return true;
	}
	return cli->argc == 0;
}

static void show_one(void *ctx, const struct pen_param_desc *desc, const char *value)
{
	struct shown *s = ctx;

	if (!wanted(s->cli, desc->name))
		return;
	s->seen++;
	if (s->json == NULL) {
		printf("%s =%s%s\n", desc->name, *value != '\0' ? " " : "", value);
		return;
	}
	json_t *v = json_string(value);
	json_object_set_new(s->json, desc->name, v != NULL ? v : json_null());
}

// Takes the verb's own options out of argv.
static unsigned take_flags(struct cli *cli, bool *bad)
{
	unsigned flags = 0;
	int n = 0;

	for (int i = 0; i < cli->argc; i++) {
		const char *a = cli->argv[i];
		if (strcmp(a, "--non-default") == 0 || strcmp(a, "-n") == 0)
			flags |= PEN_SHOW_CHANGED;
		else if (strcmp(a, "--expanded") == 0 || strcmp(a, "-x") == 0)
			flags |= PEN_SHOW_EXPANDED;
		else if (a[0] == '-')
			*bad = true;
		else
			cli->argv[n++] = cli->argv[i];
	}
	cli->argc = n;
	return flags;
}

static bool known(const char *name)
{
	for (size_t i = 0; i < pen_param_count; i++) {
		if (strcmp(pen_param_table[i].name, name) == 0)
			return true;
	}
	return false;
}

int verb_config_show(struct cli *cli)
{
	struct problems p = {false, NULL};
	struct pen_report r = {.fn = note, .ctx = &p};
	bool bad = false;
	unsigned flags = take_flags(cli, &bad);
	int status = EXIT_OK;

	if (bad) {
		fprintf(stderr, "penstock: config show: unknown option\nTry --help.\n");
		return EXIT_USAGE;
	}
	for (int i = 0; i < cli->argc; i++) {
		if (!known(cli->argv[i])) {
			fprintf(stderr, "penstock: %s: unknown parameter\n", cli->argv[i]);
			status = EXIT_REFUSED;
		}
	}
	struct pen_config *c = pen_config_load(cli->directory, &r);
	if (c == NULL)
		return EXIT_REFUSED;
	struct shown s = {cli, cli->json ? json_object() : NULL, 0};
	pen_params_each(&c->params, flags, show_one, &s);
	if (s.json != NULL) {
		json_dumpf(s.json, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(s.json);
	}
	pen_config_free(c);
	return status;
}
