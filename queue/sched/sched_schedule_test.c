// SPDX-License-Identifier: BSD-3-Clause

// Mail that may be sent at some times only: windows in real time zones, and the
// scheduler with them.
#include "sched_steps.h"

#include "pen_send_window.h"
#include "pen_test.h"
#include "pen_zone.h"

#define S PEN_US_PER_S
#define MIN (60 * S)
#define HOUR (3600 * S)
#define DAY (24 * HOUR)
#define MON_FRI 0x3e

// ---- windows alone

static uint8_t file[1 << 16];
static struct pen_zone zone;

static void load(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
	FILE *f = fopen(path, "rb");
	if (f == NULL)
		fail_msg("%s is not there: package tzdata", path);
	size_t n = fread(file, 1, sizeof(file), f);
	fclose(f);
	assert_int_equal(pen_zone_parse(&zone, pen_span(file, n)), 0);
}

static bool real_zone(
	void *ctx, const char *name, pen_wall_us at, int32_t *offset, pen_wall_us *until)
{
	(void)ctx;
	(void)name;
	pen_zone_at(&zone, at, offset, until);
	return true;
}

static struct pen_send_window window(const char *name, uint8_t days, unsigned from, unsigned to)
{
	struct pen_send_window w = {.days = days, .from = (uint16_t)from, .to = (uint16_t)to};

	snprintf(w.zone, sizeof(w.zone), "%s", name);
	if (name[0] != '\0')
		load(name);
	return w;
}

static pen_wall_us utc(const char *text) // "2026-03-29 00:59"
{
	struct tm tm = {0};

	assert_non_null(strptime(text, "%Y-%m-%d %H:%M", &tm));
	return (pen_wall_us)timegm(&tm) * S;
}

static void opens(const struct pen_send_window *w, const char *from, const char *expected)
{
	pen_wall_us got = pen_send_window_opens(w, utc(from), real_zone, NULL);

	if (got != utc(expected))
		fail_msg("from %s it opens %lld minutes after %s", from,
			(long long)((got - utc(expected)) / MIN), expected);
}

static void office_hours_in_berlin_follow_the_clock_there(void **state)
{
	struct pen_send_window w = window("Europe/Berlin", MON_FRI, 9 * 60, 17 * 60);

	(void)state;
	opens(&w, "2026-01-07 07:59", "2026-01-07 08:00"); // a Wednesday, winter
	opens(&w, "2026-07-08 06:00", "2026-07-08 07:00"); // summer
	opens(&w, "2026-01-07 12:34", "2026-01-07 12:34");
	opens(&w, "2026-01-07 16:00", "2026-01-08 08:00");
	opens(&w, "2026-01-09 16:00", "2026-01-12 08:00"); // Friday evening
	opens(&w, "2026-03-27 16:00", "2026-03-30 07:00"); // over the change
	assert_true(pen_send_window_closes(&w, utc("2026-01-07 12:34"), real_zone, NULL) ==
		    utc("2026-01-07 16:00"));
}

static void an_hour_that_the_clock_skips_is_not_waited_for(void **state)
{
	// In Berlin there is no 02:00 to 03:00 on 2026-03-29, a Sunday.
	struct pen_send_window w = window("Europe/Berlin", 1, 2 * 60 + 30, 4 * 60);

	(void)state;
	opens(&w, "2026-03-28 12:00", "2026-03-29 01:00"); // 03:00, behind the gap
	w = window("Europe/Berlin", 1, 2 * 60 + 10, 2 * 60 + 40);
	opens(&w, "2026-03-28 12:00", "2026-04-05 00:10"); // all of it is skipped
	w = window("America/New_York", 1, 2 * 60 + 30, 4 * 60);
	opens(&w, "2026-03-07 12:00", "2026-03-08 07:00");
}

static void an_hour_that_the_clock_shows_twice_opens_twice(void **state)
{
	// 02:00 to 03:00 comes twice in Berlin on 2026-10-25.
	struct pen_send_window w = window("Europe/Berlin", 1, 2 * 60 + 10, 2 * 60 + 40);

	(void)state;
	opens(&w, "2026-10-24 12:00", "2026-10-25 00:10");
	opens(&w, "2026-10-25 00:45", "2026-10-25 01:10");
	opens(&w, "2026-10-25 01:45", "2026-11-01 01:10");
}

static void a_window_may_last_over_midnight(void **state)
{
	struct pen_send_window w = window("Asia/Kolkata", 1 << 5, 22 * 60, 6 * 60); // Friday

	(void)state;
	opens(&w, "2026-01-09 16:29", "2026-01-09 16:30");
	opens(&w, "2026-01-10 00:29", "2026-01-10 00:29"); // Saturday 05:59 there
	opens(&w, "2026-01-10 00:30", "2026-01-16 16:30");
}

static void no_days_is_no_window_and_an_unknown_zone_is_utc(void **state)
{
	struct pen_send_window w = {.days = 0, .from = 60, .to = 120};

	(void)state;
	assert_true(pen_send_window_opens(&w, 12345, real_zone, NULL) == 12345);
	w = window("", 0x7f, 9 * 60, 17 * 60);
	opens(&w, "2026-07-08 06:00", "2026-07-08 09:00");
	w = window("", 0x7f, 0, 1440);
	opens(&w, "2026-07-08 06:00", "2026-07-08 06:00");
}

// ---- the scheduler with them

static struct pen_message_extra extra;

static void give_extra(struct pen_message *m)
{
	m->extra = malloc(sizeof(*m->extra));
	*m->extra = extra;
}

static uint64_t add(struct world *w, struct pen_message_extra x)
{
	extra = x;
	w->edit = give_extra;
	uint64_t id = world_add(w, "s@x", "a@b.test");
	w->edit = NULL;
	return id;
}

// The world begins at 2023-11-14 22:13:21 UTC, a Tuesday.
static struct pen_send_window in_utc(unsigned from, unsigned to)
{
	return (struct pen_send_window){
		.days = 0x7f, .from = (uint16_t)(from * 60), .to = (uint16_t)(to * 60)};
}

static void mail_is_not_sent_before_its_moment_and_lives_from_then_on(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	pen_wall_us at = world_wall(w) + 8 * DAY; // longer than its lifetime
	uint64_t id = add(w, (struct pen_message_extra){.not_before = at});

	assert_int_equal(world_stats(w).scheduled, 1);
	pen_sched_flush(w->s, 0);
	world_wait(w, 8 * DAY - S);
	assert_null(first_delivery(w));
	world_wait(w, 2 * S);
	struct pen_delivery *d = first_delivery(w);
	assert_non_null(d);
	world_answer(w, d, 450);
	// Its age counts from that moment: the first retry comes after 300 s.
	assert_in_range(world_stored(w, id)->next_attempt - world_wall(w), 299 * S, 301 * S);
	world_wait(w, 301 * S);
	world_answer(w, first_delivery(w), 250);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	world_free(w);
}

static void mail_waits_for_its_window_at_arrival_and_at_each_retry(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	uint64_t id = add(w, (struct pen_message_extra){.window = in_utc(9, 11)});

	assert_int_equal(world_stats(w).scheduled, 1);
	world_wait(w, 10 * HOUR); // 08:13
	assert_null(first_delivery(w));
	world_wait(w, 47 * MIN);
	world_answer(w, first_delivery(w), 450); // 09:00
	assert_int_equal(world_stats(w).deferred, 1);
	world_wait(w, 67 * MIN); // maximal_backoff_time
	world_answer(w, first_delivery(w), 450);
	// The next attempt would be after 11:00.
	assert_int_equal(world_stats(w).scheduled, 1);
	world_wait(w, 22 * HOUR);
	assert_null(first_delivery(w));
	world_wait(w, HOUR);
	world_answer(w, first_delivery(w), 250);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	world_free(w);
}

static void what_waits_for_a_connection_goes_back_when_its_window_closes(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);

	w->hold_resolves = true;
	add(w, (struct pen_message_extra){.window = in_utc(22, 23)});
	assert_int_equal(world_stats(w).active, 1);
	world_wait(w, 47 * MIN); // past 23:00
	assert_int_equal(world_stats(w).active, 0);
	assert_int_equal(world_stats(w).scheduled, 1);
	world_wait(w, 23 * HOUR);
	assert_int_equal(world_stats(w).active, 1);
	world_free(w);
}

static void after_its_last_moment_it_expires_and_the_sender_reads_why(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	uint64_t id = add(w, (struct pen_message_extra){.not_after = world_wall(w) + HOUR});
	uint64_t late = add(w, (struct pen_message_extra){.not_after = world_wall(w) - S});
	uint64_t never = add(w, (struct pen_message_extra){.window = in_utc(9, 10),
					.not_after = world_wall(w) + 2 * HOUR});

	assert_int_equal(world_fate(w, late, 0), PEN_FATE_EXPIRED);
	for (int i = 0; i < 61; i++) {
		struct pen_delivery *d = first_delivery(w);
		if (d != NULL)
			world_answer(w, d, 450);
		world_wait(w, MIN);
	}
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_EXPIRED);
	bool said = false;
	for (uint32_t i = 0; i < w->nsub; i++)
		said = said || (strstr(w->sub[i].content, "its sender asked not to send it") &&
				       strstr(w->sub[i].content, "said so"));
	assert_true(said);
	world_wait(w, HOUR + S);
	assert_int_equal(world_fate(w, never, 0), PEN_FATE_EXPIRED);
	world_free(w);
}

static void a_change_of_the_clock_between_moves_the_opening(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	struct pen_send_window at = in_utc(9, 10);

	strcpy(at.zone, "Some/Where");
	w->zone_offset = 3600;
	w->zone_until = world_wall(w) + 4 * HOUR; // at 02:13 UTC
	w->zone_next = 7200;
	add(w, (struct pen_message_extra){.window = at});
	world_wait(w, 8 * HOUR + 40 * MIN); // 06:53 UTC
	assert_null(first_delivery(w));
	world_wait(w, 7 * MIN); // 07:00 UTC is 09:00 there
	assert_non_null(first_delivery(w));
	world_free(w);
}

static void a_restart_finds_it_scheduled_still(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);

	extra = (struct pen_message_extra){.window = in_utc(9, 10)};
	w->edit = give_extra;
	world_recover(w, "s@x", "a@b.test", world_wall(w) - HOUR,
		world_wall(w) + 10 * HOUR + 46 * MIN + 39 * S - w->now, 0);
	w->edit = NULL;
	assert_int_equal(world_stats(w).scheduled, 1);
	world_wait(w, 10 * HOUR + 47 * MIN);
	assert_non_null(first_delivery(w));
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(office_hours_in_berlin_follow_the_clock_there),
		cmocka_unit_test(an_hour_that_the_clock_skips_is_not_waited_for),
		cmocka_unit_test(an_hour_that_the_clock_shows_twice_opens_twice),
		cmocka_unit_test(a_window_may_last_over_midnight),
		cmocka_unit_test(no_days_is_no_window_and_an_unknown_zone_is_utc),
		cmocka_unit_test(mail_is_not_sent_before_its_moment_and_lives_from_then_on),
		cmocka_unit_test(mail_waits_for_its_window_at_arrival_and_at_each_retry),
		cmocka_unit_test(what_waits_for_a_connection_goes_back_when_its_window_closes),
		cmocka_unit_test(after_its_last_moment_it_expires_and_the_sender_reads_why),
		cmocka_unit_test(a_change_of_the_clock_between_moves_the_opening),
		cmocka_unit_test(a_restart_finds_it_scheduled_still),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
