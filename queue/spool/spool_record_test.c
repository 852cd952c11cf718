// SPDX-License-Identifier: BSD-3-Clause

// Records byte by byte: what is on disks already has to stay readable.

#include "pen_test.h"
#include "spool_record.h"

#include <errno.h>

// A MESSAGE of version 1 as it was written before ENVID, ORCPT and NOTIFY were
// kept: from s@x to a@b (delivered, 3 attempts) and c@d, content "hi\r\n".
static const uint8_t old_record[] = {'P', 'n', 'R', 'C', 0, 0, 0, 0, 89, 0, 0, 0, 1, 1, 0,
	0,                                              // length 89, type, version
	0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, // epoch, id
	7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, // arrival, next attempt
	2, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, // flags, rcpts, content, sender
	's', '@', 'x',                                  //
	3, 0, 1, 0, 3, 0, 'a', '@', 'b',                //
	3, 0, 0, 0, 0, 0, 'c', '@', 'd',                //
	'h', 'i', '\r', '\n'};

static struct pen_message *decode(const uint8_t *p, size_t n, uint64_t epoch)
{
	struct spool_record r;
	int err;

	assert_true(spool_record_parse(p, n, epoch, &r));
	struct pen_message *m = spool_message_decode(&r, &err);
	assert_int_equal(m == NULL, err != 0);
	return m;
}

static void a_record_of_the_first_version_reads_and_writes_as_before(void **state)
{
	(void)state;
	uint8_t p[sizeof(old_record)], again[sizeof(old_record)];

	memcpy(p, old_record, sizeof(p));
	spool_record_seal(p, 77);
	struct pen_message *m = decode(p, sizeof(p), 77);
	assert_non_null(m);
	assert_true(pen_span_eq(m->sender, PEN_SPAN_LIT("s@x")));
	assert_int_equal(m->nrcpt, 2);
	assert_true(pen_span_eq(m->rcpt[1].addr, PEN_SPAN_LIT("c@d")));
	assert_int_equal(m->rcpt[0].fate, PEN_FATE_DELIVERED);
	assert_int_equal(m->rcpt[0].attempts, 3);
	assert_int_equal(m->envid.n + m->rcpt[0].orcpt.n + m->rcpt[0].notify, 0);
	assert_int_equal(m->flags, PEN_MESSAGE_HOLD);
	assert_int_equal(spool_message_size(m, m->content_len), sizeof(p));
	spool_message_encode(again, m, (const uint8_t *)"hi\r\n");
	spool_record_seal(again, 77);
	assert_memory_equal(again, p, sizeof(p));
	pen_message_free(m);
}

// Every field, in a record of its own exact allocation.
static uint8_t *full_record(uint32_t *n)
{
	const struct pen_envelope_rcpt rcpts[3] = {
		{PEN_SPAN_LIT("a@b"), PEN_SPAN_LIT("rfc822;A+2Bx@b"), PEN_NOTIFY_SUCCESS},
		{.addr = PEN_SPAN_LIT("c@d"), .notify = PEN_NOTIFY_NEVER},
		{.addr = PEN_SPAN_LIT("e@f"), .orcpt = PEN_SPAN_LIT("rfc822;e@f")},
	};
	const struct pen_envelope e = {.sender = PEN_SPAN_LIT("s@x"),
		.envid = PEN_SPAN_LIT("id+2B1"),
		.rcpt = rcpts,
		.nrcpt = 3,
		.flags = PEN_MESSAGE_REQUIRETLS | PEN_MESSAGE_RET_HDRS,
		.arrival = 7};
	struct pen_message *m = pen_message_make(&e, NULL, 4);
	struct pen_dsn error;

	pen_message_set_id(m, 5);
	pen_dsn_set(
		&error, 4, 4, 1, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT, "no answer");
	m->last_error = pen_note_get(&error, "", 0);
	*n = (uint32_t)spool_message_size(m, 4);
	uint8_t *p = malloc(*n);
	spool_message_encode(p, m, (const uint8_t *)"hi\r\n");
	spool_record_seal(p, 77);
	pen_message_free(m);
	return p;
}

static void check_full(const struct pen_message *m)
{
	assert_non_null(m);
	assert_true(pen_span_eq(m->sender, PEN_SPAN_LIT("s@x")));
	assert_true(pen_span_eq(m->envid, PEN_SPAN_LIT("id+2B1")));
	assert_true(pen_span_eq(m->rcpt[0].addr, PEN_SPAN_LIT("a@b")));
	assert_true(pen_span_eq(m->rcpt[0].orcpt, PEN_SPAN_LIT("rfc822;A+2Bx@b")));
	assert_int_equal(m->rcpt[0].notify, PEN_NOTIFY_SUCCESS);
	assert_true(pen_span_eq(m->rcpt[1].addr, PEN_SPAN_LIT("c@d")));
	assert_int_equal(m->rcpt[1].notify, PEN_NOTIFY_NEVER);
	assert_int_equal(m->rcpt[1].orcpt.n, 0);
	assert_true(pen_span_eq(m->rcpt[2].orcpt, PEN_SPAN_LIT("rfc822;e@f")));
	assert_int_equal(m->rcpt[2].notify, 0);
	assert_int_equal(m->flags, PEN_MESSAGE_REQUIRETLS | PEN_MESSAGE_RET_HDRS);
	assert_string_equal(m->last_error->text, "no answer");
}

static void requests_about_notifications_are_kept_with_and_without_content(void **state)
{
	(void)state;
	struct spool_record r;
	uint32_t n;
	uint8_t *p = full_record(&n);
	struct pen_message *m = decode(p, n, 77);

	check_full(m);
	pen_message_free(m);
	assert_true(spool_record_parse(p, n, 77, &r));
	assert_true(pen_span_eq(spool_message_content(&r), PEN_SPAN_LIT("hi\r\n")));
	uint8_t *meta = malloc(spool_meta_size(p));
	spool_meta_encode(meta, p);
	spool_record_seal(meta, 77);
	m = decode(meta, spool_meta_size(p), 77);
	check_full(m);
	pen_message_free(m);
	free(meta);
	free(p);
}

static void lengths_that_do_not_add_up_are_refused(void **state)
{
	(void)state;
	uint32_t n;
	uint8_t *p = full_record(&n);

	// The lengths of envid, sender, error, and each recipient's two.
	const size_t first = SPOOL_MESSAGE_FIXED + 9;
	const size_t second = first + SPOOL_RCPT_FIXED_DSN + 3 + 14;
	const size_t at[] = {14, 60, 62, 52, 56, first, first + 6, second, second + 6};
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		for (unsigned to = 0; to < 2; to++) {
			uint8_t was[2] = {p[at[i]], p[at[i] + 1]};
			put16(p + at[i], to == 0 ? 0xffff : (uint16_t)(get16(was) + 1));
			spool_record_seal(p, 77);
			if (decode(p, n, 77) != NULL)
				fail_msg("offset %zu", at[i]);
			memcpy(p + at[i], was, 2);
		}
	}
	// An UPDATE has no second version.
	struct spool_record r;
	p[12] = SPOOL_UPDATE;
	spool_record_seal(p, 77);
	assert_false(spool_record_parse(p, n, 77, &r));
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_of_the_first_version_reads_and_writes_as_before),
		cmocka_unit_test(requests_about_notifications_are_kept_with_and_without_content),
		cmocka_unit_test(lengths_that_do_not_add_up_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
