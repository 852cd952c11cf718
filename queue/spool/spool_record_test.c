// SPDX-License-Identifier: BSD-3-Clause

// Records byte by byte: what is on disks already has to stay readable.

#include "pen_test.h"
#include "spool_attr.h"
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
	assert_true(pen_span_eq(pen_message_sender(m), PEN_SPAN_LIT("s@x")));
	assert_int_equal(m->nrcpt, 2);
	assert_true(pen_span_eq(pen_recipient_addr(&m->rcpt[1]), PEN_SPAN_LIT("c@d")));
	assert_int_equal(m->rcpt[0].fate, PEN_FATE_DELIVERED);
	assert_int_equal(m->rcpt[0].attempts, 3);
	assert_int_equal(pen_message_envid(m).n + m->rcpt[0].orcpt_len + m->rcpt[0].notify, 0);
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

	m->id = 5;
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
	assert_true(pen_span_eq(pen_message_sender(m), PEN_SPAN_LIT("s@x")));
	assert_true(pen_span_eq(pen_message_envid(m), PEN_SPAN_LIT("id+2B1")));
	assert_true(pen_span_eq(pen_recipient_addr(&m->rcpt[0]), PEN_SPAN_LIT("a@b")));
	assert_true(pen_span_eq(pen_recipient_orcpt(&m->rcpt[0]), PEN_SPAN_LIT("rfc822;A+2Bx@b")));
	assert_int_equal(m->rcpt[0].notify, PEN_NOTIFY_SUCCESS);
	assert_true(pen_span_eq(pen_recipient_addr(&m->rcpt[1]), PEN_SPAN_LIT("c@d")));
	assert_int_equal(m->rcpt[1].notify, PEN_NOTIFY_NEVER);
	assert_int_equal(m->rcpt[1].orcpt_len, 0);
	assert_true(pen_span_eq(pen_recipient_orcpt(&m->rcpt[2]), PEN_SPAN_LIT("rfc822;e@f")));
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
	// An UPDATE was never written as version 2.
	struct spool_record r;
	p[12] = SPOOL_UPDATE;
	spool_record_seal(p, 77);
	assert_false(spool_record_parse(p, n, 77, &r));
	free(p);
}

static const struct pen_message_extra full_extra = {.not_before = 100,
	.not_after = 200,
	.window = {.days = 0x3e, .from = 540, .to = 1020, .zone = "Europe/Berlin"},
	.verp = "+=",
	.route = "smtp:[relay.example]:587"};

// A message with everything that version 3 keeps.
static struct pen_message *attr_message(void)
{
	const struct pen_envelope_rcpt rcpts[2] = {
		{PEN_SPAN_LIT("a@b"), PEN_SPAN_LIT("rfc822;a@b"), PEN_NOTIFY_FAILURE},
		{.addr = PEN_SPAN_LIT("c@d")},
	};
	const struct pen_mail_class *k = pen_mail_class_get(
		PEN_SPAN_LIT("acme"), PEN_SPAN_LIT("xmas"), PEN_SPAN_LIT("bulk"), PEN_PRIORITY_LOW);
	const struct pen_envelope e = {.sender = PEN_SPAN_LIT("s@x"),
		.envid = PEN_SPAN_LIT("id7"),
		.rcpt = rcpts,
		.nrcpt = 2,
		.arrival = 7,
		.klass = k,
		.extra = &full_extra};
	struct pen_message *m = pen_message_make(&e, NULL, 4);

	pen_mail_class_put(k);
	m->id = 5;
	m->rcpt[1].doubts = 2;
	m->rcpt[1].attempts = 3;
	return m;
}

static uint8_t *encode(const struct pen_message *m, uint32_t *n)
{
	*n = (uint32_t)spool_message_size(m, m->content_len);
	uint8_t *p = malloc(*n);

	spool_message_encode(p, m, (const uint8_t *)"hi\r\n");
	spool_record_seal(p, 77);
	return p;
}

static void check_attr(const struct pen_message *m)
{
	assert_non_null(m);
	assert_true(pen_span_eq(pen_message_envid(m), PEN_SPAN_LIT("id7")));
	assert_true(pen_span_eq(m->klass->tenant, PEN_SPAN_LIT("acme")));
	assert_true(pen_span_eq(m->klass->campaign, PEN_SPAN_LIT("xmas")));
	assert_true(pen_span_eq(m->klass->pool, PEN_SPAN_LIT("bulk")));
	assert_int_equal(m->klass->priority, PEN_PRIORITY_LOW);
	assert_non_null(m->extra);
	assert_int_equal(m->extra->not_before, 100);
	assert_int_equal(m->extra->not_after, 200);
	assert_int_equal(m->extra->window.days, 0x3e);
	assert_int_equal(m->extra->window.from, 540);
	assert_int_equal(m->extra->window.to, 1020);
	assert_string_equal(m->extra->window.zone, "Europe/Berlin");
	assert_memory_equal(m->extra->verp, "+=", 2);
	assert_string_equal(m->extra->route, "smtp:[relay.example]:587");
	assert_true(pen_span_eq(pen_recipient_orcpt(&m->rcpt[0]), PEN_SPAN_LIT("rfc822;a@b")));
	assert_int_equal(m->rcpt[0].notify, PEN_NOTIFY_FAILURE);
	assert_int_equal(m->rcpt[0].doubts, 0);
	assert_true(pen_span_eq(pen_recipient_addr(&m->rcpt[1]), PEN_SPAN_LIT("c@d")));
	assert_int_equal(m->rcpt[1].doubts, 2);
	assert_int_equal(m->rcpt[1].attempts, 3);
}

static void class_extra_and_doubts_are_kept_with_and_without_content(void **state)
{
	(void)state;
	struct spool_record r;
	uint32_t n;
	struct pen_message *m = attr_message();
	uint8_t *p = encode(m, &n);

	assert_int_equal(p[13], SPOOL_VERSION_ATTR);
	pen_message_free(m);
	m = decode(p, n, 77);
	check_attr(m);
	pen_message_free(m);
	assert_true(spool_record_parse(p, n, 77, &r));
	assert_true(pen_span_eq(spool_message_content(&r), PEN_SPAN_LIT("hi\r\n")));
	uint8_t *meta = malloc(spool_meta_size(p));
	spool_meta_encode(meta, p);
	spool_record_seal(meta, 77);
	m = decode(meta, spool_meta_size(p), 77);
	check_attr(m);
	pen_message_free(m);
	free(meta);
	free(p);
	assert_int_equal(pen_mail_class_count(), 0);
}

static void each_version_is_written_only_when_it_is_needed(void **state)
{
	(void)state;
	struct pen_span rcpt = PEN_SPAN_LIT("a@b");
	uint32_t n;

	for (int what = 0; what < 5; what++) {
		struct pen_message *m =
			pen_message_new(PEN_SPAN_LIT("s@x"), &rcpt, 1, NULL, 4, 7, 0);
		m->id = 5;
		if (what == 1)
			m->rcpt[0].notify = PEN_NOTIFY_NEVER;
		if (what == 2)
			m->rcpt[0].doubts = 1;
		if (what == 3)
			m->klass = pen_mail_class_get(PEN_SPAN_LIT(""), PEN_SPAN_LIT(""),
				PEN_SPAN_LIT(""), PEN_PRIORITY_HIGH);
		if (what == 4)
			m->extra = calloc(1, sizeof(*m->extra));
		uint8_t *p = encode(m, &n);
		assert_int_equal(p[13], what == 0 ? 1 : what == 1 ? 2 : 3);
		pen_message_free(m);
		m = decode(p, n, 77);
		assert_int_equal(m->klass->priority, what == 3 ? PEN_PRIORITY_HIGH : 0);
		assert_int_equal(m->rcpt[0].doubts, what == 2);
		assert_null(m->extra); // an empty one says nothing
		pen_message_free(m);
		free(p);
	}
}

static void an_update_moves_class_and_extra_and_sets_doubts(void **state)
{
	(void)state;
	static const struct pen_message_extra none;
	struct pen_rcpt_change change = {.index = 0, .doubts = 1, .attempts = 4};
	const struct pen_mail_class *k = pen_mail_class_get(
		PEN_SPAN_LIT("other"), PEN_SPAN_LIT(""), PEN_SPAN_LIT(""), PEN_PRIORITY_NORMAL);
	struct pen_message *m = attr_message();
	struct pen_dsn error;
	uint8_t p[2048];
	struct spool_record r;

	pen_dsn_set(&error, 4, 4, 2, PEN_SCOPE_SITE, PEN_ORIGIN_PEER, PEN_STAGE_DOT, "lost");
	// A plain change leaves class and extra, and is written as before.
	struct pen_message_update u = {.id = 5, .nchanges = 1, .change = &change};
	change.doubts = 0;
	spool_update_encode(p, &u, &(struct spool_place){0});
	spool_record_seal(p, 77);
	assert_int_equal(p[13], SPOOL_VERSION);
	assert_true(spool_record_parse(p, sizeof(p), 77, &r) && spool_update_sane(&r));
	assert_int_equal(spool_update_apply(&r, m), 0);
	assert_true(pen_span_eq(m->klass->tenant, PEN_SPAN_LIT("acme")));
	assert_non_null(m->extra);
	// Everything at once.
	change.doubts = 1;
	u.klass = k;
	u.extra = &none;
	u.last_error = &error;
	spool_update_encode(p, &u, &(struct spool_place){0});
	spool_record_seal(p, 77);
	assert_int_equal(p[13], SPOOL_VERSION_ATTR);
	assert_int_equal(get32(p + 8), spool_update_size(&u));
	assert_true(spool_record_parse(p, sizeof(p), 77, &r) && spool_update_sane(&r));
	assert_int_equal(spool_update_apply(&r, m), 0);
	assert_ptr_equal(m->klass, k);
	assert_null(m->extra);
	assert_int_equal(m->rcpt[0].doubts, 1);
	assert_int_equal(m->rcpt[0].attempts, 4);
	assert_string_equal(m->last_error->text, "lost");
	pen_mail_class_put(k);
	pen_message_free(m);
	assert_int_equal(pen_mail_class_count(), 0);
}

static struct pen_message *written_again(const struct pen_message *m)
{
	struct spool_record r;
	uint8_t p[4096];
	int err;

	spool_message_encode(p, m, (const uint8_t *)"hi\r\n");
	spool_record_seal(p, 77);
	assert_true(spool_record_parse(p, sizeof(p), 77, &r) && spool_record_sane(&r));
	struct pen_message *again = spool_message_decode(&r, &err);
	assert_non_null(again);
	return again;
}

// Through an UPDATE, and then through the MESSAGEs that relocations write: never
// earlier, little later, and however often it is written it does not move further.
static void keeps_its_time(pen_wall_us arrival, pen_wall_us next, uint32_t after)
{
	struct pen_rcpt_change change = {.index = 0, .doubts = 1, .attempts = 4};
	struct pen_message *m = attr_message();
	m->arrival = arrival;
	pen_wall_us due = next + (pen_wall_us)after * PEN_US_PER_S;
	struct pen_message_update u = {
		.id = 5, .nchanges = 1, .change = &change, .next_attempt = next, .doubt_due = due};
	struct spool_record r;
	uint8_t p[4096];

	spool_update_encode(p, &u, &(struct spool_place){0});
	spool_record_seal(p, 77);
	assert_true(spool_record_parse(p, sizeof(p), 77, &r) && spool_update_sane(&r));
	assert_int_equal(spool_update_apply(&r, m), 0);
	uint32_t was = m->rcpt[0].due;
	pen_wall_us at = pen_message_birth(m) + was * PEN_US_PER_S;
	assert_in_range(at, due, due + 2 * PEN_US_PER_S);
	struct pen_message *again = written_again(m);
	uint32_t moved = again->rcpt[0].due;
	assert_in_range(moved, was - 1, was + 1 + after / 16);
	for (int i = 0; i < 20; i++) {
		struct pen_message *once_more = written_again(again);
		pen_message_free(again);
		again = once_more;
	}
	assert_int_equal(again->rcpt[0].due, moved);
	pen_message_free(again);
	pen_message_free(m);
}

static void a_recipient_in_doubt_keeps_its_time(void **state)
{
	(void)state;
	static const uint32_t after[] = {
		0, 1, 2, 5, 31, 32, 33, 100, 899, 900, 4000, 86400, 432000};

	for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
		keeps_its_time(1790000000000000, 1790000060000000, after[i]);
		keeps_its_time(1790000000123457, 1790000060654321, after[i]);
		keeps_its_time(1790000000999999, 1790000060000001, after[i]);
	}
	// An older program's record, and one of a recipient without a time.
	struct pen_rcpt_change change = {.index = 0, .doubts = 1, .attempts = 4};
	struct pen_message *m = attr_message();
	struct pen_message_update u = {.id = 5, .nchanges = 1, .change = &change};
	struct spool_record r;
	uint8_t p[4096];
	m->rcpt[0].due = 0;
	spool_update_encode(p, &u, &(struct spool_place){0});
	spool_record_seal(p, 77);
	assert_true(spool_record_parse(p, sizeof(p), 77, &r));
	assert_int_equal(spool_update_apply(&r, m), 0);
	assert_int_equal(m->rcpt[0].due, 0);
	pen_message_free(m);
}

static void attributes_that_do_not_add_up_are_refused(void **state)
{
	(void)state;
	struct pen_message *m = attr_message();
	uint32_t n;
	uint8_t *p = encode(m, &n);
	const size_t block = SPOOL_MESSAGE_FIXED + 3 + 3, extra = block + SPOOL_ATTR_FIXED + 12;
	// Lengths of the block, its names, zone and route.
	const size_t at[] = {block, block + 4, block + 5, block + 6, extra + 21, extra + 22};

	pen_message_free(m);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		for (unsigned by = 1; by < 256; by += 127) {
			p[at[i]] = (uint8_t)(p[at[i]] + by);
			spool_record_seal(p, 77);
			m = decode(p, n, 77);
			if (m != NULL)
				fail_msg("offset %zu", at[i]);
			p[at[i]] = (uint8_t)(p[at[i]] - by);
		}
	}
	// Without the bit of the extra its bytes belong to nobody.
	p[block + 2] = SPOOL_ATTR_CLASS;
	spool_record_seal(p, 77);
	assert_null(decode(p, n, 77));
	free(p);
}

static void a_record_of_a_later_version_is_known_as_one(void **state)
{
	(void)state;
	struct pen_message *m = attr_message();
	struct spool_record r;
	uint32_t n;
	uint8_t *p = encode(m, &n);

	assert_false(spool_record_newer(p, n, 77, &r));
	p[13] = SPOOL_VERSION_ATTR + 1;
	spool_record_seal(p, 77);
	assert_false(spool_record_parse(p, n, 77, &r));
	assert_true(spool_record_newer(p, n, 77, &r));
	assert_int_equal(r.length, n);
	p[n - 1] ^= 1;
	assert_false(spool_record_newer(p, n, 77, &r));
	free(p);
	pen_message_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_of_the_first_version_reads_and_writes_as_before),
		cmocka_unit_test(requests_about_notifications_are_kept_with_and_without_content),
		cmocka_unit_test(lengths_that_do_not_add_up_are_refused),
		cmocka_unit_test(class_extra_and_doubts_are_kept_with_and_without_content),
		cmocka_unit_test(each_version_is_written_only_when_it_is_needed),
		cmocka_unit_test(an_update_moves_class_and_extra_and_sets_doubts),
		cmocka_unit_test(a_recipient_in_doubt_keeps_its_time),
		cmocka_unit_test(attributes_that_do_not_add_up_are_refused),
		cmocka_unit_test(a_record_of_a_later_version_is_known_as_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
