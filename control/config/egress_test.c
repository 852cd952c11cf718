// SPDX-License-Identifier: BSD-3-Clause
#include "pen_egress.h"
#include "pen_test.h"
#include "report_lines.h"

static struct pen_egress egress;
static struct report_lines lines;

static int end(void **state)
{
	(void)state;
	pen_egress_fini(&egress);
	report_lines_fini(&lines);
	return 0;
}

static int parse(const char *text)
{
	end(NULL);
	report_lines_init(&lines);
	return pen_egress_parse(&egress, pen_span_cstr(text), "egress.conf", &lines.report);
}

static const char smallest[] = "port p0 { device = \"net_tap0\" }\n"
			       "source s0 { address = 10.0.0.2 }\n";

static void the_smallest_file_gets_working_defaults(void **state)
{
	(void)state;
	assert_int_equal(parse(smallest), 0);
	assert_string_equal(report_lines_text(&lines), "");
	const struct pen_dataplane_config *d = &egress.dataplane;
	assert_int_equal(d->nworkers, 1);
	assert_int_equal(d->worker_core[0], 0);
	assert_int_equal(d->hugepages, PEN_HUGEPAGES_AUTO);
	assert_int_equal(d->max_connections, 10000);
	assert_int_equal(d->ring_depth & (d->ring_depth - 1), 0);
	assert_int_equal(d->port[0].mtu, 1500);
	assert_int_equal(d->port[0].prefix_bits, 24);
	assert_int_equal(d->port[0].prefix6_bits, 64);
	assert_int_equal(d->port[0].gateway6.family, PEN_FAMILY_NONE);
	assert_int_equal(d->nsources, 1);
	assert_ptr_equal(d->source, egress.sources);
}

static void every_key_reaches_the_dataplane(void **state)
{
	(void)state;
	assert_int_equal(
		parse("workers = 2; cores = [2, 4]; hugepages = no\n"
		      "memory_mb = 1024 /* megabytes /* nested */ */\n"
		      "eal_options = [\"--log-level=8\", '--no-pci']; file_prefix = gw1\n"
		      "connections: 50k, buffer_mb: 128\n"
		      "ring_depth = 1024; rx_window = 64kb; tx_limit = 512kb\n"
		      "port p0 {\n"
		      "  device = \"net_memif0,role=client,socket=/run/x.sock\"; mtu = 9000\n"
		      "  prefix = 16; gateway = 10.0.0.1; mac = \"02:00:00:00:00:0a\"\n"
		      "  prefix6 = 56; gateway6 = \"2001:db8:0:a0::1\"\n"
		      "  trust_rx_checksum = yes }\n"
		      "port p1 { device = 0000:01:00.0 }\n"
		      "source s0 { port = p0; address = \"10.0.0.2\"; helo = \"a.example.com\"; }\n"
		      "source s1 { port = p1; address = 192.0.2.9 }\n"
		      "source s2 { port = p0; address = \"2001:db8:0:a1::2\" }\n"),
		0);
	assert_string_equal(report_lines_text(&lines), "");
	const struct pen_dataplane_config *d = &egress.dataplane;
	assert_int_equal(d->nworkers, 2);
	assert_int_equal(d->worker_core[1], 4);
	assert_int_equal(d->hugepages, PEN_HUGEPAGES_NO);
	assert_int_equal(d->neal, 2);
	assert_string_equal(d->eal_option[1], "--no-pci");
	assert_string_equal(d->file_prefix, "gw1");
	assert_int_equal(d->max_connections, 50000);
	assert_int_equal(d->rx_window, 65536);
	assert_int_equal(d->nports, 2);
	assert_string_equal(d->port[0].device, "net_memif0,role=client,socket=/run/x.sock");
	assert_int_equal(d->port[0].mac[5], 10);
	assert_true(d->port[0].trust_rx_checksum);
	assert_string_equal(d->port[1].device, "0000:01:00.0");
	assert_int_equal(d->source[1].port, 1);
	assert_int_equal(d->port[0].prefix6_bits, 56);
	assert_int_equal(d->port[0].gateway6.ip[15], 1);
	assert_int_equal(d->source[2].addr.family, PEN_FAMILY_IP6);
	assert_string_equal(d->source[0].helo, "a.example.com");
	assert_string_equal(d->source[1].name, "s1");
}

static void json_is_accepted_too(void **state)
{
	(void)state;
	assert_int_equal(
		parse("{\"workers\": 1, \"port\": {\"p0\": {\"device\": \"net_tap0\\u0041\"}},\n"
		      "\"source\": {\"s0\": {\"address\": \"10.0.0.2\"},\n"
		      "\"s1\": {\"address\": \"10.0.0.3\"}}}"),
		0);
	assert_string_equal(egress.dataplane.port[0].device, "net_tap0A");
	assert_int_equal(egress.dataplane.nsources, 2);
}

static void all_bad_values_are_reported_with_line_and_range(void **state)
{
	(void)state;
	assert_int_equal(parse("workers = 65\n"
			       "cores = [0, 0]\n"
			       "hugepages = maybe\n"
			       "ring_depth = 1000\n"
			       "conections = 5\n"
			       "zzz = 1\n"
			       "port p0 {\n"
			       "  mtu = 100\n"
			       "  gateway = 10.1.0.1\n"
			       "  mac = \"01:00:00:00:00:01\"\n"
			       "}\n"
			       "source s0 { port = p9; address = 10.0.0.2; helo = \"a b\" }\n"
			       "source s0 { addres = 10.0.0.2 }\n"
			       "source = 5\n"
			       "memory_mb = 20; memory_mb = 30\n"),
		-22);
	assert_string_equal(report_lines_text(&lines),
		"egress.conf:1: error: workers = 65: accepted is a number from 1 to 64\n"
		"egress.conf:2: error: cores: core 0 is there twice\n"
		"egress.conf:3: error: hugepages = maybe: accepted is auto, yes or no\n"
		"egress.conf:4: error: ring_depth = 1000: accepted is a power of two\n"
		"egress.conf:5: error: unknown key \"conections\": did you mean \"connections\"?\n"
		"egress.conf:6: error: unknown key \"zzz\": accepted are workers, cores, "
		"hugepages, "
		"memory_mb, eal_options, file_prefix, connections, buffer_mb, ring_depth, "
		"rx_window, "
		"tx_limit, shipped_rules, port, source, default, site, provider, pool, tenant, "
		"campaign, "
		"warmup, rule\n"
		"egress.conf:15: error: memory_mb is given in line 15 already\n"
		"egress.conf:8: error: mtu = 100: accepted is a number from 576 to 9216\n"
		"egress.conf:10: error: mac = 01:00:00:00:00:01: accepted is a unicast Ethernet "
		"address such as \"02:00:00:00:00:01\"\n"
		"egress.conf:7: error: port p0 has no device: write device = "
		"\"net_af_packet0,iface=eth1\", or the PCI address of a network card\n"
		"egress.conf:12: error: port = p9: accepted is the name of a port of this file\n"
		"egress.conf:12: error: helo = a b: accepted is a host name\n"
		"egress.conf:12: error: source s0: the gateway 10.1.0.1 of port p0 is not in "
		"10.0.0.2/24\n"
		"egress.conf:13: error: unknown key \"addres\" in source s0: did you mean "
		"\"address\"?\n"
		"egress.conf:13: error: source s0 has no address: write address = \"10.0.0.2\"\n"
		"egress.conf:13: error: source s0 is there already\n"
		"egress.conf:14: error: source = 5: accepted is source NAME { ... }\n");
}

static void each_family_has_its_own_prefix_and_gateway(void **state)
{
	(void)state;
	assert_int_equal(parse("port p0 { device = a; gateway6 = \"fe80::1\"; prefix6 = 129\n"
			       "  gateway = \"2001:db8::1\"; prefix = 64 }\n"
			       "port p1 { device = b; mtu = 1279; gateway6 = 10.0.0.1 }\n"
			       "port p2 { device = c; gateway6 = \"2001:db8:0:1::1\" }\n"
			       "source s0 { port = p0; address = \"2001:db8::2\" }\n"
			       "source s1 { port = p1; address = \"2001:db8::3\" }\n"
			       "source s2 { port = p2; address = \"2001:db8::4\" }\n"
			       "source s3 { port = p2; address = \"fe80::4\" }\n"
			       "source s4 { port = p2; address = \"::ffff:10.0.0.5\" }\n"
			       "source s5 { port = p2; address = \"2001:db8:0:1::5\" }\n"
			       "source s6 { port = p2; address = \"ff02::6\" }\n"
			       "source s7 { port = p0; address = 224.0.0.1 }\n"),
		-22);
	assert_string_equal(report_lines_text(&lines),
		"egress.conf:1: error: prefix6 = 129: accepted is a number from 1 to 128\n"
		"egress.conf:2: error: gateway = 2001:db8::1: accepted is an IPv4 address such as "
		"\"10.0.0.1\"\n"
		"egress.conf:2: error: prefix = 64: accepted is a number from 1 to 32\n"
		"egress.conf:3: error: gateway6 = 10.0.0.1: accepted is an IPv6 address such as "
		"\"fe80::1\"\n"
		"egress.conf:6: error: source s1: the mtu 1279 of port p1 is too small for IPv6: "
		"accepted is 1280 or more\n"
		"egress.conf:7: error: source s2: the gateway 2001:db8:0:1::1 of port p2 is not in "
		"2001:db8::4/64\n"
		"egress.conf:8: error: source s3: address = fe80::4 is a link-local address\n"
		"egress.conf:9: error: source s4: address = ::ffff:10.0.0.5 is no address that a "
		"network card may have\n"
		"egress.conf:11: error: source s6: address = ff02::6 is a multicast address\n"
		"egress.conf:12: error: source s7: address = 224.0.0.1 is a multicast or reserved "
		"address\n");
}

static void an_empty_file_says_what_is_missing(void **state)
{
	(void)state;
	assert_int_equal(parse("# nothing\n"), -22);
	assert_string_equal(report_lines_text(&lines),
		"egress.conf: error: no port: write port p0 { device = \"...\" }\n"
		"egress.conf: error: no source: write source s0 { port = p0; address = \"...\" "
		"}\n");
}

static void syntax_errors_name_their_line(void **state)
{
	(void)state;
	static const struct {
		const char *in, *error;
	} cases[] = {
		{"a = 1\nport p0 {\n b = 2\n", "egress.conf:2: error: \"{\" without \"}\"\n"},
		{"a = 1 }\n", "egress.conf:1: error: \"}\" without \"{\"\n"},
		{"cores = [1, 2\n", "egress.conf:1: error: \"[\" without \"]\"\n"},
		{"\nx = \"abc\n\"",
			"egress.conf:2: error: a quoted text ends in the line it begins\n"},
		{"x = \"abc", "egress.conf:1: error: a quoted text has no closing quote\n"},
		{"x = \"\\q\"",
			"egress.conf:1: error: unknown escape in a quoted text: accepted are "
			"\\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\uXXXX\n"},
		{"x = \"/a\\", "egress.conf:1: error: the file ends inside a quoted text\n"},
		{"x = a b\n",
			"egress.conf:1: error: expected \";\" or a new line after the value (put "
			"a text with spaces or commas in quotes)\n"},
		{"x", "egress.conf:1: error: expected a value after the last key\n"},
		{"/* open\n\n", "egress.conf:1: error: \"/*\" without \"*/\"\n"},
		{"= 5\n", "egress.conf:1: error: expected a key\n"},
		{"x = [[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]\n",
			"egress.conf:1: error: too many levels of brackets\n"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i].in), -22);
		assert_string_equal(report_lines_text(&lines), cases[i].error);
	}
}

static void a_missing_file_says_what_to_write(void **state)
{
	(void)state;
	report_lines_init(&lines);
	assert_int_equal(pen_egress_read(&egress, "/nonexistent/egress.conf", &lines.report), -2);
	assert_non_null(strstr(report_lines_text(&lines),
		"/nonexistent/egress.conf: error: is missing; it names the network ports"));
}

#define TEST(f) cmocka_unit_test_teardown(f, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(the_smallest_file_gets_working_defaults),
		TEST(every_key_reaches_the_dataplane),
		TEST(json_is_accepted_too),
		TEST(all_bad_values_are_reported_with_line_and_range),
		TEST(each_family_has_its_own_prefix_and_gateway),
		TEST(an_empty_file_says_what_is_missing),
		TEST(syntax_errors_name_their_line),
		TEST(a_missing_file_says_what_to_write),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
