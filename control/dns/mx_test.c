// SPDX-License-Identifier: BSD-3-Clause
#include "dns_wire.h"
#include "mx.h"
#include "pen_buf.h"
#include "pen_test.h"

// A zone: what each question is answered. A name without the type has no data;
// other names do not exist.
struct record {
	const char *name;
	int type; // MX_TYPE_NATIVE: the system's answer
	enum pen_dns_status status;
	const char *data; // MX: "10 a,20 b"; A, AAAA: last bytes, "1,2"; native: "4:1,6:2"
	bool insecure;
	const char *canonical; // what the name is an alias of
};

static const struct record zone[] = {
	{"two.example", PEN_DNS_MX, PEN_DNS_OK, .data = "20 mx2.two.example,10 mx1.two.example"},
	{"mx1.two.example", PEN_DNS_A, PEN_DNS_OK, .data = "11"},
	{"mx2.two.example", PEN_DNS_A, PEN_DNS_OK, .data = "12,13"},
	{"also-two.example", PEN_DNS_MX, PEN_DNS_OK, .data = "5 mx2.two.example,5 mx1.two.example"},
	{"plain.example", PEN_DNS_MX, PEN_DNS_NODATA, .data = ""},
	{"plain.example", PEN_DNS_A, PEN_DNS_OK, .data = "20", .insecure = true},
	{"empty.example", PEN_DNS_MX, PEN_DNS_NODATA, .data = ""},
	{"empty.example", PEN_DNS_A, PEN_DNS_NODATA, .data = ""},
	{"soft.example", PEN_DNS_MX, PEN_DNS_FAILED, .data = ""},
	{"soft.example", PEN_DNS_A, PEN_DNS_OK, .data = "21"},
	{"garbled.example", PEN_DNS_MX, PEN_DNS_MALFORMED, .data = ""},
	{"null.example", PEN_DNS_MX, PEN_DNS_OK, .data = "0 "},
	{"half-null.example", PEN_DNS_MX, PEN_DNS_OK, .data = "0 ,10 mx1.two.example"},
	{"bad.example", PEN_DNS_MX, PEN_DNS_OK, .data = "10 ?.example"},
	{"half-bad.example", PEN_DNS_MX, PEN_DNS_OK, .data = "10 ?.example,20 mx1.two.example"},
	{"numeric.example", PEN_DNS_MX, PEN_DNS_OK, .data = "10 192.0.2.99"},
	{"noaddr.example", PEN_DNS_MX, PEN_DNS_OK, .data = "10 gone.example,20 empty.example"},
	{"softaddr.example", PEN_DNS_MX, PEN_DNS_OK, .data = "10 gone.example,20 soft-a.example"},
	{"soft-a.example", PEN_DNS_A, PEN_DNS_FAILED, .data = ""},
	{"mixed.example", PEN_DNS_MX, PEN_DNS_OK, .data = "10 soft-a.example,20 mx1.two.example"},
	{"many.example", PEN_DNS_MX, PEN_DNS_OK,
		.data = "1 h1,1 h2,1 h3,1 h4,1 h5,1 h6,1 h7,1 h8,2 h9"},
	{"late.example", PEN_DNS_MX, PEN_DNS_OK, .data = "1 x1,2 x2,3 x3,4 x4,5 x5,6 x6,7 h7"},
	{"h1", PEN_DNS_A, PEN_DNS_OK, .data = "1"},
	{"h2", PEN_DNS_A, PEN_DNS_OK, .data = "2"},
	{"h3", PEN_DNS_A, PEN_DNS_OK, .data = "3"},
	{"h4", PEN_DNS_A, PEN_DNS_OK, .data = "4"},
	{"h5", PEN_DNS_A, PEN_DNS_OK, .data = "5"},
	{"h6", PEN_DNS_A, PEN_DNS_OK, .data = "6"},
	{"h7", PEN_DNS_A, PEN_DNS_OK, .data = "7"},
	{"h8", PEN_DNS_A, PEN_DNS_OK, .data = "8"},
	{"h9", PEN_DNS_A, PEN_DNS_OK, .data = "1,9"},
	{"big.example", PEN_DNS_A, PEN_DNS_OK, .data = "1,2,3,4,5,6,7,8,9"},
	// Both families.
	{"dual.example", PEN_DNS_MX, PEN_DNS_OK, .data = "10 d1,20 d2"},
	{"d1", PEN_DNS_A, PEN_DNS_OK, .data = "1,2"},
	{"d1", PEN_DNS_AAAA, PEN_DNS_OK, .data = "1,2"},
	{"d2", PEN_DNS_A, PEN_DNS_OK, .data = "3,4"},
	{"d2", PEN_DNS_AAAA, PEN_DNS_OK, .data = "3,4"},
	{"six", PEN_DNS_AAAA, PEN_DNS_OK, .data = "1,2,3,4,5,6"},
	{"six", PEN_DNS_A, PEN_DNS_OK, .data = "1"},
	{"flood", PEN_DNS_AAAA, PEN_DNS_OK,
		.data = "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,"
			"28,29,30,31,32,"
			"33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,"
			"57,58,59,60"},
	{"flood", PEN_DNS_A, PEN_DNS_OK, .data = "1"},
	{"half-soft", PEN_DNS_A, PEN_DNS_OK, .data = "1"},
	{"half-soft", PEN_DNS_AAAA, PEN_DNS_FAILED, .data = ""},
	{"soft-six", PEN_DNS_AAAA, PEN_DNS_FAILED, .data = ""},
	{"half-secure", PEN_DNS_A, PEN_DNS_OK, .data = "1"},
	{"half-secure", PEN_DNS_AAAA, PEN_DNS_OK, .data = "1", .insecure = true},
	// Forged.
	{"bogus.example", PEN_DNS_MX, PEN_DNS_BOGUS, .data = ""},
	{"bogus.example", PEN_DNS_A, PEN_DNS_OK, .data = "1"},
	{"bogus-host.example", PEN_DNS_MX, PEN_DNS_OK, .data = "10 bogus-a"},
	{"bogus-a", PEN_DNS_A, PEN_DNS_BOGUS, .data = ""},
	{"bogus-a", MX_TYPE_NATIVE, PEN_DNS_OK, .data = "4:66"},
	// Aliases.
	{"alias.example", PEN_DNS_MX, PEN_DNS_OK, .data = "10 mx1.two.example",
		.canonical = "real.example"},
	{"cn.example", PEN_DNS_MX, PEN_DNS_OK, .data = "10 cn-secure,20 cn-half,30 cn-open"},
	{"cn-secure", PEN_DNS_A, PEN_DNS_OK, .data = "1", .canonical = "end.example"},
	{"cn-half", PEN_DNS_A, PEN_DNS_OK, .data = "2", .insecure = true,
		.canonical = "end.example"},
	{"cn-half", PEN_DNS_CNAME, PEN_DNS_OK, .data = "end.example"},
	{"cn-open", PEN_DNS_A, PEN_DNS_OK, .data = "3", .insecure = true,
		.canonical = "end.example"},
	{"cn-open", PEN_DNS_CNAME, PEN_DNS_OK, .data = "end.example", .insecure = true},
	// We are 192.0.2.100 and 2001:db8::64.
	{"self.example", PEN_DNS_MX, PEN_DNS_OK, .data = "10 self,20 h1"},
	{"behind.example", PEN_DNS_MX, PEN_DNS_OK, .data = "10 h1,20 self6,20 h2,30 h3"},
	{"unresolved.example", PEN_DNS_MX, PEN_DNS_OK, .data = "10 gone,20 self,20 h2,30 h3"},
	{"equal.example", PEN_DNS_MX, PEN_DNS_OK, .data = "10 h1,10 self"},
	{"direct-self.example", PEN_DNS_A, PEN_DNS_OK, .data = "7,100"},
	{"self", PEN_DNS_A, PEN_DNS_OK, .data = "100"},
	{"self6", PEN_DNS_AAAA, PEN_DNS_OK, .data = "100"},
	// What the system knows.
	{"hosts-file", MX_TYPE_NATIVE, PEN_DNS_OK, .data = "4:51,6:52"},
	{"both", MX_TYPE_NATIVE, PEN_DNS_OK, .data = "4:53"},
	{"both", PEN_DNS_A, PEN_DNS_OK, .data = "54"},
	{"soft-a.example", MX_TYPE_NATIVE, PEN_DNS_NXDOMAIN, .data = ""},
};

static struct pen_cidr own_nets[] = {{{PEN_FAMILY_IP4, {192, 0, 2, 100}}, 32},
	{{PEN_FAMILY_IP6, {0x20, 0x01, 0x0d, 0xb8, [15] = 100}}, 128}};
static const struct mx_own own = {own_nets, 2};
static struct mx_options options;
static uint64_t seed;
static unsigned questions;

static int begin(void **state)
{
	(void)state;
	options = (struct mx_options){.pick = {.limit = 5, .balance = true},
		.validated = true,
		.ip4 = true,
		.ip6 = true,
		.own = &own};
	seed = 1;
	questions = 0;
	return 0;
}

static struct pen_addr address(int family, unsigned last)
{
	struct pen_addr a = {PEN_FAMILY_IP6, {0x20, 0x01, 0x0d, 0xb8, [15] = (uint8_t)last}};

	return family == 4 ? pen_addr_ip4(0xc0000200u + last) : a;
}

static void fill(struct dns_answer *a, const struct record *r)
{
	const char *s = r->data;

	a->a.status = r->status;
	a->a.secure = !r->insecure;
	a->a.canonical = r->canonical != NULL ? r->canonical : a->a.name;
	while (r->status == PEN_DNS_OK && r->type != PEN_DNS_CNAME && *s != '\0') {
		struct pen_dns_record *d = &a->record[a->a.n++];
		char *rest;
		unsigned long v = strtoul(s, &rest, 10);
		s = rest;
		*d = (struct pen_dns_record){.name = ""};
		if (r->type == PEN_DNS_MX) {
			size_t n = strcspn(++s, ",");
			d->preference = (uint16_t)v;
			d->name = strncpy((char *)a->store + a->used, s, n);
			a->used += n + 1;
			d->bad_name = n > 0 && (s[0] == '?' || strncmp(s, "192", 3) == 0);
			s += n;
		} else if (r->type == MX_TYPE_NATIVE) {
			d->addr = address((int)v, (unsigned)strtoul(s + 1, &rest, 10));
			s = rest;
		} else {
			d->addr = address(r->type == PEN_DNS_A ? 4 : 6, (unsigned)v);
		}
		s += *s == ',';
	}
}

static const struct pen_dns_answer *look_up(const struct mx_query *q)
{
	static struct dns_answer a;
	bool known = false;

	questions++;
	memset(a.store, 0, sizeof(a.store));
	dns_answer_none(&a, q->name, PEN_DNS_NXDOMAIN);
	a.a.secure = true;
	a.a.ttl_s = 300;
	for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++) {
		if (strcmp(zone[i].name, q->name) != 0)
			continue;
		if (zone[i].type == q->type)
			fill(&a, &zone[i]);
		known = known || zone[i].type != MX_TYPE_NATIVE;
	}
	if (known && a.a.status == PEN_DNS_NXDOMAIN && q->type != MX_TYPE_NATIVE)
		a.a.status = PEN_DNS_NODATA;
	return &a.a;
}

// resolve asks everything that may be asked, then answers it last first.
static struct pen_dns_hosts *resolve(const char *nexthop)
{
	struct pen_nexthop hop;
	struct mx_query open[2 * MX_HOSTS_MAX];

	assert_null(pen_nexthop_parse(&hop, pen_span_cstr(nexthop)));
	struct mx *m = mx_new(&hop, &options, seed);
	while (!mx_done(m)) {
		unsigned n = 0;
		while (mx_next(m, &open[n]))
			n++;
		assert_in_range(n, 1, MX_ASKED_MAX);
		while (n > 0 && !mx_done(m)) {
			n--;
			mx_answer(m, open[n].id, look_up(&open[n]));
		}
	}
	struct pen_dns_hosts *h = mx_take(m);
	mx_free(m);
	return h;
}

// outcome prints a result: "name/last-byte ...; site" or the dsn.
static const char *outcome(const char *nexthop)
{
	static char text[2048];
	struct pen_dns_hosts *h = resolve(nexthop);
	size_t n = 0;

	if (h->dsn.klass != 2) {
		snprintf(text, sizeof(text), "%u.%u.%u %s", h->dsn.klass, h->dsn.subject,
			h->dsn.detail, h->dsn.text);
	} else {
		for (uint32_t i = 0; i < h->nhosts; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s/%s%u ",
				h->host[i].name, h->host[i].addr.family == 6 ? "six" : "",
				h->host[i].addr.ip[h->host[i].addr.family == 6 ? 15 : 3]);
		snprintf(text + n, sizeof(text) - n, "; %s", h->site);
	}
	pen_dns_hosts_free(h);
	return text;
}

static void exchangers_come_in_the_order_of_preference(void **state)
{
	(void)state;
	assert_string_equal(outcome("two.example"),
		"mx1.two.example/11 mx2.two.example/12 mx2.two.example/13 ; "
		"mx1.two.example,mx2.two.example:25");
}

static void domains_with_one_set_of_exchangers_share_a_site(void **state)
{
	(void)state;
	struct pen_dns_hosts *a = resolve("two.example"), *b = resolve("also-two.example");
	struct pen_dns_hosts *c = resolve("also-two.example:2525");

	assert_string_equal(a->site, b->site);
	assert_string_not_equal(a->site, c->site);
	assert_int_equal(c->host[0].port, 2525);
	pen_dns_hosts_free(a);
	pen_dns_hosts_free(b);
	pen_dns_hosts_free(c);
}

static void brackets_and_literals_ask_no_exchanger(void **state)
{
	(void)state;
	assert_string_equal(
		outcome("[mx1.two.example]:26"), "mx1.two.example/11 ; mx1.two.example:26");
	assert_int_equal(questions, 2); // one for each family
	questions = 0;
	assert_string_equal(outcome("[192.0.2.77]"), "192.0.2.77/77 ; 192.0.2.77:25");
	assert_int_equal(questions, 0);
}

static void results_follow_the_table_of_name_service_errors(void **state)
{
	(void)state;
	static const struct {
		const char *nexthop, *want;
	} cases[] = {
		{"plain.example", "plain.example/20 ; plain.example:25"},
		{"gone.example", "5.4.4 Host or domain name not found. Name service error for "
				 "name=gone.example type=MX: Host not found"},
		{"empty.example",
			"5.4.4 Host or domain name not found. Name service error for "
			"name=empty.example type=A: Host found but no data record of requested "
			"type"},
		{"soft.example", "4.4.3 Host or domain name not found. Name service error for "
				 "name=soft.example type=MX: Host not found, try again"},
		{"garbled.example",
			"5.4.4 Host or domain name not found. Name service error for "
			"name=garbled.example type=MX: Malformed or unexpected name server "
			"reply"},
		{"null.example", "5.1.10 Domain null.example does not accept mail (nullMX)"},
		{"half-null.example", "mx1.two.example/11 ; mx1.two.example:25"},
		{"bad.example",
			"5.4.4 Host or domain name not found. Name service error for "
			"name=bad.example type=MX: Malformed or unexpected name server reply"},
		{"half-bad.example", "mx1.two.example/11 ; mx1.two.example:25"},
		{"numeric.example", "192.0.2.99/99 ; 192.0.2.99:25"},
		{"noaddr.example", "5.4.4 Host or domain name not found. Name service error for "
				   "name=gone.example type=A: Host not found"},
		{"softaddr.example", "4.4.3 Host or domain name not found. Name service error for "
				     "name=soft-a.example type=A: Host not found, try again"},
		{"mixed.example", "mx1.two.example/11 ; mx1.two.example,soft-a.example:25"},
		{"[gone.example]", "5.4.4 Host or domain name not found. Name service error for "
				   "name=gone.example type=A: Host not found"},
		{"[soft-a.example]", "4.4.3 Host or domain name not found. Name service error for "
				     "name=soft-a.example type=A: Host not found, try again"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *got = outcome(cases[i].nexthop);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: %s", cases[i].nexthop, got);
	}
}

static void expect(const char *nexthop, const char *want)
{
	const char *got = outcome(nexthop);

	if (strcmp(got, want) != 0)
		fail_msg("%s: %s", nexthop, got);
}

static void switches_change_hard_to_soft_and_mx_to_address(void **state)
{
	(void)state;
	options.defer_if_no_address = true;
	options.ignore_mx_lookup_error = true;
	assert_int_equal(strncmp(outcome("noaddr.example"), "4.4.4 ", 6), 0);
	assert_int_equal(strncmp(outcome("[gone.example]"), "5.4.4 ", 6), 0);
	assert_string_equal(outcome("soft.example"), "soft.example/21 ; soft.example:25");
}

static void odd_zones_are_warned_about(void **state)
{
	(void)state;
	struct pen_dns_hosts *h = resolve("half-null.example");

	assert_string_equal(
		h->warning, "half-null.example has a null MX beside real ones, which are used");
	pen_dns_hosts_free(h);
	h = resolve("numeric.example");
	assert_string_equal(
		h->warning, "MX record of numeric.example holds the address 192.0.2.99");
	pen_dns_hosts_free(h);
}

static void every_host_is_asked_and_the_limit_cuts_addresses(void **state)
{
	(void)state;
	expect("many.example", "h1/1 h2/2 h3/3 h4/4 h5/5 ; h1,h2,h3,h4,h5,h6,h7,h8,h9:25");
	assert_int_equal(questions, 19);
	expect("late.example", "h7/7 ; h7,x1,x2,x3,x4,x5,x6:25");
	options.pick.limit = 2;
	expect("big.example", "big.example/1 big.example/2 ; big.example:25");
	options.pick.limit = 0; // as many as there is room for
	struct pen_dns_hosts *h = resolve("big.example");
	assert_int_equal(h->nhosts, 9);
	pen_dns_hosts_free(h);
}

static void equal_preference_is_shuffled_by_the_seed(void **state)
{
	(void)state;
	unsigned first[10] = {0};
	uint64_t start = pen_test_seed();

	options.pick.randomize = true;
	for (unsigned i = 0; i < 800; i++) {
		seed = start + i;
		struct pen_dns_hosts *h = resolve("many.example");
		assert_int_equal(h->nhosts, 5);
		first[h->host[0].addr.ip[3]]++;
		for (uint32_t k = 0; k < 5; k++)
			assert_int_equal(h->host[k].preference, 1);
		pen_dns_hosts_free(h);
	}
	for (unsigned i = 1; i <= 8; i++)
		assert_in_range(first[i], 50, 170);
	char one[512];
	snprintf(one, sizeof(one), "%s", outcome("many.example"));
	assert_string_equal(outcome("many.example"), one);
}

static void an_address_is_tried_once(void **state)
{
	(void)state;
	struct pen_dns_hosts *h = resolve("[h9]");

	assert_int_equal(h->nhosts, 2);
	pen_dns_hosts_free(h);
	assert_string_equal(outcome("big.example"),
		"big.example/1 big.example/2 big.example/3 big.example/4 big.example/5 ; "
		"big.example:25");
}

static void a_result_is_secure_only_when_every_answer_was(void **state)
{
	(void)state;
	struct pen_dns_hosts *h = resolve("two.example");

	assert_true(h->secure && h->host[0].secure && h->from_mx && h->mx_secure);
	assert_int_equal(h->ttl_s, 300);
	pen_dns_hosts_free(h);
	h = resolve("plain.example");
	assert_false(h->secure || h->host[0].secure || h->from_mx);
	pen_dns_hosts_free(h);
}

static void null_mx_can_be_what_postfix_makes_of_it(void **state)
{
	(void)state;
	options.null_mx_postfix = true;
	expect("null.example", "5.1.0 Domain null.example does not accept mail (nullMX)");
	expect("half-null.example", "5.1.0 Domain half-null.example does not accept mail (nullMX)");
}

static void forged_answers_are_a_temporary_failure_and_never_used(void **state)
{
	(void)state;
	// Not even where a failed MX lookup may be ignored, or the system knows more.
	options.ignore_mx_lookup_error = true;
	options.host_lookup = MX_LOOKUP_DNS_NATIVE;
	expect("bogus.example",
		"4.4.3 Host or domain name not found. Name service error for name=bogus.example "
		"type=MX: Host not found, try again (DNSSEC validation failed)");
	expect("bogus-host.example",
		"4.4.3 Host or domain name not found. Name service error for name=bogus-a "
		"type=A: Host not found, try again (DNSSEC validation failed)");
}

static void both_families_are_used_unless_one_is_switched_off(void **state)
{
	(void)state;
	expect("[d1]", "d1/1 d1/2 d1/six1 d1/six2 ; d1:25");
	options.ip6 = false;
	expect("[d1]", "d1/1 d1/2 ; d1:25");
	expect("[ipv6:2001:db8::5]",
		"5.4.4 Host or domain name not found. Name service error for name=2001:db8::5 "
		"type=A: Host found but no data record of requested type");
	options.ip6 = true;
	options.ip4 = false;
	expect("[d1]", "d1/six1 d1/six2 ; d1:25");
	expect("[IPv6:2001:DB8::5]", "2001:db8::5/six5 ; 2001:db8::5:25");
	expect("[::ffff:192.0.2.100]",
		"5.4.4 Host or domain name not found. Name service error for "
		"name=::ffff:192.0.2.100 type=A: Host found but no data record of requested type");
}

static void a_flood_of_addresses_of_one_family_leaves_room_for_the_other(void **state)
{
	(void)state;
	options.pick.prefer = MX_PREFER_IP6;
	struct pen_dns_hosts *h = resolve("[flood]");

	assert_int_equal(h->nhosts, 5);
	assert_int_equal(h->host[4].addr.family, 4);
	pen_dns_hosts_free(h);
}

static void one_family_that_fails_leaves_the_other(void **state)
{
	(void)state;
	expect("[half-soft]", "half-soft/1 ; half-soft:25");
	expect("[soft-six]", "4.4.3 Host or domain name not found. Name service error for "
			     "name=soft-six type=AAAA: Host not found, try again");
}

static void the_preferred_family_goes_first_within_a_preference(void **state)
{
	(void)state;
	options.pick.limit = 0;
	options.pick.prefer = MX_PREFER_IP6;
	expect("dual.example", "d1/six1 d1/six2 d1/1 d1/2 d2/six3 d2/six4 d2/3 d2/4 ; d1,d2:25");
	options.pick.prefer = MX_PREFER_IP4;
	options.pick.randomize = true;
	for (seed = 1; seed < 50; seed++) {
		struct pen_dns_hosts *h = resolve("dual.example");
		for (uint32_t i = 0; i < 8; i++) {
			assert_int_equal(h->host[i].preference, i < 4 ? 10 : 20);
			assert_int_equal(h->host[i].addr.family, i % 4 < 2 ? 4 : 6);
		}
		pen_dns_hosts_free(h);
	}
}

static void both_families_stay_within_the_limit(void **state)
{
	(void)state;
	// O-105: four of each, IPv6 first, limit 5: three and two.
	options.pick.prefer = MX_PREFER_IP6;
	expect("dual.example", "d1/six1 d1/six2 d1/1 d1/2 d2/six3 ; d1,d2:25");
	options.pick.prefer = MX_PREFER_IP4;
	expect("dual.example", "d1/1 d1/2 d1/six1 d1/six2 d2/3 ; d1,d2:25");
	options.pick.limit = 4;
	expect("dual.example", "d1/1 d1/2 d1/six1 d1/six2 ; d1,d2:25");
	// A family with few keeps them all.
	options.pick.limit = 5;
	options.pick.prefer = MX_PREFER_IP6;
	expect("[six]", "six/six1 six/six2 six/six3 six/six4 six/1 ; six:25");
	options.pick.balance = false;
	expect("[six]", "six/six1 six/six2 six/six3 six/six4 six/six5 ; six:25");
}

static void aliases_are_followed_and_their_security_is_told(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		bool secure, alias_secure;
	} want[] = {
		{"cn-secure", true, false}, {"cn-half", false, true}, {"cn-open", false, false}};
	struct pen_dns_hosts *h = resolve("cn.example");

	assert_int_equal(h->nhosts, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_string_equal(h->host[i].name, want[i].name);
		assert_string_equal(h->host[i].canonical, "end.example");
		assert_int_equal(h->host[i].secure, want[i].secure);
		assert_int_equal(h->host[i].alias_secure, want[i].alias_secure);
	}
	assert_true(h->mx_secure);
	assert_false(h->secure);
	assert_int_equal(questions, 1 + 6 + 2);
	pen_dns_hosts_free(h);

	h = resolve("alias.example");
	assert_string_equal(h->domain_canonical, "real.example");
	assert_string_equal(h->host[0].canonical, "");
	pen_dns_hosts_free(h);
	options.validated = false;
	questions = 0;
	pen_dns_hosts_free(resolve("cn.example"));
	assert_int_equal(questions, 7); // nothing can be secure: no question is worth it
}

static void security_is_told_for_each_address(void **state)
{
	(void)state;
	struct pen_dns_hosts *h = resolve("[half-secure]");

	assert_int_equal(h->nhosts, 2);
	assert_true(h->host[0].secure);
	assert_false(h->host[1].secure);
	assert_false(h->from_mx || h->mx_secure || h->secure);
	pen_dns_hosts_free(h);
}

static void mail_that_would_come_back_to_us_is_refused(void **state)
{
	(void)state;
	// O-103
	expect("self.example", "5.4.6 mail for self.example loops back to myself");
	expect("equal.example", "5.4.6 mail for equal.example loops back to myself");
	expect("direct-self.example", "5.4.6 mail for direct-self.example loops back to myself");
	expect("[192.0.2.100]", "5.4.6 mail for 192.0.2.100 loops back to myself");
	expect("[self]", "5.4.6 mail for self loops back to myself");
	// Another port is another service.
	expect("[self]:26", "self/100 ; self:26");
	struct pen_dns_hosts *h = resolve("self.example");
	assert_true(h->loops && h->self_removed);
	pen_dns_hosts_free(h);
}

static void only_better_hosts_than_we_are_get_the_mail(void **state)
{
	(void)state;
	// O-104
	struct pen_dns_hosts *h = resolve("behind.example");
	assert_int_equal(h->nhosts, 1);
	assert_string_equal(h->host[0].name, "h1");
	assert_true(h->self_removed);
	assert_false(h->loops);
	pen_dns_hosts_free(h);
	expect("unresolved.example", "4.4.4 unable to find primary relay for unresolved.example");
	options.own = NULL;
	expect("unresolved.example", "h2/2 self/100 h3/3 ; gone,h2,h3,self:25");
}

static void a_relay_of_the_operator_never_bounces_mail(void **state)
{
	(void)state;
	options.relayhost = true;
	expect("gone.example",
		"4.3.5 Host or domain name not found. Name service error for name=gone.example "
		"type=MX: Host not found");
	expect("self.example", "4.3.5 mail for self.example loops back to myself");
	expect("soft.example", "4.4.3 Host or domain name not found. Name service error for "
			       "name=soft.example type=MX: Host not found, try again");
	struct pen_dns_hosts *h = resolve("self.example");
	assert_false(h->loops);
	assert_string_equal(h->warning, "relayhost configuration problem: mail for self.example "
					"loops back to myself");
	pen_dns_hosts_free(h);
}

static void the_system_is_asked_in_the_order_that_is_set(void **state)
{
	(void)state;
	expect("[hosts-file]", "5.4.4 Host or domain name not found. Name service error for "
			       "name=hosts-file type=A: Host not found");
	options.host_lookup = MX_LOOKUP_DNS_NATIVE;
	expect("[hosts-file]", "hosts-file/51 hosts-file/six52 ; hosts-file:25");
	expect("[both]", "both/54 ; both:25");
	// What may work later still does when the system does not know the name.
	expect("[soft-a.example]", "4.4.3 Host or domain name not found. Name service error for "
				   "name=soft-a.example type=A: Host not found, try again");
	options.host_lookup = MX_LOOKUP_NATIVE_DNS;
	expect("[both]", "both/53 ; both:25");
	expect("[h1]", "h1/1 ; h1:25");
	options.host_lookup = MX_LOOKUP_NATIVE;
	expect("[h1]", "5.4.4 Host or domain name not found. Name service error for name=h1 "
		       "type=host: Host not found");
	struct pen_dns_hosts *h = resolve("[both]");
	assert_false(h->host[0].secure);
	pen_dns_hosts_free(h);
}

static void without_dns_the_domain_is_a_host_that_the_system_knows(void **state)
{
	(void)state;
	options.no_dns = true;
	expect("hosts-file", "hosts-file/51 hosts-file/six52 ; hosts-file:25");
	assert_int_equal(questions, 1);
	options.ip4 = false;
	expect("both", "5.4.4 Host or domain name not found. Name service error for name=both "
		       "type=host: Host found but no data record of requested type");
}

static void internationalized_domains_become_a_labels(void **state)
{
	(void)state;
	expect("[B\303\274cher.example]",
		"5.4.4 Host or domain name not found. Name service error for "
		"name=xn--bcher-kva.example type=A: Host not found");
}

static void giving_up_ends_with_a_temporary_failure(void **state)
{
	(void)state;
	struct pen_nexthop hop;
	struct mx_query q;

	assert_null(pen_nexthop_parse(&hop, PEN_SPAN_LIT("two.example")));
	struct mx *m = mx_new(&hop, &options, 1);
	assert_true(mx_next(m, &q));
	assert_false(mx_next(m, &q));
	mx_give_up(m, "no answer in time");
	assert_true(mx_done(m));
	mx_answer(m, q.id, look_up(&q)); // is ignored
	struct pen_dns_hosts *h = mx_take(m);
	assert_int_equal(h->dsn.klass, 4);
	assert_int_equal(h->dsn.detail, 3);
	assert_in_range(h->ttl_s, 5, 30);
	pen_dns_hosts_free(h);
	mx_free(m);
}

#define TEST(f) cmocka_unit_test_setup(f, begin)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(exchangers_come_in_the_order_of_preference),
		TEST(domains_with_one_set_of_exchangers_share_a_site),
		TEST(brackets_and_literals_ask_no_exchanger),
		TEST(results_follow_the_table_of_name_service_errors),
		TEST(switches_change_hard_to_soft_and_mx_to_address),
		TEST(odd_zones_are_warned_about),
		TEST(every_host_is_asked_and_the_limit_cuts_addresses),
		TEST(equal_preference_is_shuffled_by_the_seed),
		TEST(an_address_is_tried_once),
		TEST(a_result_is_secure_only_when_every_answer_was),
		TEST(null_mx_can_be_what_postfix_makes_of_it),
		TEST(forged_answers_are_a_temporary_failure_and_never_used),
		TEST(both_families_are_used_unless_one_is_switched_off),
		TEST(a_flood_of_addresses_of_one_family_leaves_room_for_the_other),
		TEST(one_family_that_fails_leaves_the_other),
		TEST(the_preferred_family_goes_first_within_a_preference),
		TEST(both_families_stay_within_the_limit),
		TEST(aliases_are_followed_and_their_security_is_told),
		TEST(security_is_told_for_each_address),
		TEST(mail_that_would_come_back_to_us_is_refused),
		TEST(only_better_hosts_than_we_are_get_the_mail),
		TEST(a_relay_of_the_operator_never_bounces_mail),
		TEST(the_system_is_asked_in_the_order_that_is_set),
		TEST(without_dns_the_domain_is_a_host_that_the_system_knows),
		TEST(internationalized_domains_become_a_labels),
		TEST(giving_up_ends_with_a_temporary_failure),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
