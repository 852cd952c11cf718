// SPDX-License-Identifier: BSD-3-Clause
#include "dns_wire.h"
#include "pen_buf.h"
#include "pen_test.h"

// A packet under construction; names are written without compression unless a
// test does it by hand.
static struct pen_buf pkt;
static struct dns_answer answer;
static uint8_t *packet;
static const char *asked;

static int end(void **state)
{
	(void)state;
	pen_buf_fini(&pkt);
	free(packet);
	packet = NULL;
	return 0;
}

static void put16(unsigned v)
{
	uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};

	pen_buf_add(&pkt, b, 2);
}

static void put_name(const char *name)
{
	while (*name != '\0') {
		size_t n = strcspn(name, ".");
		uint8_t len = (uint8_t)n;
		pen_buf_add(&pkt, &len, 1);
		pen_buf_add(&pkt, name, n);
		name += n + (name[n] == '.');
	}
	pen_buf_add(&pkt, "", 1);
}

static void begin(
	unsigned flags, unsigned answers, unsigned authority, const char *qname, unsigned type)
{
	asked = qname;
	pen_buf_reset(&pkt);
	put16(0x1234);
	put16(flags);
	put16(1);
	put16(answers);
	put16(authority);
	put16(0);
	put_name(qname);
	put16(type);
	put16(1);
}

static void put_fixed(unsigned type, uint32_t ttl, unsigned len)
{
	put16(type);
	put16(1);
	put16(ttl >> 16);
	put16(ttl & 0xffff);
	put16(len);
}

static void put_mx(const char *owner, uint32_t ttl, unsigned preference, const char *target)
{
	put_name(owner);
	put_fixed(PEN_DNS_MX, ttl, (unsigned)strlen(target) + (target[0] != '\0' ? 4 : 3));
	put16(preference);
	put_name(target);
}

static void put_a(const char *owner, uint32_t ttl, uint8_t last)
{
	uint8_t ip[4] = {192, 0, 2, last};

	put_name(owner);
	put_fixed(PEN_DNS_A, ttl, 4);
	pen_buf_add(&pkt, ip, 4);
}

static void put_cname(const char *owner, uint32_t ttl, const char *target)
{
	put_name(owner);
	put_fixed(PEN_DNS_CNAME, ttl, (unsigned)strlen(target) + 2);
	put_name(target);
}

// parse works on an exact copy, so that ASan sees a read past the end.
static enum pen_dns_status parse_n(size_t n, uint16_t type)
{
	free(packet);
	packet = malloc(n > 0 ? n : 1);
	if (n > 0)
		memcpy(packet, pkt.p, n);
	dns_wire_parse(&answer, pen_span(packet, n), asked, type);
	return answer.a.status;
}

static enum pen_dns_status parse(uint16_t type)
{
	return parse_n(pkt.n, type);
}

static void mx_records_are_read_in_lower_case(void **state)
{
	(void)state;
	begin(0x8180, 3, 0, "example.com", PEN_DNS_MX);
	put_mx("Example.COM", 300, 10, "MX1.example.com");
	put_mx("example.com", 200, 20, "mx2.example.com");
	put_mx("other.com", 1, 5, "stray.example.com");
	assert_int_equal(parse(PEN_DNS_MX), PEN_DNS_OK);
	assert_int_equal(answer.a.n, 2);
	assert_int_equal(answer.a.ttl_s, 200);
	assert_string_equal(answer.record[0].name, "mx1.example.com");
	assert_int_equal(answer.record[0].preference, 10);
	assert_int_equal(answer.record[1].preference, 20);
	assert_false(answer.record[0].bad_name);
}

static void null_and_malformed_exchangers_are_told_apart(void **state)
{
	(void)state;
	begin(0x8180, 3, 0, "example.com", PEN_DNS_MX);
	put_mx("example.com", 300, 0, "");
	put_mx("example.com", 300, 0, "a b.example.com");
	put_mx("example.com", 300, 0, "-x.example.com");
	assert_int_equal(parse(PEN_DNS_MX), PEN_DNS_OK);
	assert_int_equal(answer.a.n, 3);
	assert_string_equal(answer.record[0].name, "");
	assert_false(answer.record[0].bad_name);
	assert_true(answer.record[1].bad_name);
	assert_true(answer.record[2].bad_name);
}

static void a_cname_chain_in_any_order_leads_to_the_addresses(void **state)
{
	(void)state;
	begin(0x8180, 4, 0, "www.example.com", PEN_DNS_A);
	put_a("end.example.net", 300, 1);
	put_cname("mid.example.com", 60, "end.example.net");
	put_cname("www.example.com", 400, "mid.example.com");
	put_a("other.example.net", 1, 9);
	assert_int_equal(parse(PEN_DNS_A), PEN_DNS_OK);
	assert_int_equal(answer.a.n, 1);
	assert_int_equal(answer.record[0].addr.ip[3], 1);
	assert_int_equal(answer.a.ttl_s, 60);
}

static void a_cname_loop_ends(void **state)
{
	(void)state;
	begin(0x8180, 2, 0, "a.example", PEN_DNS_A);
	put_cname("a.example", 60, "b.example");
	put_cname("b.example", 60, "a.example");
	assert_int_equal(parse(PEN_DNS_A), PEN_DNS_FAILED);
	assert_int_equal(answer.odd, DNS_ODD_CNAMES);
}

static void an_endless_chain_of_cnames_is_a_failure_and_not_no_data(void **state)
{
	(void)state;
	for (int n = DNS_WIRE_CNAMES_MAX; n <= DNS_WIRE_CNAMES_MAX + 1; n++) {
		begin(0x8180, (unsigned)n + 1, 0, "c0", PEN_DNS_A);
		char from[16], to[16];
		for (int i = 0; i < n; i++) {
			snprintf(from, sizeof(from), "c%d", i);
			snprintf(to, sizeof(to), "c%d", i + 1);
			put_cname(from, 60, to);
		}
		put_a(to, 60, 1);
		bool fine = n == DNS_WIRE_CNAMES_MAX;
		assert_int_equal(parse(PEN_DNS_A), fine ? PEN_DNS_OK : PEN_DNS_FAILED);
		assert_string_equal(answer.a.canonical, fine ? to : "c0");
	}
}

static void the_end_of_the_chain_is_told_also_without_data(void **state)
{
	(void)state;
	begin(0x8180, 1, 0, "www.example.com", PEN_DNS_AAAA);
	put_cname("www.example.com", 400, "end.example.net");
	assert_int_equal(parse(PEN_DNS_AAAA), PEN_DNS_NODATA);
	assert_string_equal(answer.a.canonical, "end.example.net");
	begin(0x8183, 1, 0, "www.example.com", PEN_DNS_TLSA);
	put_cname("www.example.com", 400, "end.example.net");
	assert_int_equal(parse(PEN_DNS_TLSA), PEN_DNS_NXDOMAIN);
	assert_string_equal(answer.a.canonical, "end.example.net");
}

static void an_alias_that_was_asked_for_is_not_followed(void **state)
{
	(void)state;
	begin(0x8180, 2, 0, "a.example", PEN_DNS_CNAME);
	put_cname("a.example", 60, "B.example");
	put_cname("b.example", 60, "c.example");
	assert_int_equal(parse(PEN_DNS_CNAME), PEN_DNS_OK);
	assert_int_equal(answer.a.n, 1);
	assert_string_equal(answer.record[0].name, "b.example");
	assert_ptr_equal(answer.a.canonical, answer.a.name);
}

static void put_raw(const char *owner, unsigned type, const void *data, size_t n)
{
	put_name(owner);
	put_fixed(type, 300, (unsigned)n);
	pen_buf_add(&pkt, data, n);
}

static void addresses_of_the_other_family_are_read(void **state)
{
	(void)state;
	static const uint8_t ip[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 9};

	begin(0x8180, 1, 0, "h.example", PEN_DNS_AAAA);
	put_raw("h.example", PEN_DNS_AAAA, ip, sizeof(ip));
	assert_int_equal(parse(PEN_DNS_AAAA), PEN_DNS_OK);
	assert_int_equal(answer.record[0].addr.family, PEN_FAMILY_IP6);
	assert_memory_equal(answer.record[0].addr.ip, ip, 16);
	begin(0x8180, 1, 0, "h.example", PEN_DNS_AAAA);
	put_raw("h.example", PEN_DNS_AAAA, ip, 15);
	assert_int_equal(parse(PEN_DNS_AAAA), PEN_DNS_MALFORMED);
}

static void strings_of_a_txt_record_are_joined(void **state)
{
	(void)state;
	begin(0x8180, 3, 0, "_mta-sts.example", PEN_DNS_TXT);
	put_raw("_mta-sts.example", PEN_DNS_TXT,
		"\6v=STSv\0\7"
		"1; id=1",
		16);
	put_raw("_mta-sts.example", PEN_DNS_TXT, "\5other", 6);
	put_raw("_mta-sts.example", PEN_DNS_TXT, "\0", 1);
	assert_int_equal(parse(PEN_DNS_TXT), PEN_DNS_OK);
	assert_int_equal(answer.a.n, 3);
	assert_true(pen_span_eq(answer.record[0].data, PEN_SPAN_LIT("v=STSv1; id=1")));
	assert_true(pen_span_eq(answer.record[1].data, PEN_SPAN_LIT("other")));
	assert_int_equal(answer.record[2].data.n, 0);
	assert_false(answer.a.cut);
	// A string that is longer than its record, and a record without any.
	begin(0x8180, 1, 0, "x.example", PEN_DNS_TXT);
	put_raw("x.example", PEN_DNS_TXT, "\7other", 6);
	assert_int_equal(parse(PEN_DNS_TXT), PEN_DNS_MALFORMED);
	begin(0x8180, 1, 0, "x.example", PEN_DNS_TXT);
	put_raw("x.example", PEN_DNS_TXT, "", 0);
	assert_int_equal(parse(PEN_DNS_TXT), PEN_DNS_MALFORMED);
}

static void a_flood_of_text_is_cut(void **state)
{
	(void)state;
	static uint8_t text[60 * 256];

	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 60; i++)
		text[i * 256] = 255;
	begin(0x8180, 4, 0, "x.example", PEN_DNS_TXT);
	for (int i = 0; i < 4; i++)
		put_raw("x.example", PEN_DNS_TXT, text, sizeof(text));
	assert_int_equal(parse(PEN_DNS_TXT), PEN_DNS_OK);
	assert_int_equal(answer.a.n, 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(answer.record[i].data.n, DNS_WIRE_TXT_MAX);
	assert_true(answer.a.cut);
	assert_int_equal(answer.odd, DNS_ODD_TXT);
}

static void tlsa_records_are_read_and_bounded(void **state)
{
	(void)state;
	static uint8_t big[40000] = {3, 0, 0};

	begin(0x8180, 2, 0, "_25._tcp.mx.example", PEN_DNS_TLSA);
	put_raw("_25._tcp.mx.example", PEN_DNS_TLSA, "\3\1\1abcd", 7);
	put_raw("_25._tcp.mx.example", PEN_DNS_TLSA, "\2\0\2", 3); // no data at all
	assert_int_equal(parse(PEN_DNS_TLSA), PEN_DNS_OK);
	assert_int_equal(answer.a.n, 2);
	assert_int_equal(answer.record[0].usage, 3);
	assert_int_equal(answer.record[0].selector, 1);
	assert_int_equal(answer.record[0].mtype, 1);
	assert_true(pen_span_eq(answer.record[0].data, PEN_SPAN_LIT("abcd")));
	assert_int_equal(answer.record[1].data.n, 0);
	begin(0x8180, 1, 0, "t.example", PEN_DNS_TLSA);
	put_raw("t.example", PEN_DNS_TLSA, "\3\1", 2);
	assert_int_equal(parse(PEN_DNS_TLSA), PEN_DNS_MALFORMED);
	begin(0x8180, 1, 0, "t.example", PEN_DNS_TLSA);
	put_raw("t.example", PEN_DNS_TLSA, big, sizeof(big));
	assert_int_equal(parse(PEN_DNS_TLSA), PEN_DNS_OK);
	assert_int_equal(answer.record[0].data.n, DNS_WIRE_TLSA_MAX);
	assert_int_equal(answer.odd, DNS_ODD_TLSA);
	assert_true(answer.a.cut);
}

static void internationalized_exchangers_become_a_labels(void **state)
{
	(void)state;
	begin(0x8180, 2, 0, "example.com", PEN_DNS_MX);
	put_mx("example.com", 300, 0, "mx.b\303\274cher.example");
	put_mx("example.com", 300, 0, "mx.\377.example");
	assert_int_equal(parse(PEN_DNS_MX), PEN_DNS_OK);
	assert_string_equal(answer.record[0].name, "mx.xn--bcher-kva.example");
	assert_false(answer.record[0].bad_name);
	assert_true(answer.record[1].bad_name);
	assert_int_equal(answer.odd, DNS_ODD_NAME);
}

static void negative_answers_take_their_ttl_from_the_soa(void **state)
{
	(void)state;
	for (int nx = 0; nx < 2; nx++) {
		begin(nx ? 0x8183 : 0x8180, 0, 1, "no.example", PEN_DNS_MX);
		put_name("example");
		put_fixed(DNS_TYPE_SOA, 3600, 22);
		pen_buf_add(&pkt, "\0\0", 2);
		for (int i = 0; i < 4; i++) {
			put16(0);
			put16(7);
		}
		put16(0);
		put16(120);
		assert_int_equal(parse(PEN_DNS_MX), nx ? PEN_DNS_NXDOMAIN : PEN_DNS_NODATA);
		assert_int_equal(answer.a.ttl_s, 120);
	}
}

static void server_failures_are_no_answers(void **state)
{
	(void)state;
	begin(0x8182, 0, 0, "example.com", PEN_DNS_MX);
	assert_int_equal(parse(PEN_DNS_MX), PEN_DNS_FAILED);
	begin(0x8185, 0, 0, "example.com", PEN_DNS_MX);
	assert_int_equal(parse(PEN_DNS_MX), PEN_DNS_FAILED);
	begin(0x0180, 0, 0, "example.com", PEN_DNS_MX);
	assert_int_equal(parse(PEN_DNS_MX), PEN_DNS_MALFORMED); // a query
	begin(0x8180, 0, 0, "example.com", PEN_DNS_A);
	assert_int_equal(parse(PEN_DNS_MX), PEN_DNS_MALFORMED); // to another question
}

static void a_packet_cut_anywhere_is_malformed_and_never_over_read(void **state)
{
	(void)state;
	begin(0x8180, 2, 0, "example.com", PEN_DNS_MX);
	put_mx("example.com", 300, 10, "mx1.example.com");
	put_mx("example.com", 300, 10, "mx2.example.com");
	for (size_t n = 0; n < pkt.n; n++)
		assert_int_equal(parse_n(n, PEN_DNS_MX), PEN_DNS_MALFORMED);
	assert_int_equal(parse(PEN_DNS_MX), PEN_DNS_OK);
}

static void compression_works_and_its_loops_are_refused(void **state)
{
	(void)state;
	begin(0x8180, 1, 0, "example.com", PEN_DNS_MX);
	put16(0xc00c);
	put_fixed(PEN_DNS_MX, 300, 8);
	put16(10);
	pen_buf_add(&pkt, "\3mx1\xc0\x0c", 6);
	assert_int_equal(parse(PEN_DNS_MX), PEN_DNS_OK);
	assert_string_equal(answer.record[0].name, "mx1.example.com");

	// A name that points at itself, and one that points forward.
	for (unsigned to = 12; to < 60; to++) {
		char out[DNS_WIRE_NAME_MAX];
		bool odd;
		uint8_t loop[64] = {0};
		size_t at = 30;
		loop[30] = 0xc0;
		loop[31] = (uint8_t)to;
		loop[12] = 0xc0;
		loop[13] = 30;
		bool ok = dns_wire_name(pen_span(loop, sizeof(loop)), &at, out, &odd);
		// At 13 a label begins, from 14 on there are zeros: the root.
		assert_true(ok == (to > 12 && to < 30));
	}
}

static void too_many_records_are_cut_and_said_so(void **state)
{
	(void)state;
	begin(0x8180, 700, 0, "example.com", PEN_DNS_A);
	for (int i = 0; i < 700; i++)
		put_a("example.com", 300, (uint8_t)i);
	assert_int_equal(parse(PEN_DNS_A), PEN_DNS_OK);
	assert_int_equal(answer.a.n, DNS_WIRE_DATA_MAX);
	assert_true(answer.a.cut);
}

static void names_are_limited_to_what_the_wire_allows(void **state)
{
	(void)state;
	uint8_t wire[300];
	char out[DNS_WIRE_NAME_MAX];
	bool odd;

	// Four labels of 63, 63, 63 and 61 are 255 bytes with lengths and the root.
	static const uint8_t lens[] = {63, 63, 63, 61};
	size_t n = 0;
	for (size_t i = 0; i < 4; i++) {
		wire[n++] = lens[i];
		memset(wire + n, 'a', lens[i]);
		n += lens[i];
	}
	wire[n++] = 0;
	size_t at = 0;
	assert_true(dns_wire_name(pen_span(wire, n), &at, out, &odd));
	assert_int_equal(strlen(out), 253);
	wire[192] = 62;
	wire[255] = 0;
	at = 0;
	assert_false(dns_wire_name(pen_span(wire, 256), &at, out, &odd));
}

#define TEST(f) cmocka_unit_test_teardown(f, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(mx_records_are_read_in_lower_case),
		TEST(null_and_malformed_exchangers_are_told_apart),
		TEST(a_cname_chain_in_any_order_leads_to_the_addresses),
		TEST(a_cname_loop_ends),
		TEST(an_endless_chain_of_cnames_is_a_failure_and_not_no_data),
		TEST(the_end_of_the_chain_is_told_also_without_data),
		TEST(an_alias_that_was_asked_for_is_not_followed),
		TEST(addresses_of_the_other_family_are_read),
		TEST(strings_of_a_txt_record_are_joined),
		TEST(a_flood_of_text_is_cut),
		TEST(tlsa_records_are_read_and_bounded),
		TEST(internationalized_exchangers_become_a_labels),
		TEST(negative_answers_take_their_ttl_from_the_soa),
		TEST(server_failures_are_no_answers),
		TEST(a_packet_cut_anywhere_is_malformed_and_never_over_read),
		TEST(compression_works_and_its_loops_are_refused),
		TEST(too_many_records_are_cut_and_said_so),
		TEST(names_are_limited_to_what_the_wire_allows),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
