// SPDX-License-Identifier: BSD-3-Clause
#include "pen_note.h"

#include "pen_test.h"

static struct pen_dsn dsn(unsigned detail, const char *text)
{
	struct pen_dsn d;

	pen_dsn_set(
		&d, 4, 7, detail, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_PEER, PEN_STAGE_RCPT, "%s", text);
	d.reply = 451;
	return d;
}

static void equal_notes_are_the_same_and_end_with_their_last_reference(void **state)
{
	(void)state;
	struct pen_dsn d = dsn(1, "try again later");
	const struct pen_note *a = pen_note_get(&d, "mx.test[192.0.2.1]", 7);
	const struct pen_note *b = pen_note_get(&d, "mx.test[192.0.2.1]", 7);

	assert_ptr_equal(a, b);
	assert_int_equal(pen_note_count(), 1);
	pen_note_put(a);
	assert_string_equal(b->text, "try again later");
	assert_string_equal(pen_note_relay(b), "mx.test[192.0.2.1]");
	pen_note_put(b);
	pen_note_put(NULL);
	assert_int_equal(pen_note_count(), 0);
}

static void whatever_differs_makes_another_note(void **state)
{
	(void)state;
	struct pen_dsn d = dsn(1, "no"), e = dsn(2, "no"), f = dsn(1, "na"), g = d;
	const struct pen_note *n[5] = {pen_note_get(&d, "", 0)};

	g.reply = 450;
	n[1] = pen_note_get(&e, "", 0);
	n[2] = pen_note_get(&f, "", 0);
	n[3] = pen_note_get(&g, "", 0);
	n[4] = pen_note_get(&d, "mx[192.0.2.1]", 2);
	assert_int_equal(pen_note_count(), 5);
	for (int i = 0; i < 5; i++)
		pen_note_put(n[i]);
	assert_int_equal(pen_note_count(), 0);
}

static void a_note_gives_back_the_status_it_was_made_of(void **state)
{
	(void)state;
	struct pen_dsn d = dsn(3, "busy"), out;
	const struct pen_note *n = pen_note_get(&d, "", 0);

	memset(&out, 0xaa, sizeof(out));
	pen_note_to_dsn(n, &out);
	assert_true(pen_note_is(n, &out, ""));
	assert_int_equal(out.klass, 4);
	assert_int_equal(out.detail, 3);
	assert_int_equal(out.reply, 451);
	assert_string_equal(out.text, "busy");
	pen_note_put(n);
}

static void many_notes_are_found_among_many(void **state)
{
	(void)state;
	enum { N = 20000 };
	static const struct pen_note *n[N];
	char text[32];

	for (int i = 0; i < N; i++) {
		snprintf(text, sizeof(text), "reason %d", i);
		struct pen_dsn d = dsn(1, text);
		n[i] = pen_note_get(&d, "", 0);
	}
	for (int i = 0; i < N; i++) {
		snprintf(text, sizeof(text), "reason %d", i);
		struct pen_dsn d = dsn(1, text);
		const struct pen_note *again = pen_note_get(&d, "", 0);
		assert_ptr_equal(again, n[i]);
		pen_note_put(again);
		pen_note_put(n[i]);
	}
	assert_int_equal(pen_note_count(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_notes_are_the_same_and_end_with_their_last_reference),
		cmocka_unit_test(whatever_differs_makes_another_note),
		cmocka_unit_test(a_note_gives_back_the_status_it_was_made_of),
		cmocka_unit_test(many_notes_are_found_among_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
