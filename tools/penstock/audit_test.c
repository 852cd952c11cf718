// SPDX-License-Identifier: BSD-3-Clause
#include "audit_book.h"
#include "pen_test.h"

static unsigned told[BOOK_FAULTS];
static uint64_t last_id, last_where, last_earlier;

static void note(void *ctx, enum book_fault fault, uint64_t id, uint32_t index, enum pen_fate fate,
	enum pen_fate earlier_fate, uint64_t where, uint64_t earlier)
{
	(void)ctx;
	(void)index;
	(void)fate;
	(void)earlier_fate;
	told[fault]++;
	last_id = id;
	last_where = where;
	last_earlier = earlier;
}

static struct book *begin(void)
{
	memset(told, 0, sizeof(told));
	struct book *b = book_new(note, NULL);
	assert_non_null(b);
	book_start(b);
	return b;
}

static struct book_totals end(struct book *b, bool down)
{
	struct book_totals t;

	assert_false(book_failed(b));
	book_balance(b, down, &t);
	for (unsigned i = 0; i < BOOK_FAULTS; i++)
		assert_int_equal(t.fault[i], told[i]);
	book_free(b);
	return t;
}

static void accept(struct book *b, uint64_t id, uint32_t n)
{
	book_received(b, id, n, id);
	book_committed(b, id);
}

static uint64_t ends(const struct book_totals *t)
{
	return t->queued + t->in_doubt + t->delivered + t->bounced + t->expired + t->deleted;
}

static void each_end_is_counted_once(void **state)
{
	struct book *b = begin();

	(void)state;
	accept(b, 100, 6);
	book_fate(b, 100, 0, PEN_FATE_DELIVERED, 1);
	book_fate(b, 100, 1, PEN_FATE_BOUNCED, 2);
	book_fate(b, 100, 2, PEN_FATE_EXPIRED, 3);
	book_fate(b, 100, 3, PEN_FATE_DELETED, 4);
	for (uint32_t i = 0; i < 4; i++)
		book_spooled(b, 100, i, (enum pen_fate)(i + 1), false, false);
	book_spooled(b, 100, 4, PEN_FATE_QUEUED, false, false);
	book_spooled(b, 100, 5, PEN_FATE_QUEUED, true, false);
	struct book_totals t = end(b, false);
	assert_int_equal(t.accepted, 6);
	assert_true(t.delivered == 1 && t.bounced == 1 && t.expired == 1 && t.deleted == 1);
	assert_true(t.queued == 1 && t.in_doubt == 1);
}

static void what_is_confirmed_and_gone_is_lost_and_what_is_not_confirmed_is_not(void **state)
{
	struct book *b = begin();

	(void)state;
	accept(b, 100, 2);
	book_fate(b, 100, 0, PEN_FATE_DELIVERED, 1);
	book_received(b, 200, 3, 5); // no commit
	struct book_totals t = end(b, false);
	assert_int_equal(told[BOOK_LOST], 1);
	assert_int_equal(last_id, 100);
	assert_int_equal(last_earlier, 100); // its reception
	assert_true(t.accepted == 2 && t.delivered == 1 && t.unconfirmed == 3);
}

static void durable_mail_without_an_answer_to_its_client_counts(void **state)
{
	struct book *b = begin();

	(void)state;
	book_received(b, 100, 1, 1);
	book_spooled(b, 100, 0, PEN_FATE_QUEUED, false, false);
	book_received(b, 200, 1, 2);
	book_fate(b, 200, 0, PEN_FATE_DELIVERED, 3);
	struct book_totals t = end(b, false);
	assert_true(t.accepted == 2 && ends(&t) == 2 && t.unconfirmed == 0);
}

static void a_second_delivery_is_a_duplicate_unless_a_crash_lies_between(void **state)
{
	struct book *b = begin();

	(void)state;
	accept(b, 100, 1);
	accept(b, 200, 1);
	book_fate(b, 100, 0, PEN_FATE_DELIVERED, 7);
	book_fate(b, 100, 0, PEN_FATE_DELIVERED, 8);
	assert_int_equal(told[BOOK_DUPLICATE], 1);
	assert_true(last_where == 8 && last_earlier == 7);
	book_stop(b);
	book_start(b); // in order: nothing is repeated
	book_fate(b, 100, 0, PEN_FATE_DELIVERED, 9);
	assert_int_equal(told[BOOK_DUPLICATE], 2);
	book_fate(b, 200, 0, PEN_FATE_DELIVERED, 10);
	book_start(b); // it crashed
	book_fate(b, 200, 0, PEN_FATE_DELIVERED, 11);
	assert_int_equal(told[BOOK_REPEATED], 1);
	struct book_totals t = end(b, false);
	assert_true(t.accepted == 2 && t.delivered == 2 && t.crashes == 1 && t.starts == 3);
}

static void a_bounce_may_be_repeated_by_any_start_and_deleted_before_it_is_told(void **state)
{
	struct book *b = begin();

	(void)state;
	accept(b, 100, 1);
	accept(b, 200, 1);
	book_fate(b, 100, 0, PEN_FATE_BOUNCED, 1);
	book_fate(b, 200, 0, PEN_FATE_EXPIRED, 2);
	book_fate(b, 200, 0, PEN_FATE_DELETED, 3);
	book_stop(b);
	book_start(b);
	book_fate(b, 100, 0, PEN_FATE_BOUNCED, 4);
	struct book_totals t = end(b, false);
	assert_true(told[BOOK_TWO_FATES] == 0 && told[BOOK_REPEATED] == 1);
	assert_true(t.accepted == 2 && t.bounced == 1 && t.deleted == 1);
}

static void fates_that_differ_are_named(void **state)
{
	struct book *b = begin();

	(void)state;
	accept(b, 100, 2);
	book_fate(b, 100, 0, PEN_FATE_DELIVERED, 1);
	book_fate(b, 100, 0, PEN_FATE_BOUNCED, 2);
	book_fate(b, 100, 1, PEN_FATE_DELIVERED, 3);
	book_spooled(b, 100, 0, PEN_FATE_BOUNCED, false, false);
	book_spooled(b, 100, 1, PEN_FATE_DELETED, false, false);
	end(b, false);
	assert_int_equal(told[BOOK_TWO_FATES], 2);
}

static void mail_that_nobody_accepted_is_named_unless_it_is_older_than_the_log(void **state)
{
	struct book *b = begin();

	(void)state;
	book_begins(b, 1000);
	book_fate(b, 500, 0, PEN_FATE_DELIVERED, 1);
	book_spooled(b, 600, 0, PEN_FATE_QUEUED, false, false);
	book_fate(b, 1500, 0, PEN_FATE_DELIVERED, 2);
	book_spooled(b, 1600, 0, PEN_FATE_QUEUED, false, false);
	struct book_totals t = end(b, false);
	assert_int_equal(told[BOOK_NO_RECEPTION], 2);
	assert_true(t.accepted == 2 && t.before_log == 2 && ends(&t) == 4);
}

static void a_fate_that_the_spool_does_not_know_is_a_fault_without_a_crash(void **state)
{
	(void)state;
	for (int crash = 0; crash < 2; crash++) {
		struct book *b = begin();
		accept(b, 100, 2);
		book_fate(b, 100, 0, PEN_FATE_DELIVERED, 1);
		book_spooled(b, 100, 0, PEN_FATE_QUEUED, false, false);
		book_spooled(b, 100, 1, PEN_FATE_DELIVERED, false, false);
		if (!crash)
			book_stop(b);
		struct book_totals t = end(b, true);
		assert_int_equal(told[BOOK_STILL_QUEUED], crash ? 0 : 1);
		assert_int_equal(told[BOOK_REPEATED], crash ? 1 : 0);
		assert_int_equal(told[BOOK_NO_RECORD], 1);
		assert_true(t.queued == 1 && t.delivered == 1);
	}
}

static void records_younger_than_the_picture_accuse_nobody(void **state)
{
	struct book *b = begin();

	(void)state;
	accept(b, 100, 1);
	book_spooled(b, 100, 0, PEN_FATE_QUEUED, false, false);
	accept(b, 200, 1);
	book_spooled(b, 200, 0, PEN_FATE_QUEUED, false, true);
	book_fate(b, 200, 0, PEN_FATE_BOUNCED, 1); // its notification is under way
	book_late(b);
	book_fate(b, 100, 0, PEN_FATE_DELIVERED, 2);
	accept(b, 300, 1);
	struct book_totals t = end(b, false);
	assert_true(t.accepted == 2 && t.delivered == 1 && t.bounced == 1 && ends(&t) == 2);
}

static void count_suspect(void *ctx, uint64_t id, uint32_t index)
{
	(void)id;
	(void)index;
	++*(unsigned *)ctx;
}

static void suspects_may_be_found_after_all(void **state)
{
	struct book *b = begin();
	unsigned n = 0;

	(void)state;
	accept(b, 100, 2);
	book_suspects(b, count_suspect, &n);
	assert_int_equal(n, 2);
	book_spooled(b, 100, 0, PEN_FATE_QUEUED, false, true);
	book_fate(b, 100, 1, PEN_FATE_DELIVERED, 1);
	struct book_totals t = end(b, false);
	assert_true(t.accepted == 2 && t.queued == 1 && t.delivered == 1);
}

static void many_recipients_keep_their_places(void **state)
{
	struct book *b = begin();

	(void)state;
	for (uint64_t id = 1; id <= 20000; id++)
		accept(b, id * 977, 1 + (uint32_t)(id % 9));
	for (uint64_t id = 1; id <= 20000; id++) {
		for (uint32_t i = 0; i <= id % 9; i++)
			book_fate(b, id * 977, i, (enum pen_fate)(1 + (id + i) % 4), id);
	}
	assert_int_equal(book_recipients(b), 99995);
	struct book_totals t = end(b, false);
	assert_int_equal(t.accepted, ends(&t));
	assert_int_equal(told[BOOK_LOST] + told[BOOK_TWO_FATES], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_end_is_counted_once),
		cmocka_unit_test(
			what_is_confirmed_and_gone_is_lost_and_what_is_not_confirmed_is_not),
		cmocka_unit_test(durable_mail_without_an_answer_to_its_client_counts),
		cmocka_unit_test(a_second_delivery_is_a_duplicate_unless_a_crash_lies_between),
		cmocka_unit_test(
			a_bounce_may_be_repeated_by_any_start_and_deleted_before_it_is_told),
		cmocka_unit_test(fates_that_differ_are_named),
		cmocka_unit_test(
			mail_that_nobody_accepted_is_named_unless_it_is_older_than_the_log),
		cmocka_unit_test(a_fate_that_the_spool_does_not_know_is_a_fault_without_a_crash),
		cmocka_unit_test(records_younger_than_the_picture_accuse_nobody),
		cmocka_unit_test(suspects_may_be_found_after_all),
		cmocka_unit_test(many_recipients_keep_their_places),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
