// SPDX-License-Identifier: BSD-3-Clause

// From a next hop to hosts: "lookup NEXTHOP", with answers as "dns NAME TYPE
// DATA..." lines, several of one name and type being one answer. DATA is
// "PREFERENCE HOST", an address, or servfail, nxdomain, nodata.

#include "policy_case.h"

#include "dns_wire.h"
#include "mx.h"
#include "mx_pick.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *type_name(uint16_t type)
{
	return type == PEN_DNS_MX     ? "MX"
	       : type == PEN_DNS_A    ? "A"
	       : type == PEN_DNS_AAAA ? "AAAA"
				      : "CNAME";
}

static void add_record(struct dns_answer *a, const struct case_line *l)
{
	struct pen_dns_record *r = &a->record[a->a.n++];

	*r = (struct pen_dns_record){0};
	if (strcmp(l->word[2], "MX") == 0) {
		r->preference = (uint16_t)atoi(l->word[3]);
		r->name = strcmp(l->word[4], ".") == 0 ? "" : l->word[4];
		r->bad_name = strchr(r->name, '?') != NULL;
	} else {
		pen_addr_parse(&r->addr, pen_span_cstr(l->word[3]));
	}
	a->a.status = PEN_DNS_OK;
}

static void answer(const struct policy_case *c, struct mx *m, const struct mx_query *q)
{
	static struct dns_answer a;

	dns_answer_none(&a, q->name, PEN_DNS_NXDOMAIN);
	a.a.record = a.record;
	for (int i = 0; i < c->n; i++) {
		const struct case_line *l = &c->line[i];
		if (strcmp(l->word[0], "dns") != 0 || l->n < 4 || strcmp(l->word[1], q->name) != 0)
			continue;
		if (a.a.status == PEN_DNS_NXDOMAIN)
			a.a.status = PEN_DNS_NODATA; // the name is there
		if (strcmp(l->word[2], type_name(q->type)) != 0)
			continue;
		if (strcmp(l->word[3], "servfail") == 0)
			a.a.status = PEN_DNS_FAILED;
		else if (strcmp(l->word[3], "nxdomain") == 0)
			a.a.status = PEN_DNS_NXDOMAIN;
		else if (strcmp(l->word[3], "nodata") != 0)
			add_record(&a, l);
	}
	mx_answer(m, q->id, &a.a);
}

static bool option(const struct policy_case *c, const char *word)
{
	for (int i = 0; i < c->n; i++) {
		if (strcmp(c->line[i].word[0], "option") == 0 &&
			strcmp(c->line[i].word[1], word) == 0)
			return true;
	}
	return false;
}

static void check(struct policy_case *c, const struct case_line *e, const struct pen_dns_hosts *h)
{
	char status[32], hosts[2048] = "";
	const char *want;

	case_expect_text(c, "the outcome",
		h->dsn.klass == 2   ? "hosts"
		: h->dsn.klass == 5 ? "bounced"
				    : "deferred",
		e->word[1]);
	snprintf(status, sizeof(status), "%u.%u.%u", h->dsn.klass, h->dsn.subject, h->dsn.detail);
	if (e->n > 2 && strchr(e->word[2], '=') == NULL)
		case_expect_text(c, "the status", status, e->word[2]);
	if ((want = case_value(e, "text")) != NULL && strstr(h->dsn.text, want) == NULL)
		case_fail(c, "the text is \"%s\", expected \"%s\" in it", h->dsn.text, want);
	uint32_t six = 0;
	for (uint32_t i = 0; i < h->nhosts; i++) {
		six += h->host[i].addr.family == PEN_FAMILY_IP6;
		snprintf(hosts + strlen(hosts), sizeof(hosts) - strlen(hosts), "%s%s",
			i > 0 ? "," : "", h->host[i].name);
	}
	if ((want = case_value(e, "hosts")) != NULL)
		case_expect_text(c, "the hosts", hosts, want);
	char families[32];
	snprintf(families, sizeof(families), "%u+%u", six, h->nhosts - six);
	if ((want = case_value(e, "families")) != NULL)
		case_expect_text(c, "the IPv6 and IPv4 addresses", families, want);
	want = case_value(e, "warning");
	if (want != NULL && (strcmp(want, "yes") == 0) != (h->warning[0] != '\0'))
		case_fail(c, "the warning is \"%s\"", h->warning);
}

bool case_lookup(struct policy_case *c)
{
	struct pen_cidr net[4];
	struct mx_own own = {net, 0};
	struct mx_options o = {.pick = {.limit = 5, .balance = true},
		.validated = true,
		.host_lookup = MX_LOOKUP_DNS,
		.ip4 = true,
		.ip6 = true,
		.null_mx_postfix = option(c, "postfix-null-mx"),
		.ignore_mx_lookup_error = option(c, "ignore-mx-error"),
		.defer_if_no_address = option(c, "defer-if-no-address"),
		.relayhost = option(c, "relayhost"),
		.own = &own};
	const struct case_line *e = NULL;
	const char *text = NULL;
	struct pen_nexthop hop;

	for (int i = 0; i < c->n; i++) {
		const struct case_line *l = &c->line[i];
		if (strcmp(l->word[0], "lookup") == 0)
			text = l->word[1];
		if (strcmp(l->word[0], "expect") == 0)
			e = l;
		if (strcmp(l->word[0], "self") == 0) {
			pen_cidr_parse(&net[own.n], pen_span_cstr(l->word[1]), true);
			own.n += own.n < 3;
		}
	}
	if (text == NULL || e == NULL || pen_nexthop_parse(&hop, pen_span_cstr(text)) != NULL)
		return false;
	struct mx *m = mx_new(&hop, &o, 1);
	for (struct mx_query q; mx_next(m, &q);)
		answer(c, m, &q);
	if (mx_done(m)) {
		struct pen_dns_hosts *h = mx_take(m);
		check(c, e, h);
		pen_dns_hosts_free(h);
	} else {
		case_fail(c, "the lookup has no end");
	}
	mx_free(m);
	return true;
}
