// SPDX-License-Identifier: BSD-3-Clause
#include "pen_rand.h"
#include "pen_rate.h"
#include "pen_test.h"

// ---- parsing

static void rates_are_read_as_people_write_them(void **state)
{
	static const struct {
		const char *text;
		uint64_t count;
		int64_t seconds;
		uint64_t burst;
		const char *str;
	} cases[] = {
		{"100/s", 100, 1, 100, "100/s"},
		{"1,000/h", 1000, 3600, 1, "1000/h"},
		{"1_000 / 15 min", 1000, 900, 1, "1000/15min"},
		{"50/d, burst=5", 50, 86400, 5, "50/d, burst=5"},
		{"  10 / 5min ", 10, 300, 1, "10/5min"},
		{"3/10MIN", 3, 600, 1, "3/10min"},
		{"10M/s", 10000000, 1, 10000000, "10000000/s"},
		{"2k/minute,burst=7", 2000, 60, 7, "2000/min, burst=7"},
		{"7200/2hours", 7200, 7200, 1, "7200/2h"},
		{"0/h", 0, 3600, 1, "0/h"},
		{"90/90s", 90, 90, 1, "90/90s"},
		{"unlimited", 0, 0, 0, "unlimited"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pen_rate r;
		const char *why = NULL;
		char text[PEN_RATE_STR_MAX];
		size_t at;
		if (!pen_rate_parse(pen_span_cstr(cases[i].text), &r, &why, &at))
			fail_msg("%s: %s", cases[i].text, why);
		assert_int_equal(r.count, cases[i].count);
		assert_int_equal(r.period, cases[i].seconds * PEN_US_PER_S);
		assert_int_equal(r.burst, cases[i].burst);
		assert_string_equal(pen_rate_str(&r, text), cases[i].str);
		struct pen_rate again;
		assert_true(pen_rate_parse(pen_span_cstr(text), &again, &why, &at));
		assert_memory_equal(&again, &r, sizeof(r));
	}
}

static void a_wrong_rate_names_its_fault(void **state)
{
	static const struct {
		const char *text, *why;
		size_t at;
	} cases[] = {
		{"", "begins with a number", 0},
		{"fast", "begins with a number", 0},
		{"100", "a slash and a time", 3},
		{"100 per s", "a slash and a time", 4},
		{"100/", "unit", 4},
		{"100/fortnight", "unit", 4},
		{"100/0s", "1s to 366d", 4},
		{"100/400d", "1s to 366d", 4},
		{"1,/s", "a slash and a time", 1},
		{"99999999999999999999/s", "too large", 15},
		{"10/s, burst", "needs \"=NUMBER\"", 11},
		{"10/s, burst=0", "a burst is", 12},
		{"10/s, burst=11", "a burst is", 12},
		{"10/s, max=5", "only \"burst=NUMBER\"", 6},
		{"10/s burst=5", "nothing may follow", 5},
		{"10/s, burst=5 x", "nothing may follow", 14},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pen_rate r = {7, 7, 7};
		const char *why = "";
		size_t at = 99;
		assert_false(pen_rate_parse(pen_span_cstr(cases[i].text), &r, &why, &at));
		assert_non_null(strstr(why, cases[i].why));
		assert_int_equal(at, cases[i].at);
		assert_int_equal(r.count, 7);
	}
}

// ---- the receiver

#define LEDGER 400000

struct ledger {
	struct entry {
		pen_time_us at, ends;
		uint64_t n;
		bool after; // it began after the reload
	} * e;
	size_t n;
};

static void ledger_add(struct ledger *l, struct entry e)
{
	assert_true(l->n < LEDGER);
	size_t i = l->n++;
	while (i > 0 && l->e[i - 1].at > e.at) {
		l->e[i] = l->e[i - 1];
		i--;
	}
	l->e[i] = e;
}

// In every half-open interval of one period at most `count`, or one alone. Of a reload: in
// every one with a use that began after it, as far as the old period was remembered.
static void ledger_check(const struct ledger *l, const struct pen_rate *r, pen_time_us known)
{
	uint64_t sum = 0, uses = 0, after = 0;
	size_t first = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct entry *e = &l->e[i];
		for (; e->at - l->e[first].at >= r->period; first++) {
			if (!l->e[first].after && l->e[first].ends < known)
				continue;
			sum -= l->e[first].n;
			after -= l->e[first].after;
			uses--;
		}
		if (!e->after && e->ends < known)
			continue;
		sum += e->n;
		after += e->after;
		uses++;
		if (sum > r->count && uses > 1 && after > 0)
			fail_msg("%llu in a period that ends at %lld: the limit is %llu",
				(unsigned long long)sum, (long long)e->at,
				(unsigned long long)r->count);
	}
}

struct use {
	pen_time_us arrives, ends;
	uint64_t n;
	bool happens, after;
};

struct draw {
	struct pen_rand rand;
	struct pen_meter m;
	struct pen_rate rate;
	struct ledger ledger;
	struct use use[4096];
	size_t open;
	pen_time_us now;
	bool bytes, after;
	pen_time_us latency, jitter;
};

static pen_time_us soonest(const struct draw *d)
{
	pen_time_us t = PEN_TIME_NEVER;

	for (size_t i = 0; i < d->open; i++)
		t = pen_time_min(t, d->use[i].ends);
	return t;
}

static void end_due(struct draw *d)
{
	for (size_t i = 0; i < d->open;) {
		struct use u = d->use[i];
		if (u.ends > d->now) {
			i++;
			continue;
		}
		pen_meter_end(&d->m, &d->rate, d->now, u.n, u.happens);
		if (u.happens)
			ledger_add(&d->ledger, (struct entry){u.arrives, u.ends, u.n, u.after});
		d->use[i] = d->use[--d->open];
	}
}

static uint64_t draw_size(struct draw *d)
{
	if (!d->bytes)
		return 1;
	if (pen_rand_below(&d->rand, 200) == 0) // larger than the rate
		return d->rate.count + pen_rand_below(&d->rand, d->rate.count + 1);
	return 1 + pen_rand_below(&d->rand, d->rate.count / 4 + 1);
}

static void step(struct draw *d)
{
	uint64_t n = draw_size(d);

	end_due(d);
	pen_time_us when = pen_meter_when(&d->m, &d->rate, d->now, n);
	if (when <= d->now && d->open < 4096) {
		struct use *u = &d->use[d->open++];
		pen_time_us there =
			d->latency + (pen_time_us)pen_rand_below(&d->rand, (uint64_t)d->jitter + 1);
		pen_time_us back =
			d->latency + (pen_time_us)pen_rand_below(&d->rand, (uint64_t)d->jitter + 1);
		*u = (struct use){d->now + there, d->now + there + back, n,
			pen_rand_below(&d->rand, 50) != 0, d->after};
		pen_meter_begin(&d->m, &d->rate, d->now, n);
		if (pen_rand_below(&d->rand, 20) == 0) // a pause
			d->now +=
				(pen_time_us)pen_rand_below(&d->rand, (uint64_t)d->rate.period * 2);
		return;
	}
	pen_time_us next = pen_time_min(when, soonest(d));
	assert_true(next != PEN_TIME_NEVER);
	d->now = next > d->now ? next : d->now + 1;
	if (pen_rand_below(&d->rand, 3) == 0) // late
		d->now += (pen_time_us)pen_rand_below(&d->rand, 20000);
}

static void draw_rate(struct draw *d)
{
	static const pen_time_us periods[] = {PEN_US_PER_S, 10 * PEN_US_PER_S, 60 * PEN_US_PER_S,
		300 * PEN_US_PER_S, 3600 * PEN_US_PER_S};

	d->rate.period = periods[pen_rand_below(&d->rand, 5)];
	d->rate.count = 1 + pen_rand_below(&d->rand, d->bytes ? 1u << 30 : 300);
	d->rate.burst = 1 + pen_rand_below(&d->rand, d->rate.count);
	d->latency = (pen_time_us)pen_rand_below(&d->rand, 200000);
	d->jitter = (pen_time_us)pen_rand_below(&d->rand, 3000000);
}

static void receivers_never_count_more_than_the_limit(void **state)
{
	uint64_t seed = pen_test_seed();

	(void)state;
	for (unsigned round = 0; round < 150; round++) {
		struct draw *d = calloc(1, sizeof(*d));
		d->ledger.e = calloc(LEDGER, sizeof(*d->ledger.e));
		pen_rand_seed(&d->rand, seed + round);
		d->bytes = pen_rand_below(&d->rand, 3) == 0;
		d->after = true;
		draw_rate(d);
		pen_meter_init(&d->m);
		for (unsigned i = 0; i < 3000; i++)
			step(d);
		while (d->open > 0) {
			d->now = soonest(d);
			end_due(d);
		}
		ledger_check(&d->ledger, &d->rate, 0);
		free(d->ledger.e);
		free(d);
	}
}

static void another_rate_holds_from_the_reload_on(void **state)
{
	uint64_t seed = pen_test_seed();

	(void)state;
	for (unsigned round = 0; round < 150; round++) {
		struct draw *d = calloc(1, sizeof(*d));
		d->ledger.e = calloc(LEDGER, sizeof(*d->ledger.e));
		pen_rand_seed(&d->rand, seed + round);
		d->bytes = pen_rand_below(&d->rand, 3) == 0;
		draw_rate(d);
		pen_meter_init(&d->m);
		for (unsigned i = 0; i < 1500; i++)
			step(d);
		end_due(d);
		struct pen_rate old = d->rate;
		draw_rate(d);
		pen_meter_change(&d->m, &old, &d->rate, d->now);
		pen_time_us known = d->now - old.period;
		d->after = true;
		for (unsigned i = 0; i < 1500; i++)
			step(d);
		while (d->open > 0) {
			d->now = soonest(d);
			end_due(d);
		}
		ledger_check(&d->ledger, &d->rate, known);
		free(d->ledger.e);
		free(d);
	}
}

static void what_is_known_counts_under_the_new_rate(void **state)
{
	struct pen_rate a = {100, PEN_US_PER_S, 100}, b = {30, PEN_US_PER_S, 30},
			c = {10, 60 * PEN_US_PER_S, 10};
	struct pen_meter m;
	pen_time_us t = 5000000;

	(void)state;
	pen_meter_init(&m);
	pen_meter_begin(&m, &a, t, 40);
	pen_meter_end(&m, &a, t, 35, true); // 5 are open
	pen_meter_change(&m, &a, &b, t + 100);
	assert_int_equal(m.open, 5);
	assert_true(pen_meter_when(&m, &b, t + 100, 1) >= t + PEN_US_PER_S);
	assert_true(pen_meter_when(&m, &b, t + 100, 1) <= t + PEN_US_PER_S + 50000);
	pen_meter_change(&m, &b, &a, t + 200); // and back: room for 60
	assert_true(pen_meter_when(&m, &a, t + 200, 58) <= t + 200);
	assert_true(pen_meter_when(&m, &a, t + 200, 66) > t + 200);
	pen_meter_change(&m, &a, &c, t + 300);
	assert_true(pen_meter_when(&m, &c, t + 300, 1) >= t + 60 * PEN_US_PER_S);
}

static void spacing_allows_a_burst_and_then_the_average(void **state)
{
	struct pen_rate r = {600, 60 * PEN_US_PER_S, 5};
	struct pen_meter m;
	pen_time_us now = 1000000;
	unsigned at_once = 0, passed = 0;

	(void)state;
	pen_meter_init(&m);
	while (pen_meter_when(&m, &r, now, 1) <= now) {
		pen_meter_begin(&m, &r, now, 1);
		pen_meter_end(&m, &r, now, 1, true);
		at_once++;
	}
	assert_int_equal(at_once, 5);
	for (pen_time_us end = now + 10 * PEN_US_PER_S; now < end;) {
		pen_time_us when = pen_meter_when(&m, &r, now, 1);
		if (when > now) {
			assert_true(when <= now + 100001); // one each 100 ms
			now = when;
			continue;
		}
		pen_meter_begin(&m, &r, now, 1);
		pen_meter_end(&m, &r, now, 1, true);
		passed++;
	}
	assert_in_range(passed, 99, 101);
}

static unsigned passes(const struct pen_rate *r, pen_time_us duration)
{
	struct pen_meter m;
	pen_time_us now = 77, end = now + duration;
	unsigned n = 0;

	pen_meter_init(&m);
	for (;;) {
		pen_time_us when = pen_meter_when(&m, r, now, 1);
		now = when > now ? when : now;
		if (now >= end)
			return n;
		pen_meter_begin(&m, r, now, 1);
		pen_meter_end(&m, r, now, 1, true);
		n++;
	}
}

static void nothing_is_lost_needlessly(void **state)
{
	struct pen_rate fast = {100, PEN_US_PER_S, 100}, slow = {1000, 3600 * PEN_US_PER_S, 1};

	(void)state;
	assert_in_range(passes(&fast, 100 * PEN_US_PER_S), 9700, 10000);
	assert_in_range(passes(&slow, 3600 * PEN_US_PER_S), 980, 1000);
	assert_in_range(passes(&slow, 10 * 3600 * PEN_US_PER_S), 9800, 10000);
	struct pen_rate million = {1000000, PEN_US_PER_S, 1000};
	assert_in_range(passes(&million, PEN_US_PER_S), 980000, 1000000);
}

static void a_full_meter_is_silent_for_a_period(void **state)
{
	struct pen_rate r = {10, 5 * PEN_US_PER_S, 10};
	struct pen_meter m;

	(void)state;
	pen_meter_init(&m);
	pen_meter_fill(&m, &r, 1000);
	pen_time_us when = pen_meter_when(&m, &r, 1000, 1);
	assert_in_range(when, 1000 + 5 * PEN_US_PER_S, 1000 + 5 * PEN_US_PER_S + 100000);
	assert_int_equal(pen_meter_used(&m, &r, 1000), 10);
	assert_true(pen_meter_when(&m, &r, when, 10) <= when);
	assert_int_equal(pen_meter_used(&m, &r, when), 0);
}

static void large_byte_counts_are_kept(void **state)
{
	struct pen_rate r = {50000000000000u, 86400 * PEN_US_PER_S, 50000000000000u}; // 50T/d
	struct pen_meter m;
	uint64_t sum = 0;

	(void)state;
	pen_meter_init(&m);
	while (pen_meter_when(&m, &r, 5, 9000000000u) <= 5) {
		pen_meter_begin(&m, &r, 5, 9000000000u);
		pen_meter_end(&m, &r, 5, 9000000000u, true);
		sum += 9000000000u;
	}
	assert_true(sum <= r.count && sum > r.count / 100 * 99);
}

static void an_open_use_holds_until_it_ends(void **state)
{
	struct pen_rate r = {1, PEN_US_PER_S, 1};
	struct pen_meter m;

	(void)state;
	pen_meter_init(&m);
	pen_meter_begin(&m, &r, 10, 1);
	assert_true(pen_meter_when(&m, &r, 100 * PEN_US_PER_S, 1) == PEN_TIME_NEVER);
	pen_meter_end(&m, &r, 100 * PEN_US_PER_S, 1, true);
	assert_true(pen_meter_when(&m, &r, 100 * PEN_US_PER_S, 1) >= 101 * PEN_US_PER_S);
	struct pen_rate none = {0, PEN_US_PER_S, 1};
	pen_meter_init(&m);
	assert_true(pen_meter_when(&m, &none, 5, 1) == PEN_TIME_NEVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates_are_read_as_people_write_them),
		cmocka_unit_test(a_wrong_rate_names_its_fault),
		cmocka_unit_test(receivers_never_count_more_than_the_limit),
		cmocka_unit_test(another_rate_holds_from_the_reload_on),
		cmocka_unit_test(what_is_known_counts_under_the_new_rate),
		cmocka_unit_test(spacing_allows_a_burst_and_then_the_average),
		cmocka_unit_test(nothing_is_lost_needlessly),
		cmocka_unit_test(a_full_meter_is_silent_for_a_period),
		cmocka_unit_test(large_byte_counts_are_kept),
		cmocka_unit_test(an_open_use_holds_until_it_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
