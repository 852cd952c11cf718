// SPDX-License-Identifier: BSD-3-Clause

// A state that could not be read: nothing may pass that the last run might have used.

#include "pen_shape.h"
#include "pen_test.h"

#define S PEN_US_PER_S
#define WALL ((pen_wall_us)1800000000 * S)

static struct pen_shape *sh;
static struct pen_buf state;

static int end(void **test)
{
	(void)test;
	pen_shape_free(sh);
	pen_buf_fini(&state);
	sh = NULL;
	return 0;
}

static void start(pen_time_us now)
{
	struct pen_addr addr;

	pen_shape_free(sh);
	assert_int_equal(pen_addr_parse(&addr, PEN_SPAN_LIT("10.0.0.2")), 0);
	struct pen_shape_config *c = pen_shape_config_plain(&addr, 1);
	assert_non_null(c);
	c->defaults.limits.given = PEN_LIMIT_MESSAGE_RATE;
	c->defaults.limits.message_rate = (struct pen_rate){64, 3600 * S, 64};
	sh = pen_shape_new(c, now, WALL + now);
	assert_non_null(sh);
}

static void load(const char *text, pen_time_us now)
{
	uint32_t bad;

	assert_int_equal(pen_shape_load(sh, pen_span_cstr(text), now, WALL + now, &bad), 0);
}

static void save(pen_time_us now)
{
	uint64_t generation;

	state.n = 0;
	assert_int_equal(pen_shape_save(sh, now, WALL + now, &state, &generation), 0);
	pen_shape_saved(sh, generation, now);
	pen_buf_add(&state, "", 1);
}

// How many messages pass at once.
static uint32_t passing(pen_time_us now)
{
	struct pen_span mx = PEN_SPAN_LIT("mx.example");
	struct pen_shape_site *site = pen_shape_site_get(sh, mx, &mx, 1, now);
	struct pen_shape_class *k = pen_shape_class_get(sh, &pen_mail_class_none);
	struct pen_shape_block why;
	struct pen_shape_conn conn;
	uint32_t n = 0;

	assert_true(pen_shape_open(sh, site, 0, PEN_SHAPE_IP4, now, &conn, &why));
	for (; n < 200; n++) {
		if (!pen_shape_send(sh, &conn, k, 1, now, &why)) {
			if (why.reason != PEN_WHY_SAVING)
				break;
			save(now);
			if (!pen_shape_send(sh, &conn, k, 1, now, &why))
				break;
		}
		pen_shape_done(sh, &conn, k, 1, now, true);
	}
	pen_shape_close(sh, &conn, now, true);
	pen_shape_site_put(sh, site);
	return n;
}

static void after_a_loss_nothing_passes_for_one_period(void **test)
{
	(void)test;
	start(0);
	save(0);
	assert_int_equal(passing(0), 64);
	start(10 * S);
	load("", 10 * S);
	save(10 * S);
	assert_int_equal(passing(11 * S), 0);
	assert_int_equal(passing(3500 * S), 0);
	assert_int_equal(passing(3800 * S), 64);
}

static void another_version_is_a_loss(void **test)
{
	(void)test;
	start(0);
	load("penstock-shape 9 1800000000000000\n", 0);
	save(0);
	assert_int_equal(passing(S), 0);
}

static void the_next_start_still_knows_of_the_loss(void **test)
{
	(void)test;
	start(0);
	load("", 0);
	save(0);
	start(100 * S);
	load((const char *)state.p, 100 * S);
	save(100 * S);
	assert_int_equal(passing(200 * S), 0);
	start(4000 * S);
	load((const char *)state.p, 4000 * S);
	save(4000 * S);
	assert_in_range(passing(4000 * S), 62, 64); // the start's own reservation counts
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test_teardown(after_a_loss_nothing_passes_for_one_period, end),
		cmocka_unit_test_teardown(another_version_is_a_loss, end),
		cmocka_unit_test_teardown(the_next_start_still_knows_of_the_loss, end),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
