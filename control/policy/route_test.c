// SPDX-License-Identifier: BSD-3-Clause
#include "pen_route.h"
#include "pen_test.h"

static struct pen_report report;

static void next_hops_parse_and_print(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
		bool literal;
		uint16_t port;
	} cases[] = {
		{"example.com", "example.com", false, 25},
		{"Example.COM.", "example.com", false, 25},
		{"example.com:25", "example.com", false, 25},
		{"example.com:2525", "example.com:2525", false, 2525},
		{"example.com:submission", "example.com:587", false, 587},
		{"[Relay.example.com]", "[relay.example.com]", true, 25},
		{"[relay.example.com]:587", "[relay.example.com]:587", true, 587},
		{"[192.0.2.1]:2525", "[192.0.2.1]:2525", true, 2525},
		{"[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]", true, 25},
		{"[2001:db8::1]:26", "[ipv6:2001:db8::1]:26", true, 26},
		{"[IPv6:2001:DB8:0::1]", "[ipv6:2001:db8::1]", true, 25},
		{"B\303\274cher.example", "xn--bcher-kva.example", false, 25},
		{"[\320\277\320\276\321\207\321\202\320\260.example.]:587",
			"[xn--80a1acny.example]:587", true, 587},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pen_nexthop n;
		char out[PEN_NEXTHOP_MAX];
		assert_null(pen_nexthop_parse(&n, pen_span_cstr(cases[i].in)));
		assert_string_equal(pen_nexthop_str(&n, out), cases[i].out);
		assert_int_equal(n.literal, cases[i].literal);
		assert_int_equal(n.port, cases[i].port);
	}
}

static void bad_next_hops_are_refused(void **state)
{
	(void)state;
	static const char *const cases[] = {"", "[", "[]", "[a b]", "[host]x",
		"[host]:", "[host]:0", "host:65536", "host:http", "a..b", "-a.example", "192.0.2.1",
		"192.0.2.1:25", "[ipv6:192.0.2.1]", "2001:db8::1", "host:25:26", "1.2.3", "a@b",
		"a..", ".", "\377.example", "\303\274 x.example", "[\342\200\250.example]"};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pen_nexthop n;
		if (pen_nexthop_parse(&n, pen_span_cstr(cases[i])) == NULL)
			fail_msg("\"%s\" was accepted", cases[i]);
	}
}

static const char table[] = "user@example.com smtp:[by-address.example]\n"
			    "example.com relay:[by-domain.example]:26\n"
			    ".example.com smtp:by-parent.example\n"
			    ".org :[kept-transport.example]\n"
			    "plain.org smtp:\n"
			    "direct.org :\n"
			    "gone.example error:5.1.1 no such user here\n"
			    "silent.example error:\n"
			    "later.example retry:4.7.1 come back\n"
			    "sink.example discard:thrown away\n"
			    "uucp.example uucp:host\n"
			    "broken.example smtp:[x\n"
			    "store.example lmtp:inet:Store.example\n"
			    "port.example lmtp:[192.0.2.7]:2003\n"
			    "socket.example lmtp:unix:/run/lmtp\n"
			    "[192.0.2.9] smtp:[literal.example]\n";

static void check(const struct pen_routing *routing, const char *rcpt, const char *want)
{
	struct pen_route r;
	char got[600];

	pen_route_find(routing, pen_span_cstr(rcpt), &r);
	if (r.kind == PEN_ROUTE_SMTP || r.kind == PEN_ROUTE_LMTP)
		snprintf(got, sizeof(got), "%s%s", r.kind == PEN_ROUTE_LMTP ? "lmtp " : "",
			r.nexthop);
	else
		snprintf(got, sizeof(got), "%s%u.%u.%u %s",
			r.kind == PEN_ROUTE_DISCARD ? "discard " : "", r.dsn.klass, r.dsn.subject,
			r.dsn.detail, r.dsn.text);
	if (strcmp(got, want) != 0)
		fail_msg("%s goes to \"%s\", expected \"%s\"", rcpt, got, want);
}

static void the_table_is_searched_in_postfix_order(void **state)
{
	(void)state;
	struct pen_map *map = pen_map_parse("texthash", pen_span_cstr(table), "t", &report);
	struct pen_maps maps = {&map, 1};
	struct pen_routing routing = {&maps, "[relay.example]:587", "origin.example"};

	assert_non_null(map);
	check(&routing, "User@Example.com", "[by-address.example]");
	check(&routing, "other@EXAMPLE.com", "[by-domain.example]:26");
	check(&routing, "other@example.com.", "[by-domain.example]:26");
	check(&routing, "x@sub.example.com", "by-parent.example");
	check(&routing, "x@a.b.example.com", "by-parent.example");
	check(&routing, "x@any.org", "[kept-transport.example]");
	check(&routing, "x@plain.org", "plain.org");
	check(&routing, "x@direct.org", "[relay.example]:587");
	check(&routing, "x@gone.example", "5.1.1 no such user here");
	check(&routing, "x@silent.example", "5.0.0 mail for this address is not deliverable");
	check(&routing, "x@later.example", "4.7.1 come back");
	check(&routing, "x@sink.example", "discard 2.0.0 thrown away");
	check(&routing, "x@uucp.example", "4.3.0 mail transport unavailable");
	check(&routing, "x@broken.example",
		"4.3.5 server configuration error: next hop \"[x\": \"[\" without \"]\"");
	check(&routing, "x@store.example", "lmtp [store.example]:24");
	check(&routing, "x@port.example", "lmtp [192.0.2.7]:2003");
	check(&routing, "x@socket.example",
		"4.3.5 server configuration error: next hop \"unix:/run/lmtp\": only LMTP over TCP "
		"is offered");
	check(&routing, "x@[192.0.2.9]", "[literal.example]");
	check(&routing, "x@else.example", "[relay.example]:587");
	check(&routing, "local", "[relay.example]:587");
	pen_map_free(map);
}

static void a_star_catches_what_nothing_else_matches(void **state)
{
	(void)state;
	static const struct pen_map_where where = {"main.cf", 1, "transport_maps"};
	struct pen_maps maps;
	struct pen_routing routing = {&maps, "", "origin.example"};

	assert_int_equal(pen_maps_open(&maps, "inline:{origin.example=:, *=smtp:outbound.example}",
				 &where, &report),
		0);
	check(&routing, "x@example.com", "outbound.example");
	check(&routing, "local", "origin.example");
	check(&routing, "\"odd@local\"@origin.example", "origin.example");
	pen_maps_fini(&maps);
}

static void without_tables_mail_goes_to_the_domain(void **state)
{
	(void)state;
	struct pen_routing routing = {NULL, "", "origin.example"};

	check(&routing, "x@Example.com", "example.com");
	check(&routing, "x@[192.0.2.9]", "[192.0.2.9]");
	check(&routing, "x@[IPv6:2001:db8::1]", "[ipv6:2001:db8::1]");
	check(&routing, "x@192.0.2.9", "5.1.2 bad recipient domain \"192.0.2.9\"");
	check(&routing, "x@a..b", "5.1.2 bad recipient domain \"a..b\"");
	check(&routing, "x@example.com:26", "5.1.2 bad recipient domain \"example.com:26\"");
	check(&routing, "x@[192.0.2.9]:26", "5.1.2 bad recipient domain \"[192.0.2.9]:26\"");
	check(&routing, "x@", "5.1.2 bad recipient domain \"\"");
	check(&routing, "", "origin.example");
}

static void keep(void *ctx, const struct pen_report_entry *e)
{
	char line[512];

	pen_report_format(e, line, sizeof(line));
	strcat(ctx, line);
	strcat(ctx, "\n");
}

static void start_up_finds_results_that_can_never_work(void **state)
{
	(void)state;
	char text[4096] = "";
	struct pen_report r = {.fn = keep, .ctx = text};
	static const struct pen_map_where where = {"main.cf", 9, "relayhost"};
	struct pen_map *map = pen_map_parse("texthash",
		PEN_SPAN_LIT("good.example smtp:[x]\nbad.example smtp:[x\nodd.example uucp:y\n"
			     "none.example host\n"),
		"transport", &r);
	struct pen_maps maps = {&map, 1};
	struct pen_routing routing = {&maps, "10.0.0.1", "origin.example"};

	pen_routing_check(&routing, &where, &r);
	assert_string_equal(text,
		"main.cf:9: error: relayhost = 10.0.0.1: an address is written in brackets: "
		"[192.0.2.1]; accepted is one of domain, [host], [address], each with or without "
		":port\n"
		"transport:2: error: transport_maps: bad.example smtp:[x: \"[\" without \"]\"\n"
		"transport:3: error: transport_maps: odd.example uucp:y: accepted transports are "
		"smtp, relay, lmtp, error, retry and discard\n"
		"transport:4: error: transport_maps: none.example host: accepted is "
		"transport:nexthop, and either side may be empty\n");
	pen_map_free(map);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(next_hops_parse_and_print),
		cmocka_unit_test(bad_next_hops_are_refused),
		cmocka_unit_test(the_table_is_searched_in_postfix_order),
		cmocka_unit_test(a_star_catches_what_nothing_else_matches),
		cmocka_unit_test(without_tables_mail_goes_to_the_domain),
		cmocka_unit_test(start_up_finds_results_that_can_never_work),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
