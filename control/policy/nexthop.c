// SPDX-License-Identifier: BSD-3-Clause
#include "pen_nexthop.h"

#include "pen_idn.h"
#include "pen_params.h"

#include <ctype.h>
#include <stdio.h>

static const struct {
	const char *name;
	uint16_t port;
} services[] = {
	{"smtp", 25}, {"submission", 587}, {"submissions", 465}, {"smtps", 465}, {"lmtp", 24}};

static bool parse_port(struct pen_span s, uint16_t *port)
{
	uint32_t n = 0;

	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		if (pen_span_ieq(s, pen_span_cstr(services[i].name))) {
			*port = services[i].port;
			return true;
		}
	}
	for (size_t i = 0; i < s.n; i++) {
		if (!isdigit(s.p[i]) || (n = n * 10 + (uint32_t)(s.p[i] - '0')) > 65535)
			return false;
	}
	*port = (uint16_t)n;
	return n > 0;
}

// set_host takes a name, with letters beyond ASCII as A-labels. The text that is
// returned says what is wrong.
static const char *set_host(struct pen_nexthop *out, struct pen_span host, const char *invalid)
{
	_Static_assert(sizeof(out->host) >= PEN_IDN_NAME_MAX, "every domain fits");
	const char *wrong = pen_idn_to_ascii(out->host, host);

	if (wrong != NULL)
		return wrong;
	return pen_hostname_valid(pen_span_cstr(out->host)) ? NULL : invalid;
}

// parse_literal reads what stands between brackets.
static const char *parse_literal(struct pen_nexthop *out, struct pen_span in)
{
	static const char not_host[] = "the brackets hold neither a host name nor an address";
	bool six = pen_span_istarts(in, PEN_SPAN_LIT("ipv6:"));

	out->literal = true;
	if (six)
		in = pen_span_from(in, 5);
	if (pen_addr_parse(&out->addr, in) == 0) {
		if (six && out->addr.family != PEN_FAMILY_IP6)
			return "an IPv6 address is expected after \"ipv6:\"";
		pen_addr_str(&out->addr, out->host);
		return NULL;
	}
	out->addr = (struct pen_addr){0};
	if (six)
		return not_host;
	return set_host(out, in, not_host);
}

const char *pen_nexthop_parse(struct pen_nexthop *out, struct pen_span text)
{
	struct pen_span host = text, rest = {0};
	struct pen_addr addr;
	const char *wrong;

	*out = (struct pen_nexthop){.port = PEN_NEXTHOP_PORT};
	if (text.n == 0)
		return "nothing is there";
	if (text.p[0] == '[') {
		ptrdiff_t end = pen_span_find(text, ']');
		if (end < 0)
			return "\"[\" without \"]\"";
		wrong = parse_literal(out, pen_span(text.p + 1, (size_t)end - 1));
		if (wrong != NULL)
			return wrong;
		rest = pen_span_from(text, (size_t)end + 1);
		if (rest.n > 0 && rest.p[0] != ':')
			return "only a :port may follow the \"]\"";
	} else {
		if (pen_addr_parse(&addr, text) == 0)
			return "an address is written in brackets: [192.0.2.1]";
		ptrdiff_t colon = pen_span_find(text, ':');
		if (colon >= 0) {
			host = pen_span(text.p, (size_t)colon);
			rest = pen_span_from(text, (size_t)colon);
		}
		if (pen_addr_parse(&addr, host) == 0)
			return "an address is written in brackets: [192.0.2.1]:25";
		wrong = set_host(out, host, "this is no valid domain or host name");
		if (wrong != NULL)
			return wrong;
	}
	if (rest.n > 0 && !parse_port(pen_span_from(rest, 1), &out->port))
		return "the port is neither a number from 1 to 65535 nor a known service";
	return NULL;
}

const char *pen_nexthop_str(const struct pen_nexthop *n, char out[PEN_NEXTHOP_MAX])
{
	const char *six = n->addr.family == PEN_FAMILY_IP6 ? "ipv6:" : "";
	char port[8] = "";

	if (n->port != PEN_NEXTHOP_PORT)
		snprintf(port, sizeof(port), ":%u", n->port);
	snprintf(out, PEN_NEXTHOP_MAX, "%s%s%s%s%s", n->literal ? "[" : "", six, n->host,
		n->literal ? "]" : "", port);
	return out;
}
