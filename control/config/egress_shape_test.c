// SPDX-License-Identifier: BSD-3-Clause
#include "pen_egress.h"
#include "pen_provider_rules.h"
#include "pen_test.h"
#include "report_lines.h"

#define FILE_HEAD                                                                                  \
	"port p0 { device = net_tap0 }\n"                                                          \
	"source s0 { address = 10.0.0.2; connections = 50 }\n"                                     \
	"source s1 { address = 10.0.0.3 }\n"
// So that what a test writes begins in line 4.

static struct pen_egress egress;
static struct report_lines lines;

static int end(void **state)
{
	(void)state;
	pen_egress_fini(&egress);
	report_lines_fini(&lines);
	return 0;
}

static int parse(const char *shaping, const char *shipped)
{
	static char text[65536];

	end(NULL);
	report_lines_init(&lines);
	snprintf(text, sizeof(text), "%s%s", FILE_HEAD, shaping);
	return pen_egress_parse_with(
		&egress, pen_span_cstr(text), "egress.conf", pen_span_cstr(shipped), &lines.report);
}

static const struct pen_shape_config *good(const char *shaping)
{
	int err = parse(shaping, "");

	assert_string_equal(report_lines_text(&lines), "");
	assert_int_equal(err, 0);
	return egress.shape;
}

static void without_sections_there_is_the_pool_of_all_sources(void **state)
{
	(void)state;
	const struct pen_shape_config *c = good("");
	assert_int_equal(c->nsources, 2);
	assert_string_equal(c->source[1].name, "s1");
	assert_int_equal(c->source[1].addr.family, PEN_FAMILY_IP4);
	assert_int_equal(c->source[0].limits.given, PEN_LIMIT_CONNECTIONS);
	assert_int_equal(c->source[0].limits.connections, 50);
	assert_int_equal(c->npools, 1);
	assert_string_equal(c->pool[0].name, "default");
	assert_int_equal(c->pool[0].nmembers, 2);
	assert_int_equal(c->pool[0].member[1].source, 1);
	assert_int_equal(c->defaults.limits.given, 0);
	assert_int_equal(c->nrules + c->nsites + c->nproviders + c->ntenants + c->nwarmups, 0);
}

static void every_limit_of_a_site_is_read_with_its_unit(void **state)
{
	(void)state;
	const struct pen_shape_config *c =
		good("default { connections = 20; connection_messages = 100; recipients = 50\n"
		     "  connection_time = \"5min\"; message_rate = 100/s }\n"
		     "site gmail { mx = [\"*.Google.COM.\"]; domains = [\"gmail.com\", \"*\"]\n"
		     "  connections = 2k; connection_rate = \"10/s\"; byte_rate = \"10M/s\"\n"
		     "  source { connections = 5 }\n"
		     "  backoff { message_rate = \"60/min\"; connections = 2; connection_time = "
		     "1h30m }\n"
		     "  retry { steps = [\"5min\", 15min, \"1h\"]; jitter = 20; lifetime = 3d;\n"
		     "          greylisted = 90s }\n"
		     "}\n"
		     "site other { mx = 192.0.2.1; byte_rate = \"2,048k/s\" }\n");
	assert_int_equal(c->defaults.limits.given,
		PEN_LIMIT_CONNECTIONS | PEN_LIMIT_CONNECTION_MESSAGES | PEN_LIMIT_RECIPIENTS |
			PEN_LIMIT_CONNECTION_TIME | PEN_LIMIT_MESSAGE_RATE);
	assert_int_equal(c->defaults.limits.connection_time, 300 * PEN_US_PER_S);
	assert_int_equal(c->defaults.limits.message_rate.count, 100);
	assert_int_equal(c->defaults.limits.message_rate.period, PEN_US_PER_S);
	const struct pen_shape_section *s = &c->site[0];
	assert_string_equal(s->name, "gmail");
	assert_int_equal(s->line, 6);
	assert_int_equal(s->match.nmx, 1);
	assert_string_equal(s->match.mx[0], "*.google.com");
	assert_int_equal(s->match.ndomains, 2);
	assert_string_equal(s->match.domains[1], "*");
	assert_int_equal(s->limits.connections, 2000);
	assert_int_equal(s->limits.byte_rate.count, 10000000);
	assert_int_equal(s->source_limits.given, PEN_LIMIT_CONNECTIONS);
	assert_int_equal(s->backoff.connection_time, 5400 * PEN_US_PER_S);
	assert_int_equal(s->backoff.message_rate.period, 60 * PEN_US_PER_S);
	assert_true(s->has_retry);
	assert_int_equal(s->retry.nsteps, 3);
	assert_int_equal(s->retry.step[1], 900 * PEN_US_PER_S);
	assert_int_equal(s->retry.jitter, 20);
	assert_int_equal(s->retry.lifetime, 3 * 86400 * PEN_US_PER_S);
	assert_int_equal(s->retry.greylisted, 90 * PEN_US_PER_S);
	assert_string_equal(c->site[1].match.mx[0], "192.0.2.1");
	assert_int_equal(c->site[1].limits.byte_rate.count, 2048000);
	assert_false(c->site[1].has_retry);
}

static void an_unlimited_rate_lifts_a_limit(void **state)
{
	(void)state;
	const struct pen_shape_config *c =
		good("site a { mx = [a.example]; message_rate = unlimited }\n");
	assert_int_equal(c->site[0].limits.given, PEN_LIMIT_MESSAGE_RATE);
	assert_false(pen_rate_limited(&c->site[0].limits.message_rate));
}

static void providers_pools_tenants_campaigns_and_warmups_refer_to_each_other(void **state)
{
	(void)state;
	const struct pen_shape_config *c =
		good("provider google { mx = [\"*.google.com\"]; connections = 200; site { "
		     "connections = "
		     "20; recipients = 100 } source { message_rate = 10/s } backoff { } }\n"
		     "pool bulk { sources { s0 = 1; s1 = 3 }; connections = 100 }\n"
		     "pool default { sources = [s1] }\n"
		     "tenant acme { weight = 20; message_rate = \"1,000/h\"; pool = bulk }\n"
		     "tenant \"*\" { connections = 5 }\n"
		     "campaign xmas { tenant = acme; weight = 5; connections = 10 }\n"
		     "campaign xmas { tenant = other }\n"
		     "warmup w1 { source = s1; provider = google; start = \"2026-11-01\"; schedule "
		     "= [50, "
		     "100, 2k] }\n");
	assert_int_equal(c->provider[0].limits.connections, 200);
	assert_int_equal(c->provider[0].site_limits.recipients, 100);
	assert_int_equal(c->provider[0].source_limits.given, PEN_LIMIT_MESSAGE_RATE);
	assert_int_equal(c->npools, 2);
	assert_string_equal(c->pool[0].name, "default");
	assert_int_equal(c->pool[0].nmembers, 1);
	assert_int_equal(c->pool[0].member[0].source, 1);
	assert_string_equal(c->pool[1].name, "bulk");
	assert_int_equal(c->pool[1].member[1].weight, 3);
	assert_int_equal(c->pool[1].limits.connections, 100);
	assert_int_equal(c->tenant[0].weight, 20);
	assert_string_equal(c->tenant[0].pool, "bulk");
	assert_int_equal(c->tenant[1].weight, 10);
	assert_string_equal(c->tenant[1].name, "*");
	assert_string_equal(c->campaign[0].tenant, "acme");
	assert_int_equal(c->ncampaigns, 2);
	assert_int_equal(c->nwarmups, 1);
	assert_int_equal(c->warmup[0].source, 1);
	assert_string_equal(c->warmup[0].provider, "google");
	assert_int_equal(c->warmup[0].start, 1793491200 * PEN_US_PER_S);
	assert_int_equal(c->warmup[0].ndays, 3);
	assert_int_equal(c->warmup[0].cap[2], 2000);
}

static void rules_keep_their_section_and_their_line(void **state)
{
	(void)state;
	const struct pen_shape_config *c = good(
		"site gmail { domains = [gmail.com]\n"
		"  rule { reply = \"/421 4\\.7\\.28 \\\"x\\\"\\b/i\"; action = backoff; trigger = "
		"\"3/10min\"; duration = 2h }\n"
		"}\n"
		"provider g { mx = [g.example]; rule { signal = retransmits; percent = 5; action = "
		"limit; limits { connections = 2 } } }\n"
		"rule { signal = zero-window; action = suspend; trigger = \"10/1min\"; duration = "
		"\"5min\" }\n"
		"rule { signal = latency; milliseconds = 5000; action = backoff }\n"
		"rule { reply = '/\\d{3} 4\\.0/'; action = bounce-queue }\n"
		"rule { reply = \"/a\\\\.b/\"; action = disable-source }\n");
	assert_int_equal(c->nrules, 6);
	assert_int_equal(c->rule[0].line, 5);
	assert_string_equal(c->rule[0].site, "gmail");
	assert_string_equal(c->rule[0].provider, "");
	assert_string_equal(c->rule[0].pattern, "/421 4\\.7\\.28 \"x\"\\b/i");
	assert_int_equal(c->rule[0].action, PEN_ACT_BACKOFF);
	assert_int_equal(c->rule[0].trigger.count, 3);
	assert_int_equal(c->rule[0].duration, 7200 * PEN_US_PER_S);
	assert_string_equal(c->rule[1].provider, "g");
	assert_int_equal(c->rule[1].threshold, 5);
	assert_int_equal(c->rule[1].limits.connections, 2);
	assert_int_equal(c->rule[1].duration, 3600 * PEN_US_PER_S);
	assert_false(pen_rate_limited(&c->rule[1].trigger));
	assert_int_equal(c->rule[2].signal, PEN_SIGNAL_ZERO_WINDOW);
	assert_string_equal(c->rule[2].pattern, "");
	assert_int_equal(c->rule[3].threshold, 5000);
	assert_string_equal(c->rule[4].pattern, "/\\d{3} 4\\.0/");
	assert_string_equal(c->rule[5].pattern, "/a\\.b/");
}

static void a_match_of_an_earlier_provider_is_warned_about(void **state)
{
	(void)state;
	assert_int_equal(parse("provider b { mx = [b.example, \"*.x.example\"] }\n"
			       "provider a { mx = [\"*.X.example\"]; domains = [b.example] }\n",
				 ""),
		0);
	assert_string_equal(report_lines_text(&lines),
		"egress.conf:5: warning: provider a: mx = *.x.example is of provider b in line 4 "
		"already, which counts\n");
}

static const char shipped[] = "provider google { mx = [\"*.google.com\"]\n"
			      "  rule { reply = \"/rate/\"; action = backoff } }\n"
			      "provider yahoo { mx = [\"*.yahoodns.net\"]\n"
			      "  rule { reply = \"/TS03/\"; action = backoff } }\n";

static void the_shipped_rules_are_there_unless_they_are_switched_off(void **state)
{
	(void)state;
	assert_int_equal(parse("", shipped), 0);
	assert_int_equal(egress.shape->nproviders, 2);
	assert_int_equal(egress.shape->nrules, 2);
	assert_true(egress.shape->rule[1].shipped);
	assert_int_equal(egress.shape->rule[1].line, 4);
	assert_string_equal(egress.shape->rule[1].provider, "yahoo");
	assert_int_equal(parse("shipped_rules = no\n", shipped), 0);
	assert_int_equal(egress.shape->nproviders + egress.shape->nrules, 0);
}

static void a_provider_of_the_same_name_is_merged_over_the_shipped_one(void **state)
{
	(void)state;
	assert_int_equal(
		parse("rule { reply = \"/top/\"; action = suspend }\n"
		      "provider mine { mx = [\"*\"] }\n"
		      "provider yahoo { connections = 7; rule { reply = \"/mine/\"; action = "
		      "backoff } }\n",
			shipped),
		0);
	const struct pen_shape_config *c = egress.shape;
	assert_int_equal(c->nproviders, 3);
	assert_string_equal(c->provider[0].name, "mine");
	assert_string_equal(c->provider[1].name, "yahoo");
	assert_false(c->provider[1].shipped);
	assert_int_equal(c->provider[1].line, 6);
	assert_string_equal(c->provider[1].match.mx[0], "*.yahoodns.net");
	assert_int_equal(c->provider[1].limits.connections, 7);
	assert_string_equal(c->provider[2].name, "google");
	assert_true(c->provider[2].shipped);
	assert_int_equal(c->nrules, 4);
	static const char *const patterns[] = {"/mine/", "/top/", "/rate/", "/TS03/"};
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(c->rule[i].pattern, patterns[i]);
}

static void the_rules_that_come_with_penstock_are_without_fault(void **state)
{
	(void)state;
	static char text[65536];
	struct pen_span rules = pen_provider_rules_text();

	snprintf(text, sizeof(text), "%.*s", PEN_SPAN_ARG(rules));
	assert_int_equal(parse("", text), 0);
	assert_string_equal(report_lines_text(&lines), "");
	assert_true(egress.shape->nproviders > 5);
	assert_true(egress.shape->nrules > 20);
	for (uint32_t i = 0; i < egress.shape->nproviders; i++)
		assert_int_equal(egress.shape->provider[i].limits.given, 0);
}

struct bad {
	const char *in, *error; // the beginning of the one line that is reported
};

static const struct bad bad_sections[] = {
	{"site a { mx = [a.example]\n conections = 5 }",
		"egress.conf:5: error: unknown key \"conections\" in site a: did you mean "
		"\"connections\"?"},
	{"site a { mx = [a.example]; source { recipients = 5 } }",
		"egress.conf:4: error: unknown key \"recipients\" in source of site a: accepted "
		"are "
		"connections, connection_rate, message_rate, byte_rate"},
	{"\nsitte a { }", "egress.conf:5: error: unknown key \"sitte\": did you mean \"site\"?"},
	{"site a { connections = 5 }", "egress.conf:4: error: site a matches nothing: write mx = "},
	{"site a { mx = [] }", "egress.conf:4: error: mx: an array is here, accepted is an array "
			       "of names of MX hosts"},
	{"site a { mx = [\"a b\"] }", "egress.conf:4: error: mx: \"a b\": accepted is a host name"},
	{"site a { mx = [\"a.*.example\"] }",
		"egress.conf:4: error: mx: \"a.*.example\": accepted"},
	{"site a { domains = [\"x.example\",\n \"X.example.\"] }",
		"egress.conf:5: error: domains: x.example is there twice"},
	{"site a { mx = [a.example] }\nsite a { mx = [b.example] }",
		"egress.conf:5: error: site a is in line 4 already"},
	{"site \"a b\" { mx = [a.example] }", "egress.conf:4: error: site name \"a b\": accepted"},
	{"site = 5", "egress.conf:4: error: site = 5: accepted is site NAME { ... }"},
	{"provider a { mx = [a.example]; recipients = 5 }",
		"egress.conf:4: error: unknown key \"recipients\" in provider a: accepted are mx,"},
	{"default { connections = 0 }",
		"egress.conf:4: error: connections = 0: accepted is a number from 1 to 4000000"},
	{"default { connections = 5\n connections = 6 }",
		"egress.conf:5: error: connections is given in line 4 already"},
	{"default { }\ndefault { }", "egress.conf:5: error: default is given in line 4 already"},
	{"default { source = 5 }", "egress.conf:4: error: source = 5: accepted is source { ... }"},
	{"default { message_rate = 100/x }",
		"egress.conf:4: error: message_rate = 100/x: at position 5: "},
	{"default { message_rate = fast }",
		"egress.conf:4: error: message_rate = fast: at position 1: "},
	{"default { byte_rate = \"10M/x\" }",
		"egress.conf:4: error: byte_rate = 10M/x: at position 5: "},
	{"default { message_rate = \"0/s\" }",
		"egress.conf:4: error: message_rate = 0/s: nothing would ever pass"},
	{"default { message_rate = [1] }", "egress.conf:4: error: message_rate: an array is here, "
					   "accepted is a number per time"},
	{"default { connection_time = 5 }",
		"egress.conf:4: error: connection_time = 5: at position "
		"1: accepted is a time from 1s to 1d"},
	{"default { connection_time = 1h30x }",
		"egress.conf:4: error: connection_time = 1h30x: at position 3: accepted"},
	{"default { connection_time = 2d }",
		"egress.conf:4: error: connection_time = 2d: accepted is a time from 1s to 1d"},
	{"default { retry { steps = [] } }", "egress.conf:4: error: steps: an array is here"},
	{"default { retry { steps = [5min,\n soon] } }",
		"egress.conf:5: error: value = soon: at position 1: accepted is a time"},
	{"default { retry { jitter = 80 } }",
		"egress.conf:4: error: jitter = 80: accepted is a number from 0 to 50"},
	{"default { retry { step = 5 } }",
		"egress.conf:4: error: unknown key \"step\" in retry of default: did you mean "
		"\"steps\"?"},
};

static const struct bad bad_references[] = {
	{"pool b { sources { s7 = 1 } }",
		"egress.conf:4: error: source = s7: there is no source of that name"},
	{"pool b { sources { source0 = 1 } }",
		"egress.conf:4: error: source = source0: there is no source of that name"},
	{"pool b { sources = [s0, s0] }",
		"egress.conf:4: error: sources: source s0 is there twice"},
	{"pool b { sources { s0 = 0 } }",
		"egress.conf:4: error: s0 = 0: accepted is a number from 1 to 1000"},
	{"pool b { }", "egress.conf:4: error: pool b has no sources: write sources { s0 = 1 }"},
	{"pool b { sources = [s0] }\npool b { sources = [s1] }",
		"egress.conf:5: error: pool b is in line 4 already"},
	{"pool default { connections = 1 }\npool default { connections = 2 }",
		"egress.conf:5: error: pool default is in line 4 already"},
	{"tenant acme { pool = defualt }", "egress.conf:4: error: pool = defualt: there is no pool "
					   "of that name: did you mean \"default\"?"},
	{"tenant \"a b\" { }", "egress.conf:4: error: tenant name \"a b\": accepted are"},
	{"tenant a { weight = 1001 }",
		"egress.conf:4: error: weight = 1001: accepted is a number from 1 to 1000"},
	{"tenant a { }\ntenant a { }", "egress.conf:5: error: tenant a is in line 4 already"},
	{"tenant a { connection_rate = 1/s }",
		"egress.conf:4: error: unknown key \"connection_rate\" in tenant a: accepted are"},
	{"campaign c { tenant = nobody }",
		"egress.conf:4: error: tenant = nobody: there is no tenant of that name"},
	{"campaign c { }\ncampaign c { }", "egress.conf:5: error: campaign c is in line 4 already"},
	{"warmup w { source = s0; start = 2026-02-30; schedule = [1] }",
		"egress.conf:4: error: start = 2026-02-30: accepted is a day of the calendar"},
	{"warmup w { source = s0; start = 2026-02-28; schedule = [1, x] }",
		"egress.conf:4: error: value = x: accepted is a number from 1 to 1000000000"},
	{"warmup w { source = s0; start = 2026-02-28 }",
		"egress.conf:4: error: warmup w has no schedule"},
	{"warmup w { source = s0; provider = nope; start = 2026-02-28; schedule = [1] }",
		"egress.conf:4: error: provider = nope: there is no provider of that name"},
	{"warmup w { source = s0; start = 2026-02-28; schedule = [1] }\n"
	 "warmup v { source = s0; start = 2026-03-28; schedule = [1] }",
		"egress.conf:5: error: warmup v: its source and provider are in line 4 already"},
};

static const struct bad bad_rules[] = {
	{"rule { action = suspend }",
		"egress.conf:4: error: rule: write either reply = \"/pattern/\" or signal = NAME"},
	{"rule { reply = \"/a/\"; signal = reset; action = suspend }",
		"egress.conf:4: error: rule: write either reply = \"/pattern/\" or signal = NAME, "
		"not both"},
	{"rule { reply = \"/a/\" }", "egress.conf:4: error: rule: write action = "},
	{"rule { reply = \"421\"; action = suspend }",
		"egress.conf:4: error: reply = 421: accepted is a pattern between slashes"},
	{"rule { reply = \"/421\"; action = suspend }",
		"egress.conf:4: error: reply = /421: accepted is a pattern between slashes"},
	{"rule {\n reply = \"/a(b/\"; action = suspend }",
		"egress.conf:5: error: reply = /a(b/: missing closing parenthesis at position 4 of "
		"the pattern"},
	{"rule { reply = \"/a/q\"; action = suspend }",
		"egress.conf:4: error: reply = /a/q: unknown flag \"q\" at position 4"},
	{"rule { reply = \"/a/\"; action = stop }",
		"egress.conf:4: error: action = stop: accepted is suspend, suspend-tenant, "
		"suspend-campaign, disable-source, backoff, limit or bounce-queue"},
	{"rule { signal = rst; action = suspend }",
		"egress.conf:4: error: signal = rst: accepted is connect-timeout, refused, reset, "
		"zero-window, retransmits or latency"},
	{"rule { signal = latency; action = suspend }",
		"egress.conf:4: error: rule: signal = latency needs milliseconds"},
	{"rule { signal = reset; percent = 5; action = suspend }",
		"egress.conf:4: error: rule: percent is only for signal = retransmits"},
	{"rule { reply = \"/a/\"; action = limit }",
		"egress.conf:4: error: rule: action = limit needs limits"},
	{"rule { reply = \"/a/\"; action = limit; limits { } }",
		"egress.conf:4: error: rule: limits { } limits nothing"},
	{"rule { reply = \"/a/\"; action = suspend; limits { connections = 1 } }",
		"egress.conf:4: error: rule: limits is only for action = limit"},
	{"rule { reply = \"/a/\"; action = suspend; trigger = 5 }",
		"egress.conf:4: error: trigger = 5: at position 2: "},
	{"rule { reply = \"/a/\"; action = suspend; trigger = unlimited }",
		"egress.conf:4: error: trigger = unlimited: accepted is so many hits in a time"},
	{"rule { reply = \"/a/\"; action = suspend; duration = long }",
		"egress.conf:4: error: duration = long: at position 1: accepted is a time"},
	{"rule = 5", "egress.conf:4: error: rule = 5: accepted is rule { ... }"},
	{"site rule { mx = [a.example]; rule { reply = \"/a/\" } }",
		"egress.conf:4: error: rule: write action = "},
};

static void each_is_refused(const struct bad *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int err = parse(list[i].in, "");
		const char *said = report_lines_text(&lines);
		if (err != -22 || strncmp(said, list[i].error, strlen(list[i].error)) != 0 ||
			lines.report.errors != 1)
			fail_msg("%s\nsays: %s\nnot:  %s", list[i].in, said, list[i].error);
	}
}

#define EACH(list) each_is_refused(list, sizeof(list) / sizeof((list)[0]))

static void a_fault_in_a_section_is_named_with_line_and_value(void **state)
{
	(void)state;
	EACH(bad_sections);
}

static void a_name_that_does_not_exist_is_named_with_the_likely_one(void **state)
{
	(void)state;
	EACH(bad_references);
}

static void a_fault_in_a_rule_is_named_with_its_position(void **state)
{
	(void)state;
	EACH(bad_rules);
}

static void all_faults_are_found_in_one_run(void **state)
{
	(void)state;
	assert_int_equal(parse("default { connections = x }\n"
			       "site a { mx = [a.example]; message_rate = y }\n"
			       "rule { reply = \"/(/\"; action = suspend }\n"
			       "tenant t { pool = z }\n",
				 ""),
		-22);
	assert_int_equal(lines.report.errors, 4);
}

static void too_many_sections_are_refused_at_once(void **state)
{
	(void)state;
	struct pen_buf text = PEN_BUF_INIT;

	pen_buf_addf(&text, "%s", FILE_HEAD);
	for (int i = 0; i <= PEN_SECTIONS_MAX; i++)
		pen_buf_addf(&text, "tenant t%d { }\n", i);
	end(NULL);
	report_lines_init(&lines);
	assert_int_equal(
		pen_egress_parse(&egress, pen_buf_span(&text), "egress.conf", &lines.report), -22);
	assert_string_equal(report_lines_text(&lines),
		"egress.conf: error: 10001 sections tenant: accepted are at most 10000\n");
	pen_buf_fini(&text);
}

static void the_configuration_can_be_taken_once(void **state)
{
	(void)state;
	good("");
	struct pen_shape_config *c = pen_egress_take_shape(&egress);
	assert_non_null(c);
	assert_null(pen_egress_take_shape(&egress));
	pen_shape_config_free(c);
}

#define TEST(f) cmocka_unit_test_teardown(f, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(without_sections_there_is_the_pool_of_all_sources),
		TEST(every_limit_of_a_site_is_read_with_its_unit),
		TEST(an_unlimited_rate_lifts_a_limit),
		TEST(providers_pools_tenants_campaigns_and_warmups_refer_to_each_other),
		TEST(rules_keep_their_section_and_their_line),
		TEST(a_match_of_an_earlier_provider_is_warned_about),
		TEST(the_shipped_rules_are_there_unless_they_are_switched_off),
		TEST(a_provider_of_the_same_name_is_merged_over_the_shipped_one),
		TEST(the_rules_that_come_with_penstock_are_without_fault),
		TEST(a_fault_in_a_section_is_named_with_line_and_value),
		TEST(a_name_that_does_not_exist_is_named_with_the_likely_one),
		TEST(a_fault_in_a_rule_is_named_with_its_position),
		TEST(all_faults_are_found_in_one_run),
		TEST(too_many_sections_are_refused_at_once),
		TEST(the_configuration_can_be_taken_once),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
