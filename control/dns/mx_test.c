// SPDX-License-Identifier: BSD-3-Clause
#include "mx.h"
#include "pen_buf.h"
#include "pen_test.h"

// A zone: what each question is answered. Anything else does not exist.
struct record {
	const char *name;
	uint16_t type;
	enum dns_status status;
	const char *data; // MX: "10 a,20 b"; A: last bytes of 192.0.2.x, "1,2"
	bool insecure;
};

static const struct record zone[] = {
	{"two.example", DNS_TYPE_MX, DNS_OK, "20 mx2.two.example,10 mx1.two.example", false},
	{"mx1.two.example", DNS_TYPE_A, DNS_OK, "11", false},
	{"mx2.two.example", DNS_TYPE_A, DNS_OK, "12,13", false},
	{"also-two.example", DNS_TYPE_MX, DNS_OK, "5 mx2.two.example,5 mx1.two.example", false},
	{"plain.example", DNS_TYPE_MX, DNS_NODATA, "", false},
	{"plain.example", DNS_TYPE_A, DNS_OK, "20", true},
	{"empty.example", DNS_TYPE_MX, DNS_NODATA, "", false},
	{"empty.example", DNS_TYPE_A, DNS_NODATA, "", false},
	{"soft.example", DNS_TYPE_MX, DNS_FAIL, "", false},
	{"soft.example", DNS_TYPE_A, DNS_OK, "21", false},
	{"garbled.example", DNS_TYPE_MX, DNS_MALFORMED, "", false},
	{"null.example", DNS_TYPE_MX, DNS_OK, "0 ", false},
	{"half-null.example", DNS_TYPE_MX, DNS_OK, "0 ,10 mx1.two.example", false},
	{"bad.example", DNS_TYPE_MX, DNS_OK, "10 ?.example", false},
	{"half-bad.example", DNS_TYPE_MX, DNS_OK, "10 ?.example,20 mx1.two.example", false},
	{"numeric.example", DNS_TYPE_MX, DNS_OK, "10 192.0.2.99", false},
	{"noaddr.example", DNS_TYPE_MX, DNS_OK, "10 gone.example,20 empty.example", false},
	{"softaddr.example", DNS_TYPE_MX, DNS_OK, "10 gone.example,20 soft-a.example", false},
	{"soft-a.example", DNS_TYPE_A, DNS_FAIL, "", false},
	{"mixed.example", DNS_TYPE_MX, DNS_OK, "10 soft-a.example,20 mx1.two.example", false},
	{"many.example", DNS_TYPE_MX, DNS_OK, "1 h1,1 h2,1 h3,1 h4,1 h5,1 h6,1 h7,1 h8,2 h9",
		false},
	{"late.example", DNS_TYPE_MX, DNS_OK, "1 x1,2 x2,3 x3,4 x4,5 x5,6 x6,7 h7", false},
	{"h1", DNS_TYPE_A, DNS_OK, "1", false},
	{"h2", DNS_TYPE_A, DNS_OK, "2", false},
	{"h3", DNS_TYPE_A, DNS_OK, "3", false},
	{"h4", DNS_TYPE_A, DNS_OK, "4", false},
	{"h5", DNS_TYPE_A, DNS_OK, "5", false},
	{"h6", DNS_TYPE_A, DNS_OK, "6", false},
	{"h7", DNS_TYPE_A, DNS_OK, "7", false},
	{"h8", DNS_TYPE_A, DNS_OK, "8", false},
	{"h9", DNS_TYPE_A, DNS_OK, "1,9", false},
	{"big.example", DNS_TYPE_MX, DNS_NODATA, "", false},
	{"big.example", DNS_TYPE_A, DNS_OK, "1,2,3,4,5,6,7,8,9", false},
};

static struct mx_options options;
static uint64_t seed;
static unsigned questions;

static int begin(void **state)
{
	(void)state;
	options = (struct mx_options){.address_limit = 5, .randomize = false};
	seed = 1;
	questions = 0;
	return 0;
}

static void fill(struct dns_answer *a, const struct record *r)
{
	const char *s = r->data;

	a->status = r->status;
	a->secure = !r->insecure;
	while (r->status == DNS_OK && *s != '\0') {
		struct dns_data *d = &a->data[a->n++];
		char *rest;
		unsigned long v = strtoul(s, &rest, 10);
		s = rest;
		if (r->type == DNS_TYPE_MX) {
			size_t n = strcspn(++s, ",");
			d->preference = (uint16_t)v;
			memcpy(d->name, s, n);
			d->bad_name = n > 0 && (s[0] == '?' || strncmp(s, "192", 3) == 0);
			s += n;
		} else {
			d->addr = pen_addr_ip4(0xc0000200u + (uint32_t)v);
		}
		s += *s == ',';
	}
}

static struct dns_answer look_up(const struct mx_query *q)
{
	struct dns_answer a = {.status = DNS_NXDOMAIN, .secure = true, .ttl_s = 300};

	questions++;
	for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++) {
		if (zone[i].type == q->type && strcmp(zone[i].name, q->name) == 0)
			fill(&a, &zone[i]);
	}
	return a;
}

// resolve asks everything that may be asked, then answers it last first.
static struct pen_dns_hosts *resolve(const char *nexthop)
{
	struct pen_nexthop hop;
	struct mx_query open[MX_HOSTS_MAX];

	assert_null(pen_nexthop_parse(&hop, pen_span_cstr(nexthop)));
	struct mx *m = mx_new(&hop, &options, seed);
	while (!mx_done(m)) {
		unsigned n = 0;
		while (mx_next(m, &open[n]))
			n++;
		assert_int_not_equal(n, 0);
		while (n > 0) {
			struct dns_answer a = look_up(&open[--n]);
			mx_answer(m, open[n].id, &a);
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
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s/%u ", h->host[i].name,
				h->host[i].addr.ip[3]);
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
	assert_int_equal(questions, 1);
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

static void only_as_many_hosts_are_asked_as_addresses_are_needed(void **state)
{
	(void)state;
	assert_string_equal(outcome("many.example"),
		"h1/1 h2/2 h3/3 h4/4 h5/5 ; h1,h2,h3,h4,h5,h6,h7,h8,h9:25");
	assert_int_equal(questions, 6);
	questions = 0;
	// Hosts without an address make room for the next ones.
	assert_string_equal(outcome("late.example"), "h7/7 ; h7,x1,x2,x3,x4,x5,x6:25");
	assert_int_equal(questions, 8);
	options.address_limit = 2;
	assert_string_equal(outcome("big.example"), "big.example/1 big.example/2 ; big.example:25");
}

static void equal_preference_is_shuffled_by_the_seed(void **state)
{
	(void)state;
	unsigned first[10] = {0};
	uint64_t start = pen_test_seed();

	options.randomize = true;
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

	assert_true(h->secure && h->host[0].secure && h->from_mx);
	assert_int_equal(h->ttl_s, 300);
	pen_dns_hosts_free(h);
	h = resolve("plain.example");
	assert_false(h->secure || h->host[0].secure || h->from_mx);
	pen_dns_hosts_free(h);
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
	struct dns_answer late = look_up(&q);
	mx_answer(m, q.id, &late); // is ignored
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
		TEST(only_as_many_hosts_are_asked_as_addresses_are_needed),
		TEST(equal_preference_is_shuffled_by_the_seed),
		TEST(an_address_is_tried_once),
		TEST(a_result_is_secure_only_when_every_answer_was),
		TEST(giving_up_ends_with_a_temporary_failure),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
