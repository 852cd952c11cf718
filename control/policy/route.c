// SPDX-License-Identifier: BSD-3-Clause
#include "pen_route.h"

#include <stdio.h>

#define ADDRESS_MAX 1024

// A table result, cut at its first colon.
struct result {
	struct pen_span transport;
	struct pen_span nexthop;
};

static struct result split_result(struct pen_span text)
{
	ptrdiff_t colon = pen_span_find(text, ':');
	struct result r = {.transport = text};

	if (colon >= 0) {
		r.transport = pen_span(text.p, (size_t)colon);
		r.nexthop = pen_span_trim(pen_span_from(text, (size_t)colon + 1));
	}
	r.transport = pen_span_trim(r.transport);
	return r;
}

static bool is_transport(struct pen_span name, const char *what)
{
	return pen_span_eq(name, pen_span_cstr(what));
}

static bool is_smtp(struct pen_span name)
{
	return name.n == 0 || is_transport(name, "smtp") || is_transport(name, "relay");
}

static bool is_lmtp(struct pen_span name)
{
	return is_transport(name, "lmtp");
}

// LMTP knows no MX: "host", "host:port", "inet:host" are the host itself.
static const char *parse_lmtp(struct pen_nexthop *hop, struct pen_span text)
{
	if (pen_span_istarts(text, PEN_SPAN_LIT("unix:")))
		return "only LMTP over TCP is offered";
	if (pen_span_istarts(text, PEN_SPAN_LIT("inet:")))
		text = pen_span_from(text, 5);
	if (text.n == 0)
		return "LMTP needs a host";
	const char *wrong = pen_nexthop_parse(hop, text);
	bool port = text.p[0] != '[' ? pen_span_find(text, ':') >= 0 : text.p[text.n - 1] != ']';
	hop->literal = true;
	if (!port)
		hop->port = PEN_LMTP_PORT;
	return wrong;
}

static bool find_domain(const struct pen_maps *maps, struct pen_span domain, struct pen_span *value)
{
	if (pen_maps_find(maps, domain, value))
		return true;
	for (;;) {
		ptrdiff_t dot = pen_span_find(pen_span_from(domain, 1), '.');
		if (dot < 0)
			return false;
		domain = pen_span_from(domain, (size_t)dot + 1);
		if (pen_maps_find(maps, domain, value))
			return true;
	}
}

static bool find_result(const struct pen_routing *routing, struct pen_span address,
	struct pen_span domain, struct result *out)
{
	const struct pen_maps *maps = routing->transport_maps;
	struct pen_span value;

	if (maps == NULL || maps->n == 0)
		return false;
	if (!pen_maps_find(maps, address, &value) && !find_domain(maps, domain, &value) &&
		!pen_maps_find(maps, PEN_SPAN_LIT("*"), &value))
		return false;
	*out = split_result(value);
	// ":" asks for what would be done without the table.
	return out->transport.n > 0 || out->nexthop.n > 0;
}

// fail_with fills the dsn from "5.1.1 text"; the transport decides the class.
static void fail_with(
	struct pen_route *out, unsigned klass, struct pen_span text, const char *without)
{
	uint8_t said;
	uint16_t subject = 0, detail = 0;
	size_t used = pen_dsn_parse_status(text, &said, &subject, &detail);
	struct pen_span rest = pen_span_trim(pen_span_from(text, used));

	if (rest.n == 0)
		rest = pen_span_cstr(without);
	if (rest.n > PEN_DSN_TEXT_MAX)
		rest.n = PEN_DSN_TEXT_MAX;
	out->kind = klass == 2 ? PEN_ROUTE_DISCARD : PEN_ROUTE_FAIL;
	pen_dsn_set(&out->dsn, klass, subject, detail, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_POLICY,
		PEN_STAGE_NONE, "%.*s", PEN_SPAN_ARG(rest));
}

typedef const char *parse_fn(struct pen_nexthop *hop, struct pen_span text);

static void to_nexthop(
	struct pen_route *out, enum pen_route_kind kind, parse_fn *parse, struct pen_span text)
{
	struct pen_nexthop hop;
	const char *wrong = parse(&hop, text);

	if (wrong == NULL) {
		out->kind = kind;
		pen_nexthop_str(&hop, out->nexthop);
		return;
	}
	out->kind = PEN_ROUTE_FAIL;
	pen_dsn_set(&out->dsn, 4, 3, 5, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_POLICY, PEN_STAGE_NONE,
		"server configuration error: next hop \"%.*s\": %s",
		(int)(text.n < 100 ? text.n : 100), (const char *)text.p, wrong);
}

static void to_domain(struct pen_route *out, struct pen_span domain)
{
	struct pen_nexthop hop;

	// Only a literal may have a colon: user@example.com:26 is no address.
	bool port = domain.n > 0 && domain.p[0] != '[' && pen_span_find(domain, ':') >= 0;
	const char *wrong = pen_nexthop_parse(&hop, domain);
	if (wrong == NULL && !port && hop.port == PEN_NEXTHOP_PORT) {
		out->kind = PEN_ROUTE_SMTP;
		pen_nexthop_str(&hop, out->nexthop);
		return;
	}
	out->kind = PEN_ROUTE_FAIL;
	pen_dsn_set(&out->dsn, 5, 1, 2, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_POLICY, PEN_STAGE_NONE,
		"bad recipient domain \"%.*s\"", (int)(domain.n < 255 ? domain.n : 255),
		(const char *)domain.p);
}

static void apply_result(struct pen_route *out, const struct result *r, struct pen_span domain)
{
	if (is_smtp(r->transport)) {
		if (r->nexthop.n > 0)
			to_nexthop(out, PEN_ROUTE_SMTP, pen_nexthop_parse, r->nexthop);
		else
			to_domain(out, domain);
	} else if (is_lmtp(r->transport)) {
		to_nexthop(out, PEN_ROUTE_LMTP, parse_lmtp, r->nexthop.n > 0 ? r->nexthop : domain);
	} else if (is_transport(r->transport, "error")) {
		fail_with(out, 5, r->nexthop, "mail for this address is not deliverable");
	} else if (is_transport(r->transport, "retry")) {
		fail_with(out, 4, r->nexthop, "mail for this address is delayed");
	} else if (is_transport(r->transport, "discard")) {
		fail_with(out, 2, r->nexthop, "discarded");
	} else {
		out->kind = PEN_ROUTE_FAIL;
		pen_dsn_set(&out->dsn, 4, 3, 0, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_POLICY,
			PEN_STAGE_NONE, "mail transport unavailable");
	}
}

void pen_route_find(
	const struct pen_routing *routing, struct pen_span recipient, struct pen_route *out)
{
	struct pen_span domain = recipient;
	char whole[ADDRESS_MAX];
	struct result result;
	const uint8_t *at = recipient.n > 0 ? memrchr(recipient.p, '@', recipient.n) : NULL;

	*out = (struct pen_route){.kind = PEN_ROUTE_FAIL};
	if (at != NULL) {
		domain = pen_span_from(recipient, (size_t)(at - recipient.p) + 1);
	} else {
		domain = pen_span_cstr(routing->myorigin);
		int n = snprintf(whole, sizeof(whole), "%.*s@%.*s",
			(int)(recipient.n < 256 ? recipient.n : 256),
			recipient.n > 0 ? (const char *)recipient.p : "", PEN_SPAN_ARG(domain));
		recipient = pen_span(whole, n < (int)sizeof(whole) ? (size_t)n : 0);
	}
	if (domain.n > 0 && domain.p[domain.n - 1] == '.')
		domain.n--;
	if (find_result(routing, recipient, domain, &result))
		apply_result(out, &result, domain);
	else if (routing->relayhost != NULL && routing->relayhost[0] != '\0')
		to_nexthop(
			out, PEN_ROUTE_SMTP, pen_nexthop_parse, pen_span_cstr(routing->relayhost));
	else
		to_domain(out, domain);
}

struct checking {
	struct pen_report *report;
	const struct pen_map_where *where;
};

static void check_result(
	void *ctx, struct pen_span key, struct pen_span value, const char *file, unsigned line)
{
	struct checking *c = ctx;
	struct result r = split_result(value);
	struct pen_nexthop hop;
	const char *wrong = NULL;

	if (pen_span_find(value, ':') < 0)
		wrong = "accepted is transport:nexthop, and either side may be empty";
	else if (is_smtp(r.transport))
		wrong = r.nexthop.n > 0 ? pen_nexthop_parse(&hop, r.nexthop) : NULL;
	else if (is_lmtp(r.transport))
		wrong = r.nexthop.n > 0 ? parse_lmtp(&hop, r.nexthop) : NULL;
	else if (!is_transport(r.transport, "error") && !is_transport(r.transport, "retry") &&
		 !is_transport(r.transport, "discard"))
		wrong = "accepted transports are smtp, relay, lmtp, error, retry and discard";
	if (wrong == NULL)
		return;
	pen_report_error(c->report, file != NULL ? file : c->where->file,
		line != 0 ? line : c->where->line, "transport_maps: %.*s %.*s: %s",
		(int)(key.n < 80 ? key.n : 80), (const char *)key.p,
		(int)(value.n < 200 ? value.n : 200), (const char *)value.p, wrong);
}

void pen_routing_check(const struct pen_routing *routing, const struct pen_map_where *relayhost,
	struct pen_report *r)
{
	struct pen_nexthop hop;
	struct checking c = {r, relayhost};

	if (routing->relayhost != NULL && routing->relayhost[0] != '\0') {
		const char *wrong = pen_nexthop_parse(&hop, pen_span_cstr(routing->relayhost));
		if (wrong != NULL)
			pen_report_error(r, relayhost->file, relayhost->line,
				"relayhost = %.200s: %s; accepted is one of domain, [host], "
				"[address], "
				"each with or without :port",
				routing->relayhost, wrong);
	}
	for (size_t i = 0; routing->transport_maps != NULL && i < routing->transport_maps->n; i++)
		pen_map_each(routing->transport_maps->map[i], check_result, &c);
}
