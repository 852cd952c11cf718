// SPDX-License-Identifier: BSD-3-Clause

// RFC 3461 as a table: what was asked for, what happened, and what the sender is
// told.
#include "pen_notify.h"
#include "pen_test.h"

#define SUCCESS PEN_NOTIFY_SUCCESS
#define FAILURE PEN_NOTIFY_FAILURE
#define DELAY PEN_NOTIFY_DELAY
#define NONE PEN_ACTION_OF_KIND

static void the_sender_is_told_what_was_asked_for(void **state)
{
	// failed, delayed, passed on without and with DSN, delivered.
	static const struct {
		uint8_t notify;
		uint8_t failed, delayed, relayed, reported, delivered;
	} rows[] = {
		{0, PEN_ACTION_FAILED, PEN_ACTION_DELAYED, NONE, NONE, NONE},
		{PEN_NOTIFY_NEVER, NONE, NONE, NONE, NONE, NONE},
		{SUCCESS, NONE, NONE, PEN_ACTION_RELAYED, NONE, PEN_ACTION_DELIVERED},
		{FAILURE, PEN_ACTION_FAILED, NONE, NONE, NONE, NONE},
		{DELAY, NONE, PEN_ACTION_DELAYED, NONE, NONE, NONE},
		{SUCCESS | FAILURE, PEN_ACTION_FAILED, NONE, PEN_ACTION_RELAYED, NONE,
			PEN_ACTION_DELIVERED},
		{SUCCESS | DELAY, NONE, PEN_ACTION_DELAYED, PEN_ACTION_RELAYED, NONE,
			PEN_ACTION_DELIVERED},
		{FAILURE | DELAY, PEN_ACTION_FAILED, PEN_ACTION_DELAYED, NONE, NONE, NONE},
		{SUCCESS | FAILURE | DELAY, PEN_ACTION_FAILED, PEN_ACTION_DELAYED,
			PEN_ACTION_RELAYED, NONE, PEN_ACTION_DELIVERED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t n = rows[i].notify;
		assert_int_equal(pen_notify(n, false, PEN_NOTIFY_FAILED, false), rows[i].failed);
		assert_int_equal(pen_notify(n, false, PEN_NOTIFY_FAILED, true), rows[i].failed);
		assert_int_equal(pen_notify(n, false, PEN_NOTIFY_DELAYED, false), rows[i].delayed);
		assert_int_equal(
			pen_notify(n, false, PEN_NOTIFY_PASSED_ON, false), rows[i].relayed);
		assert_int_equal(
			pen_notify(n, false, PEN_NOTIFY_PASSED_ON, true), rows[i].reported);
		assert_int_equal(
			pen_notify(n, false, PEN_NOTIFY_DELIVERED, false), rows[i].delivered);
		for (int e = PEN_NOTIFY_FAILED; e <= PEN_NOTIFY_DELIVERED; e++)
			assert_int_equal(
				pen_notify(n, true, (enum pen_notify_event)e, false), NONE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_sender_is_told_what_was_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
