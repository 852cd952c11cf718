// SPDX-License-Identifier: BSD-3-Clause
#include "pen_message.h"
#include "pen_rand.h"
#include "pen_test.h"

#include <stddef.h>

static void a_message_owns_copies_of_its_envelope(void **state)
{
	(void)state;
	char sender[] = "a@example.org", one[] = "b@example.net", two[] = "c@example.com";
	struct pen_span rcpts[2] = {pen_span_cstr(one), pen_span_cstr(two)};
	struct pen_message *m = pen_message_new(
		pen_span_cstr(sender), rcpts, 2, malloc(8), 8, 77, PEN_MESSAGE_8BIT);

	assert_non_null(m);
	memset(sender, 'x', sizeof(sender));
	memset(one, 'x', sizeof(one));
	assert_true(pen_span_eq(pen_message_sender(m), PEN_SPAN_LIT("a@example.org")));
	assert_true(pen_span_eq(pen_recipient_addr(&m->rcpt[0]), PEN_SPAN_LIT("b@example.net")));
	assert_true(pen_span_eq(pen_recipient_addr(&m->rcpt[1]), PEN_SPAN_LIT("c@example.com")));
	assert_int_equal(m->arrival, 77);
	assert_int_equal(m->next_attempt, 77);
	assert_true(pen_message_live(m));
	m->rcpt[0].fate = PEN_FATE_DELIVERED;
	m->rcpt[1].fate = PEN_FATE_BOUNCED;
	assert_false(pen_message_live(m));
	pen_message_free(m);
	pen_message_free(NULL);
}

static void what_the_client_asked_for_about_notifications_is_kept(void **state)
{
	(void)state;
	char envid[] = "QQ+2B314", orcpt[] = "rfc822;b+2Bx@example.net";
	const struct pen_envelope_rcpt rcpts[2] = {
		{PEN_SPAN_LIT("b@example.net"), pen_span_cstr(orcpt),
			PEN_NOTIFY_SUCCESS | PEN_NOTIFY_DELAY},
		{.addr = PEN_SPAN_LIT("c@example.com")},
	};
	const struct pen_envelope e = {.sender = PEN_SPAN_LIT("a@example.org"),
		.envid = pen_span_cstr(envid),
		.rcpt = rcpts,
		.nrcpt = 2,
		.flags = PEN_MESSAGE_REQUIRETLS | PEN_MESSAGE_RET_HDRS,
		.arrival = 77};
	struct pen_message *m = pen_message_make(&e, malloc(3), 3);

	memset(envid, 'x', sizeof(envid));
	memset(orcpt, 'x', sizeof(orcpt));
	assert_true(pen_span_eq(pen_message_sender(m), PEN_SPAN_LIT("a@example.org")));
	assert_true(pen_span_eq(pen_message_envid(m), PEN_SPAN_LIT("QQ+2B314")));
	assert_true(pen_span_eq(pen_recipient_addr(&m->rcpt[0]), PEN_SPAN_LIT("b@example.net")));
	assert_true(pen_span_eq(
		pen_recipient_orcpt(&m->rcpt[0]), PEN_SPAN_LIT("rfc822;b+2Bx@example.net")));
	assert_int_equal(m->rcpt[0].notify, PEN_NOTIFY_SUCCESS | PEN_NOTIFY_DELAY);
	assert_true(pen_span_eq(pen_recipient_addr(&m->rcpt[1]), PEN_SPAN_LIT("c@example.com")));
	assert_int_equal(m->rcpt[1].orcpt_len, 0);
	assert_int_equal(m->rcpt[1].notify, 0);
	assert_int_equal(m->flags, PEN_MESSAGE_REQUIRETLS | PEN_MESSAGE_RET_HDRS);
	assert_int_equal(m->arrival, 77);
	assert_int_equal(m->next_attempt, 77);
	assert_int_equal(m->content_len, 3);
	pen_message_free(m);
}

static void one_recipient_and_64_bytes_of_addresses_take_160_bytes(void **state)
{
	(void)state;
	assert_true(offsetof(struct pen_message, rcpt) + sizeof(struct pen_recipient) + 64 <= 160);
	const struct pen_envelope e = {.sender = PEN_SPAN_LIT("a@b"), .envid = PEN_SPAN_LIT("x")};
	struct pen_message *m = pen_message_make(&e, NULL, 0);
	assert_true(pen_span_eq(pen_message_sender(m), PEN_SPAN_LIT("a@b")));
	assert_true(pen_span_eq(pen_message_envid(m), PEN_SPAN_LIT("x")));
	pen_message_free(m);
}

static void an_address_longer_than_its_length_can_say_is_refused(void **state)
{
	(void)state;
	static char text[UINT16_MAX + 1];
	memset(text, 'x', sizeof(text));
	struct pen_span longest = pen_span(text, UINT16_MAX), longer = pen_span(text, sizeof(text));
	struct pen_message *m = pen_message_new(longest, &longest, 1, NULL, 0, 1, 0);
	assert_true(pen_span_eq(pen_message_sender(m), longest));
	assert_true(pen_span_eq(pen_recipient_addr(&m->rcpt[0]), longest));
	pen_message_free(m);
	assert_null(pen_message_new(longer, &longest, 1, malloc(3), 3, 1, 0));
	assert_null(pen_message_new(longest, &longer, 1, malloc(3), 3, 1, 0));
	const struct pen_envelope_rcpt rcpt = {.addr = longer};
	const struct pen_envelope e = {.sender = PEN_SPAN_LIT("a@b"), .rcpt = &rcpt, .nrcpt = 1};
	assert_null(pen_message_make(&e, malloc(3), 3));
	const struct pen_envelope none = {.sender = longer};
	assert_null(pen_message_make(&none, NULL, 0));
}

static void the_longest_requests_fit(void **state)
{
	(void)state;
	static char text[PEN_XTEXT_MAX];

	memset(text, 'x', sizeof(text));
	const struct pen_envelope_rcpt rcpt = {
		PEN_SPAN_LIT("b@c"), pen_span(text, sizeof(text)), 0};
	const struct pen_envelope e = {.sender = PEN_SPAN_LIT("a@b"),
		.envid = pen_span(text, sizeof(text)),
		.rcpt = &rcpt,
		.nrcpt = 1};
	struct pen_message *m = pen_message_make(&e, NULL, 0);
	assert_true(pen_span_eq(pen_message_envid(m), e.envid));
	assert_true(pen_span_eq(pen_recipient_orcpt(&m->rcpt[0]), rcpt.orcpt));
	assert_true(pen_span_eq(pen_message_sender(m), PEN_SPAN_LIT("a@b")));
	pen_message_free(m);
}

static void a_null_sender_stays_empty(void **state)
{
	(void)state;
	struct pen_span rcpt = PEN_SPAN_LIT("b@example.net");
	struct pen_message *m = pen_message_new(pen_span(NULL, 0), &rcpt, 1, NULL, 0, 1, 0);

	assert_int_equal(pen_message_sender(m).n, 0);
	m->id = 1790000000123456;
	assert_int_equal(pen_queue_id_parse(pen_span_cstr(PEN_QUEUE_ID(m))), m->id);
	pen_message_free(m);
}

static void every_id_survives_its_text_form(void **state)
{
	(void)state;
	static const uint64_t edges[] = {1, 51, 52, 999999, 1000000, 19770609663999999,
		19770609664000000, UINT64_MAX - 1, UINT64_MAX};
	struct pen_rand r;
	char text[PEN_QUEUE_ID_MAX];

	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		pen_queue_id_format(edges[i], text);
		assert_int_equal(pen_queue_id_parse(pen_span_cstr(text)), edges[i]);
	}
	pen_rand_seed(&r, pen_test_seed());
	for (int i = 0; i < 100000; i++) {
		uint64_t id = pen_rand_u64(&r) >> pen_rand_below(&r, 63);
		pen_queue_id_format(id, text);
		assert_int_equal(strlen(text), 15);
		assert_int_equal(pen_queue_id_parse(pen_span_cstr(text)), id);
	}
}

static void queue_ids_sort_by_time(void **state)
{
	(void)state;
	char last[PEN_QUEUE_ID_MAX] = "", text[PEN_QUEUE_ID_MAX];

	for (uint64_t id = 1790000000000000; id < 1790000000000000 + 4000000000;
		id += 1 + id % 999983) {
		pen_queue_id_format(id, text);
		assert_true(strcmp(last, text) < 0);
		assert_null(strpbrk(text, "aeiouAEIOU"));
		memcpy(last, text, sizeof(last));
	}
}

static void what_is_no_queue_id_parses_to_zero(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "4C", "4bcdfg0000z000", "4bcdfg0000z00000",
		"4bcdfg0000y0000", "4acdfg0000z0000", "4bcdfgzzzzz0000", "4bcdfg0000zzzzz",
		"4bcdfg0000z000 ", "4bcdfg0000zy000"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(pen_queue_id_parse(pen_span_cstr(bad[i])), 0);
	assert_int_equal(pen_queue_id_parse(PEN_SPAN_LIT("4bcdfg0\0"
							 "00z0000")),
		0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_owns_copies_of_its_envelope),
		cmocka_unit_test(what_the_client_asked_for_about_notifications_is_kept),
		cmocka_unit_test(one_recipient_and_64_bytes_of_addresses_take_160_bytes),
		cmocka_unit_test(an_address_longer_than_its_length_can_say_is_refused),
		cmocka_unit_test(the_longest_requests_fit),
		cmocka_unit_test(a_null_sender_stays_empty),
		cmocka_unit_test(every_id_survives_its_text_form),
		cmocka_unit_test(queue_ids_sort_by_time),
		cmocka_unit_test(what_is_no_queue_id_parses_to_zero),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
