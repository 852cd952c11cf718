// SPDX-License-Identifier: BSD-3-Clause
#include "opts.h"

#include <stdlib.h>
#include <string.h>

const struct opt opts_selector[] = {{"--site", OPT_TEXT, ".site"},
	{"--domain", OPT_TEXT, ".domain"}, {"--tenant", OPT_TEXT, ".tenant"},
	{"--campaign", OPT_TEXT, ".campaign"}, {"--pool", OPT_TEXT, ".pool"},
	{"--sender", OPT_TEXT, ".sender"}, {"--recipient", OPT_TEXT, ".recipient"},
	{"--older-than", OPT_AGE, ".older_than"}, {"--id", OPT_TEXT, ".id"},
	{"--state", OPT_TEXT, ".state"}, {"--in-doubt", OPT_FLAG, ".in_doubt"},
	{"--everything", OPT_FLAG, ".everything"}, {NULL, OPT_FLAG, NULL}};

int opts_usage(const char *verb, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "penstock: %s: ", verb);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("\nTry --help.\n", stderr);
	return EXIT_USAGE;
}

int64_t opts_age(const char *text)
{
	static const struct {
		const char *unit;
		int64_t seconds;
	} units[] = {{"", 1}, {"s", 1}, {"sec", 1}, {"m", 60}, {"min", 60}, {"h", 3600},
		{"hr", 3600}, {"hour", 3600}, {"hours", 3600}, {"d", 86400}, {"day", 86400},
		{"days", 86400}, {"w", 604800}, {"week", 604800}, {"weeks", 604800}};
	char *end;
	long long n = *text >= '0' && *text <= '9' ? strtoll(text, &end, 10) : 0;

	for (size_t i = 0; n > 0 && n < 1000000000 && i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].unit) == 0)
			return n * units[i].seconds;
	}
	return 0;
}

static const struct opt *find(const struct opt *const tables[], const char *arg, const char **value)
{
	size_t n = strcspn(arg, "=");

	for (; *tables != NULL; tables++) {
		for (const struct opt *o = *tables; o->name != NULL; o++) {
			if (strlen(o->name) == n && strncmp(o->name, arg, n) == 0) {
				*value = arg[n] == '=' ? arg + n + 1 : NULL;
				return o;
			}
		}
	}
	return NULL;
}

static json_t *value_of(const struct opt *o, const char *verb, const char *text)
{
	char *end;

	switch (o->kind) {
	case OPT_FLAG:
		break;
	case OPT_LIST:
	case OPT_TEXT: {
		json_t *s = *text != '\0' ? json_string(text) : NULL;
		if (s == NULL)
			opts_usage(verb, "%s wants a value", o->name);
		return s;
	}
	case OPT_NUMBER: {
		long long n = strtoll(text, &end, 10);
		if (n >= 1 && *end == '\0')
			return json_integer(n);
		opts_usage(verb, "%s %s: give a number from 1", o->name, text);
		return NULL;
	}
	case OPT_AGE:
		if (opts_age(text) > 0)
			return json_integer(opts_age(text));
		opts_usage(verb, "%s %s: give a time, such as 90s, 10min, 1h or 2d", o->name, text);
		return NULL;
	}
	return json_true();
}

static void set(json_t *args, const struct opt *o, json_t *value)
{
	const char *key = o->key;
	json_t *to = args;

	if (*key == '.') {
		key++;
		to = json_object_get(args, "selector");
		if (to == NULL) {
			to = json_object();
			json_object_set_new(args, "selector", to);
		}
	}
	json_t *list = o->kind == OPT_LIST ? json_object_get(to, key) : NULL;
	if (o->kind != OPT_LIST)
		json_object_set_new(to, key, value);
	else if (list != NULL)
		json_array_append_new(list, value);
	else
		json_object_set_new(to, key, json_pack("[o]", value));
}

bool opts_parse(struct cli *cli, const char *verb, const struct opt *const tables[], json_t *args)
{
	int words = 0;

	for (int i = 0; i < cli->argc; i++) {
		const char *a = cli->argv[i], *text = NULL;
		bool fixed = cli->fixed != 0 && i >= cli->fixed - 1;
		if (fixed || a[0] != '-' || a[1] == '\0') {
			cli->argv[words++] = cli->argv[i];
			continue;
		}
		const struct opt *o = find(tables, a, &text);
		if (o == NULL) {
			opts_usage(verb, "%s: unknown option", a);
			return false;
		}
		if (o->kind == OPT_FLAG && text != NULL) {
			opts_usage(verb, "%s takes no value", o->name);
			return false;
		}
		if (o->kind != OPT_FLAG && text == NULL && ++i < cli->argc)
			text = cli->argv[i];
		if (o->kind != OPT_FLAG && text == NULL) {
			opts_usage(verb, "%s wants a value", o->name);
			return false;
		}
		json_t *value = value_of(o, verb, text);
		if (value == NULL)
			return false;
		set(args, o, value);
	}
	cli->argc = words;
	return true;
}
