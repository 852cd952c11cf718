// SPDX-License-Identifier: BSD-3-Clause

// penstock explain: what would become of mail for an address, step by step.

#include "penstock.h"

#include <string.h>

static void put(FILE *out, const char *s)
{
	for (; s != NULL && *s != '\0'; s++)
		fputc((unsigned char)*s >= ' ' && *s != 0x7f ? *s : '?', out);
}

static const char *text_of(json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static long long number_of(json_t *o, const char *key)
{
	return (long long)json_number_value(json_object_get(o, key));
}

// "key      value", nothing when the value is missing.
static void put_line(FILE *out, const char *label, const char *value)
{
	if (value == NULL || *value == '\0')
		return;
	fprintf(out, "  %-16s ", label);
	put(out, value);
	fputc('\n', out);
}

static void put_list(FILE *out, const char *label, json_t *list)
{
	json_t *v;
	size_t i;

	if (json_array_size(list) == 0)
		return;
	fprintf(out, "  %-16s", label);
	json_array_foreach(list, i, v)
	{
		fputs(i > 0 ? ", " : " ", out);
		put(out, json_string_value(v));
	}
	fputc('\n', out);
}

static void put_status(FILE *out, json_t *o)
{
	put(out, text_of(o, "result"));
	fputc(' ', out);
	put(out, text_of(o, "status"));
	const char *text = text_of(o, "text");
	if (text != NULL && *text != '\0' && strcmp(text, "ok") != 0) {
		fputs(" (", out);
		put(out, text);
		fputc(')', out);
	}
	fputc('\n', out);
}

static void show_route(FILE *out, json_t *r)
{
	json_t *route = json_object_get(r, "route");

	fputs("route: ", out);
	put(out, text_of(route, "transport"));
	if (text_of(route, "nexthop") != NULL) {
		fputs(" to ", out);
		put(out, text_of(route, "nexthop"));
		fputc('\n', out);
	} else {
		fputc(' ', out);
		put_status(out, route);
	}
}

static void show_mx(FILE *out, json_t *mx)
{
	json_t *h;
	size_t i;

	fprintf(out, "hosts: %s",
		json_is_true(json_object_get(mx, "from_mx")) ? "from MX records, DNSSEC "
							     : "the name itself, no MX\n");
	if (json_is_true(json_object_get(mx, "from_mx")))
		fprintf(out, "%s\n", text_of(mx, "dnssec"));
	put_line(out, "alias", text_of(mx, "domain_canonical"));
	json_array_foreach(json_object_get(mx, "hosts"), i, h)
	{
		fprintf(out, "  %-6lld ", number_of(h, "preference"));
		put(out, text_of(h, "host"));
		fprintf(out, " [%s]:%lld, %s", text_of(h, "address"), number_of(h, "port"),
			text_of(h, "dnssec"));
		if (text_of(h, "canonical") != NULL) {
			fputs(", an alias of ", out);
			put(out, text_of(h, "canonical"));
		}
		fputc('\n', out);
	}
	put_line(out, "warning", text_of(mx, "warning"));
}

static void show_sts(FILE *out, json_t *sts)
{
	if (!json_is_true(json_object_get(sts, "asked"))) {
		fputs("MTA-STS: not asked\n", out);
		return;
	}
	fputs("MTA-STS: ", out);
	put(out, text_of(sts, "mode"));
	fputc('\n', out);
	put_line(out, "id", text_of(sts, "id"));
	put_list(out, "mx", json_object_get(sts, "mx"));
	put_line(out, "failure", text_of(sts, "failure"));
}

static void show_what_if(FILE *out, json_t *t)
{
	static const struct {
		const char *key, *label;
	} cases[] = {{"connect", "not connected"}, {"if_starttls_not_offered", "no STARTTLS"},
		{"if_starttls_refused", "STARTTLS refused"}, {"if_handshake_fails", "no handshake"},
		{"if_certificate_differs", "wrong certificate"},
		{"if_requiretls_not_offered", "no REQUIRETLS"}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *v = json_object_get(t, cases[i].key);
		if (v == NULL)
			continue;
		fprintf(out, "    %-17s %s, tls=%s", cases[i].label, text_of(v, "action"),
			text_of(v, "tls"));
		json_t *last = json_object_get(v, "at_the_last_host");
		if (last != NULL) {
			fputs("; at the last host ", out);
			put_status(out, last);
		} else {
			fputc('\n', out);
		}
	}
}

static void show_tls(FILE *out, json_t *t)
{
	json_t *a;
	size_t i;

	fputs("TLS with ", out);
	put(out, text_of(t, "host"));
	fprintf(out, ": %s\n", text_of(t, "level"));
	put_line(out, "rule", text_of(t, "rule"));
	put_line(out, "requiretls", text_of(t, "requiretls"));
	put_list(out, "match", json_object_get(t, "match"));
	put_line(out, "server name", text_of(t, "servername"));
	json_array_foreach(json_object_get(t, "tlsa"), i, a)
	{
		fprintf(out, "  %-16s ", "TLSA");
		put(out, text_of(a, "base"));
		fprintf(out, ": %s, %s\n", text_of(a, "answer"), text_of(a, "dnssec"));
		put_list(out, "", json_object_get(a, "records"));
	}
	put_line(out, "warning", text_of(t, "warning"));
	show_what_if(out, t);
}

static void show_hop(FILE *out, json_t *hop)
{
	json_t *t;
	size_t i;

	fputs("lookup: ", out);
	put_status(out, json_object_get(hop, "lookup"));
	if (json_object_get(hop, "mx") == NULL)
		return;
	show_mx(out, json_object_get(hop, "mx"));
	show_sts(out, json_object_get(hop, "sts"));
	put_list(out, "TLSRPT to", json_object_get(json_object_get(hop, "tlsrpt"), "rua"));
	put_line(out, "warning", text_of(hop, "warning"));
	json_array_foreach(json_object_get(hop, "tls"), i, t) show_tls(out, t);
	fputs("site: ", out);
	put(out, text_of(hop, "site"));
	fprintf(out, ", for %lld s\n", number_of(hop, "ttl"));
}

void show_explain(FILE *out, json_t *r)
{
	json_t *s, *limits = json_object_get(r, "limits");
	const char *key;
	json_t *v;
	size_t i;

	show_route(out, r);
	json_t *hop = json_object_get(r, "hop");
	if (hop == NULL)
		return;
	show_hop(out, hop);
	json_t *sources = json_object_get(r, "sources");
	fprintf(out, "sources: %lld\n", number_of(sources, "count"));
	json_array_foreach(json_object_get(sources, "first"), i, s)
	{
		fprintf(out, "  %-16s %s as ", text_of(s, "name"), text_of(s, "address"));
		put(out, text_of(s, "helo"));
		fputc('\n', out);
	}
	fputs("limits:", out);
	json_object_foreach(limits, key, v)
		fprintf(out, " %s %lld", key, (long long)json_integer_value(v));
	fputc('\n', out);
}

int verb_explain(struct cli *cli)
{
	json_t *args = json_object();

	for (int i = 0; i < cli->argc; i++) {
		const char *a = cli->argv[i];
		if (strcmp(a, "--requiretls") == 0) {
			json_object_set_new(args, "requiretls", json_true());
		} else if (strcmp(a, "--tls-optional") == 0) {
			json_object_set_new(args, "tls_optional", json_true());
		} else if (strcmp(a, "--sender") == 0 && i + 1 < cli->argc) {
			json_object_set_new(args, "sender", json_string(cli->argv[++i]));
		} else if (a[0] != '-' && json_object_get(args, "address") == NULL) {
			json_object_set_new(args, "address", json_string(a));
		} else {
			fprintf(stderr, "penstock: explain: unexpected %s\nTry --help.\n", a);
			json_decref(args);
			return EXIT_USAGE;
		}
	}
	if (json_object_get(args, "address") == NULL) {
		fputs("penstock: explain wants an address\nTry --help.\n", stderr);
		json_decref(args);
		return EXIT_USAGE;
	}
	return ask_and_show(cli, "explain", args, show_explain);
}
