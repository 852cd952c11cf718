// SPDX-License-Identifier: BSD-3-Clause

// penstock site, source, pool, tenant, campaign, why: where mail waits, and for what.

#include "opts.h"

#include <string.h>
#include <time.h>

static const char *text_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static long long number(json_t *o, const char *key)
{
	return (long long)json_number_value(json_object_get(o, key));
}

static void put_for(FILE *out, long long s)
{
	if (s >= 86400)
		fprintf(out, "%lldd ", s / 86400);
	fprintf(out, "%02lld:%02lld:%02lld", s / 3600 % 24, s / 60 % 60, s % 60);
}

// ---- sites

static void show_site(FILE *out, json_t *s)
{
	fprintf(out, "%7lld %7lld %5lld/%-5lld %9lld %9lld %9lld  ",
		number(s, "queued") + number(s, "waiting"), number(s, "in_flight"),
		number(s, "connections"), number(s, "window"), number(s, "delivered"),
		number(s, "deferred"), number(s, "bounced"));
	put_safe(out, text_of(s, "site"));
	if (*text_of(s, "provider") != '\0') {
		fputs(" [", out);
		put_safe(out, text_of(s, "provider"));
		fputc(']', out);
	}
	fputc('\n', out);
	if (json_object_get(s, "dead_for") != NULL) {
		fputs("        cannot be reached, tried again in ", out);
		put_for(out, number(s, "dead_for"));
		fputs(": ", out);
		put_safe(out, text_of(s, "reason"));
		fputc('\n', out);
	}
	if (*text_of(s, "blocked") != '\0') {
		fputs("        ", out);
		put_safe(out, text_of(s, "blocked"));
		fputc('\n', out);
	}
}

static const char site_head[] =
	" queued  flying  conns/max   delivered  deferred   bounced  site\n";

static void show_sites(FILE *out, json_t *r)
{
	json_t *list = json_object_get(r, "sites"), *s;
	long long left = number(r, "total") - (long long)json_array_size(list);
	size_t i;

	if (json_array_size(list) == 0) {
		fputs("no such site\n", out);
		return;
	}
	fputs(site_head, out);
	json_array_foreach(list, i, s) show_site(out, s);
	if (left > 0)
		fprintf(out, "and %lld more\n", left);
}

int verb_site_list(struct cli *cli)
{
	static const struct opt own[] = {{"--sort", OPT_TEXT, "sort"},
		{"--limit", OPT_NUMBER, "limit"}, {"--provider", OPT_TEXT, "provider"},
		{"--dead", OPT_FLAG, "dead"}, {"--blocked", OPT_FLAG, "blocked"},
		{NULL, OPT_FLAG, NULL}};
	static const struct opt *const tables[] = {own, NULL};
	json_t *args = json_object();

	if (!opts_parse(cli, "site list", tables, args)) {
		json_decref(args);
		return EXIT_USAGE;
	}
	if (cli->argc > 1) {
		json_decref(args);
		return opts_usage("site list", "give at most one part of a name");
	}
	if (cli->argc == 1)
		json_object_set_new(args, "filter", json_string(cli->argv[0]));
	return ask_and_show(cli, "site.list", args, show_sites);
}

static void show_limit(FILE *out, json_t *l)
{
	json_t *release = json_object_get(l, "next_release_in");

	fprintf(out, "  %-20s %-12s used %-8lld ", text_of(l, "limit"), text_of(l, "value"),
		number(l, "used"));
	if (release == NULL)
		fputs("next when one ends   ", out);
	else if (json_number_value(release) > 0)
		fprintf(out, "next in %9.3f s  ", json_number_value(release));
	else
		fputs("next at once         ", out);
	put_safe(out, text_of(l, "holder"));
	fputc(' ', out);
	put_safe(out, text_of(l, "name"));
	fputs(", ", out);
	put_safe(out, text_of(l, "by"));
	fputc('\n', out);
}

static void show_suspension(FILE *out, json_t *s)
{
	time_t until = (time_t)number(s, "until");
	char stamp[40] = "until it is resumed";
	struct tm tm;

	if (until != 0) {
		localtime_r(&until, &tm);
		strftime(stamp, sizeof(stamp), "until %Y-%m-%d %H:%M:%S", &tm);
	}
	fprintf(out, "%6lld  %s ", number(s, "id"), text_of(s, "scope"));
	put_safe(out, text_of(s, "name"));
	if (*text_of(s, "at") != '\0') {
		fputs(" at ", out);
		put_safe(out, text_of(s, "at"));
	}
	fprintf(out, " %s, by ", stamp);
	put_safe(out, text_of(s, "by"));
	fputs(": ", out);
	put_safe(out, text_of(s, "reason"));
	fputc('\n', out);
}

static void show_dead_hosts(FILE *out, json_t *hosts)
{
	json_t *h;
	size_t i;

	json_array_foreach(hosts, i, h)
	{
		fputs("        dead ", out);
		put_safe(out, text_of(h, "host"));
		fprintf(out, "[%s] from %s ", text_of(h, "address"), text_of(h, "source"));
		if (number(h, "dead_for") > 0)
			fprintf(out, "for %lld s, ", number(h, "dead_for"));
		else
			fputs(json_is_true(json_object_get(h, "probed")) ? "asked again now, "
									 : "asked again next, ",
				out);
		fprintf(out, "%lld failures: ", number(h, "failures"));
		put_safe(out, text_of(h, "reason"));
		fputc('\n', out);
	}
}

static void show_site_whole(FILE *out, json_t *r)
{
	json_t *item;
	size_t i;

	fputs("site ", out);
	put_safe(out, text_of(r, "site"));
	if (*text_of(r, "provider") != '\0') {
		fputs(" of provider ", out);
		put_safe(out, text_of(r, "provider"));
	}
	fputs("\n\n", out);
	fputs(site_head, out);
	json_array_foreach(json_object_get(r, "parts"), i, item)
	{
		show_site(out, item);
		fputs("        key ", out);
		put_safe(out, text_of(item, "key"));
		fprintf(out, ", %lld flows\n", number(item, "flows"));
		show_dead_hosts(out, json_object_get(item, "dead_hosts"));
	}
	if (json_array_size(json_object_get(r, "limits")) > 0)
		fputs("\nlimits\n", out);
	json_array_foreach(json_object_get(r, "limits"), i, item) show_limit(out, item);
	if (json_array_size(json_object_get(r, "suspensions")) > 0)
		fputs("\nsuspensions\n", out);
	json_array_foreach(json_object_get(r, "suspensions"), i, item) show_suspension(out, item);
}

int verb_site_show(struct cli *cli)
{
	if (cli->argc != 1)
		return opts_usage("site show", "give one site, as site list names it");
	return ask_and_show(
		cli, "site.show", json_pack("{s:s}", "name", cli->argv[0]), show_site_whole);
}

void show_suspensions(FILE *out, json_t *r)
{
	json_t *s, *list = json_object_get(r, "suspensions");
	size_t i;

	if (json_array_size(list) == 0)
		fputs("nothing is suspended\n", out);
	json_array_foreach(list, i, s) show_suspension(out, s);
}

void show_suspended(FILE *out, json_t *s)
{
	show_suspension(out, s);
}

// ---- owners

static void put_limits(FILE *out, json_t *o)
{
	json_t *limits = json_object_get(o, "limits"), *v;
	const char *key;

	if (json_object_get(o, "weight") != NULL)
		fprintf(out, "  weight %lld", number(o, "weight"));
	if (*text_of(o, "pool") != '\0')
		fprintf(out, "  pool %s", text_of(o, "pool"));
	json_object_foreach(limits, key, v)
	{
		fprintf(out, "  %s ", key);
		if (json_is_string(v))
			put_safe(out, json_string_value(v));
		else
			fprintf(out, "%lld", (long long)json_integer_value(v));
	}
}

static void show_owners(FILE *out, json_t *list, const char *what)
{
	json_t *o, *s;
	size_t i, k;

	fputs(" queued   flying deferred     held  ", out);
	fprintf(out, "%s\n", what);
	json_array_foreach(list, i, o)
	{
		fprintf(out, "%7lld  %7lld  %7lld  %7lld  ", number(o, "recipients"),
			number(o, "in_flight"), number(o, "deferred"), number(o, "held"));
		put_safe(out, *text_of(o, "name") != '\0' ? text_of(o, "name") : "(none)");
		put_limits(out, o);
		json_array_foreach(json_object_get(o, "sources"), k, s) fprintf(out, "%s%s = %lld",
			k == 0 ? "  sources " : ", ", text_of(s, "source"), number(s, "weight"));
		fputc('\n', out);
	}
}

static void show_tenants(FILE *out, json_t *r)
{
	show_owners(out, json_object_get(r, "tenants"), "tenant");
}

static void show_campaigns(FILE *out, json_t *r)
{
	show_owners(out, json_object_get(r, "campaigns"), "campaign");
}

static void show_pools(FILE *out, json_t *r)
{
	show_owners(out, json_object_get(r, "pools"), "pool");
}

static void show_sources(FILE *out, json_t *r)
{
	json_t *o, *s;
	size_t i, k;

	json_array_foreach(json_object_get(r, "sources"), i, o)
	{
		fprintf(out, "%-16s %-40s ", text_of(o, "name"), text_of(o, "address"));
		put_safe(out, text_of(o, "helo"));
		put_limits(out, o);
		fputc('\n', out);
		json_array_foreach(json_object_get(o, "suspensions"), k, s) show_suspension(out, s);
	}
}

static int owners(
	struct cli *cli, const char *verb, const char *request, void (*show)(FILE *, json_t *))
{
	static const struct opt own[] = {{"--limit", OPT_NUMBER, "limit"}, {NULL, OPT_FLAG, NULL}};
	static const struct opt *const tables[] = {own, opts_selector, NULL};
	json_t *args = json_object();

	if (opts_parse(cli, verb, tables, args) && cli->argc == 0)
		return ask_and_show(cli, request, args, show);
	json_decref(args);
	return cli->argc > 0 ? opts_usage(verb, "%s: takes no word", cli->argv[0]) : EXIT_USAGE;
}

int verb_tenant_list(struct cli *cli)
{
	return owners(cli, "tenant list", "tenant.list", show_tenants);
}

int verb_campaign_list(struct cli *cli)
{
	return owners(cli, "campaign list", "campaign.list", show_campaigns);
}

int verb_pool_list(struct cli *cli)
{
	return owners(cli, "pool list", "pool.list", show_pools);
}

int verb_source_list(struct cli *cli)
{
	if (cli->argc != 0)
		return opts_usage("source list", "takes no argument");
	return ask_and_show(cli, "source.list", json_object(), show_sources);
}

// ---- why

static void show_why(FILE *out, json_t *r)
{
	put_safe(out, text_of(r, "queue_id"));
	fputs(": ", out);
	put_safe(out, text_of(r, "text"));
	fputc('\n', out);
}

int verb_why(struct cli *cli)
{
	if (cli->argc != 1)
		return opts_usage("why", "give one queue id");
	return ask_and_show(cli, "why", json_pack("{s:s}", "id", cli->argv[0]), show_why);
}
