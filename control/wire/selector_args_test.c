// SPDX-License-Identifier: BSD-3-Clause
#include "pen_test.h"
#include "selector_args.h"

static char err[300];

static bool read_text(const char *text, struct selector_args *out)
{
	static json_t *kept;

	json_decref(kept); // what *out points into stays until the next call
	kept = json_loads(text, 0, NULL);
	assert_non_null(kept);
	err[0] = '\0';
	bool good = selector_args_read(kept, out, err, sizeof(err));
	assert_int_equal(good, err[0] == '\0');
	return good;
}

static void nothing_given_is_not_everything(void **state)
{
	struct selector_args a;

	(void)state;
	assert_true(selector_args_read(NULL, &a, err, sizeof(err)));
	assert_false(a.given || a.which.everything);
	assert_true(read_text("{}", &a));
	assert_false(a.given);
	assert_true(read_text("{\"in_doubt\":false}", &a));
	assert_false(a.given);
	assert_true(read_text("{\"everything\":true}", &a));
	assert_true(a.given && a.which.everything);
}

static void each_condition_arrives(void **state)
{
	struct selector_args a;
	char id[PEN_QUEUE_ID_MAX], text[400];

	(void)state;
	pen_queue_id_format(1795232580123456, id);
	snprintf(text, sizeof(text),
		"{\"id\":\"%s\",\"state\":\"incoming, Hold\",\"site\":\"mx.example.\","
		"\"domain\":\"example.com\",\"tenant\":\"acme\",\"campaign\":\"xmas\","
		"\"pool\":\"bulk\",\"sender\":\"<>\",\"recipient\":\"a@b\",\"older_than\":60,"
		"\"in_doubt\":true}",
		id);
	assert_true(read_text(text, &a));
	assert_int_equal(a.which.id, 1795232580123456);
	assert_int_equal(a.which.states, PEN_STATE_WAITING | PEN_STATE_HOLD);
	assert_true(pen_span_eq(a.which.site, PEN_SPAN_LIT("mx.example.")));
	assert_true(pen_span_eq(a.which.domain, PEN_SPAN_LIT("example.com")));
	assert_true(pen_span_eq(a.which.tenant, PEN_SPAN_LIT("acme")));
	assert_true(pen_span_eq(a.which.campaign, PEN_SPAN_LIT("xmas")));
	assert_true(pen_span_eq(a.which.pool, PEN_SPAN_LIT("bulk")));
	assert_true(pen_span_eq(a.which.sender, PEN_SPAN_LIT("<>")));
	assert_true(pen_span_eq(a.which.recipient, PEN_SPAN_LIT("a@b")));
	assert_int_equal(a.which.older_than, 60 * PEN_US_PER_S);
	assert_true(a.which.in_doubt && a.given && !a.which.everything);
}

static void wrong_values_are_named(void **state)
{
	static const char *const bad[][2] = {{"[]", "selector: give an object"},
		{"{\"state\":\"sleeping\"}", "state sleeping: give some of active, "},
		{"{\"state\":\",\"}", "state ,: give some of"},
		{"{\"state\":7}", "state: give a value"},
		{"{\"id\":\"no id\"}", "no id: no such message"},
		{"{\"tenant\":\"\"}", "tenant: give a value"},
		{"{\"sender\":\"\"}", "sender: give a value; <> is the null sender"},
		{"{\"older_than\":\"1h\"}", "older_than: give seconds"},
		{"{\"older_than\":0}", "older_than: give seconds"},
		{"{\"older_than\":99999999999}", "older_than: give seconds"},
		{"{\"in_doubt\":1}", "in_doubt: give true or false"},
		{"{\"colour\":\"red\"}", "colour: no such condition; there are id, state, "}};
	struct selector_args a;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(read_text(bad[i][0], &a));
		assert_memory_equal(err, bad[i][1], strlen(bad[i][1]));
	}
	read_text("{}", &a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_given_is_not_everything),
		cmocka_unit_test(each_condition_arrives),
		cmocka_unit_test(wrong_values_are_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
