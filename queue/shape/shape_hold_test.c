// SPDX-License-Identifier: BSD-3-Clause

// Warm-up, suspensions, rules, waiting, and what survives a restart.
#include "shape_world.h"

#include <errno.h>

#define S PEN_US_PER_S
#define H (3600 * S)
#define DAY (24 * H)
#define T0 ((pen_time_us)1000 * S)
#define BOTH (PEN_SHAPE_IP4 | PEN_SHAPE_IP6)

struct world {
	struct pen_shape *sh;
	struct pen_shape_site *a, *b; // a belongs to provider p
	pen_time_us now;
	char woken[256];
};

static struct pen_shape_section provider;

static const char *const group[] = {"*.p.test"};

static struct pen_shape_config *with_provider(uint32_t sources)
{
	struct pen_shape_config *c = world_config(sources, 0);

	provider = (struct pen_shape_section){
		.name = "p", .line = 8, .match = {.nmx = 1, .mx = (const char **)(uintptr_t)group}};
	c->provider = &provider;
	c->nproviders = 1;
	return c;
}

static void begin(struct world *w, struct pen_shape_config *c)
{
	*w = (struct world){.now = T0};
	w->sh = pen_shape_new(c, T0, T0 + WORLD_WALL);
	assert_non_null(w->sh);
	world_save(w->sh, T0, NULL);
	w->a = world_site(w->sh, "mx.p.test", T0);
	w->b = world_site(w->sh, "mx.b.test", T0);
}

static void end(struct world *w)
{
	pen_shape_site_put(w->sh, w->a);
	pen_shape_site_put(w->sh, w->b);
	pen_shape_free(w->sh);
}

static struct pen_shape_conn open_at(struct world *w, struct pen_shape_site *s)
{
	struct pen_shape_conn c;
	struct pen_shape_block b;
	char text[600];

	if (!pen_shape_open(w->sh, s, 0, BOTH, w->now, &c, &b)) {
		pen_shape_block_text(&b, w->now, w->now + WORLD_WALL, text, sizeof(text));
		fail_msg("blocked: %s", text);
	}
	pen_shape_ready(w->sh, &c, 0, w->now);
	return c;
}

static bool opens(struct world *w, struct pen_shape_site *s, struct pen_shape_block *b)
{
	struct pen_shape_conn c;

	if (!pen_shape_open(w->sh, s, 0, BOTH, w->now, &c, b))
		return false;
	pen_shape_close(w->sh, &c, w->now, false);
	return true;
}

static bool sends(struct world *w, struct pen_shape_conn *c, struct pen_shape_class *k,
	struct pen_shape_block *b)
{
	if (!pen_shape_send(w->sh, c, k, 1000, w->now, b))
		return false;
	pen_shape_done(w->sh, c, k, 1000, w->now, true);
	return true;
}

static const char *text_of(struct world *w, const struct pen_shape_block *b)
{
	static char text[600];

	pen_shape_block_text(b, w->now, w->now + WORLD_WALL, text, sizeof(text));
	return text;
}

// ---- waiting

struct named {
	struct pen_shape_waiter w;
	char name;
	struct world *world;
	struct pen_shape_site *site; // asks for a connection when it is woken
	struct pen_shape_conn *conn; // or sends
	struct pen_shape_conn mine;  // what it got
	bool got, later;
};

static void woken(void *ctx, struct pen_shape_waiter *sw)
{
	struct named *n = (struct named *)sw;
	struct world *w = ctx;
	struct pen_shape_block b;
	size_t at = strlen(w->woken);

	w->woken[at] = n->name;
	w->woken[at + 1] = '\0';
	if (n->later)
		return;
	if (n->conn != NULL)
		n->got = pen_shape_send(w->sh, n->conn, NULL, 1000, w->now, &b);
	else
		n->got = pen_shape_open(w->sh, n->site, 0, BOTH, w->now, &n->mine, &b);
	if (!n->got)
		pen_shape_wait(w->sh, &n->w, &b);
}

static const char *poll_at(struct world *w, pen_time_us now, uint32_t budget)
{
	w->now = now;
	w->woken[0] = '\0';
	uint32_t n = pen_shape_poll(w->sh, now, now + WORLD_WALL, budget, woken, w);
	assert_int_equal(n, strlen(w->woken));
	return w->woken;
}

static void wait_named(struct world *w, struct named *n, char name, struct pen_shape_site *site,
	struct pen_shape_conn *conn)
{
	struct pen_shape_block b;
	struct pen_shape_conn c;

	*n = (struct named){.name = name, .world = w, .site = site, .conn = conn};
	pen_shape_waiter_init(&n->w);
	if (conn != NULL)
		assert_false(pen_shape_send(w->sh, conn, NULL, 1000, w->now, &b));
	else
		assert_false(pen_shape_open(w->sh, site, 0, BOTH, w->now, &c, &b));
	pen_shape_wait(w->sh, &n->w, &b);
	assert_true(pen_shape_waiting(&n->w));
}

static void waiters_are_woken_in_order_and_only_as_many_as_pass(void **state)
{
	struct world w;
	struct named n[5];
	struct pen_shape_config *c = with_provider(1);

	(void)state;
	c->defaults.limits = world_limits("message_rate=2/s");
	begin(&w, c);
	struct pen_shape_conn conn = open_at(&w, w.a);
	struct pen_shape_block b;
	assert_true(sends(&w, &conn, NULL, &b) && sends(&w, &conn, NULL, &b));
	for (unsigned i = 0; i < 5; i++)
		wait_named(&w, &n[i], (char)('a' + i), w.a, &conn);
	pen_time_us next = pen_shape_next(w.sh);
	assert_in_range(next, T0 + S, T0 + S + S / 50);
	assert_string_equal(poll_at(&w, next - 1, 100), "");
	assert_string_equal(poll_at(&w, next, 100), "ab");
	assert_true(pen_shape_next(w.sh) == PEN_TIME_NEVER); // both are open
	pen_shape_cancel(w.sh, &n[2].w);
	pen_shape_done(w.sh, &conn, NULL, 1000, w.now, true);
	pen_shape_done(w.sh, &conn, NULL, 1000, w.now, false); // never sent
	assert_int_equal(pen_shape_next(w.sh), w.now);
	// A newcomer stands behind the others.
	assert_false(pen_shape_send(w.sh, &conn, NULL, 1000, w.now, &b));
	assert_string_equal(poll_at(&w, w.now, 100), "d");
	pen_shape_done(w.sh, &conn, NULL, 1000, w.now, true);
	assert_string_equal(poll_at(&w, pen_shape_next(w.sh), 100), "e");
	pen_shape_done(w.sh, &conn, NULL, 1000, w.now, true);
	assert_true(pen_shape_next(w.sh) == PEN_TIME_NEVER);
	pen_shape_close(w.sh, &conn, w.now, true);
	end(&w);
}

static void poll_keeps_its_budget_and_forgets_nobody(void **state)
{
	struct world w;
	struct named n[10];
	struct pen_suspension s = {.scope = PEN_SUSPEND_SITE,
		.name = PEN_SPAN_LIT("mx.b.test."),
		.reason = PEN_SPAN_LIT("blocked"),
		.by = PEN_SPAN_LIT("operator")};

	(void)state;
	begin(&w, with_provider(1));
	uint64_t id = pen_shape_suspend(w.sh, &s, T0);
	for (unsigned i = 0; i < 10; i++)
		wait_named(&w, &n[i], (char)('a' + i), w.b, NULL);
	for (unsigned i = 0; i < 10; i++)
		n[i].later = true;
	assert_int_equal(pen_shape_resume(w.sh, id, T0), 0);
	assert_int_equal(pen_shape_resume(w.sh, id, T0), -ENOENT);
	assert_string_equal(poll_at(&w, T0, 4), "abcd");
	assert_int_equal(pen_shape_next(w.sh), T0);
	assert_string_equal(poll_at(&w, T0, 100), "efghij");
	assert_true(pen_shape_next(w.sh) == PEN_TIME_NEVER);
	end(&w);
}

static void whichever_source_is_free_first_wakes(void **state)
{
	struct world w;
	struct named n[3];
	struct pen_shape_config *c = with_provider(2);

	(void)state;
	c->source[0].limits = world_limits("connections=1");
	c->source[1].limits = world_limits("connections=1");
	begin(&w, c);
	struct pen_shape_conn x = open_at(&w, w.a), y = open_at(&w, w.b);
	wait_named(&w, &n[0], 'a', w.a, NULL);
	wait_named(&w, &n[1], 'b', w.b, NULL);
	wait_named(&w, &n[2], 'c', w.b, NULL);
	n[0].later = n[1].later = n[2].later = true;
	assert_string_equal(poll_at(&w, T0, 100), "");
	pen_shape_close(w.sh, &y, T0, true);
	n[0].later = false;
	assert_string_equal(poll_at(&w, T0, 100), "a");
	assert_true(n[0].got);
	pen_shape_close(w.sh, &x, T0, true);
	assert_string_equal(poll_at(&w, T0, 100), "b"); // it may ask later
	assert_int_equal(pen_shape_next(w.sh), T0);
	assert_string_equal(poll_at(&w, T0, 100), "c"); // it did not
	pen_shape_close(w.sh, &n[0].mine, T0, true);
	end(&w);
}

// ---- suspensions

static void suspensions_hold_what_they_name_until_they_end(void **state)
{
	static const struct {
		enum pen_suspend_scope scope;
		const char *name, *at;
		bool a, b; // still open
		const char *text;
	} cases[] = {
		{PEN_SUSPEND_SITE, "mx.p.test.", "", false, true,
			"site mx.p.test. is suspended by the operator: maintenance, until 01:16:40 "
			"UTC"},
		{PEN_SUSPEND_TENANT, "acme", "", false, false,
			"tenant acme is suspended by the operator: maintenance, until 01:16:40 "
			"UTC"},
		{PEN_SUSPEND_TENANT, "Acme", "mx.b.test.", true, false, NULL},
		{PEN_SUSPEND_TENANT, "acme", "p", false, true,
			"tenant acme at p is suspended by the operator: maintenance, until "
			"01:16:40 UTC"},
		{PEN_SUSPEND_TENANT, "other", "", true, true, NULL},
		{PEN_SUSPEND_CAMPAIGN, "xmas", "", false, false,
			"campaign xmas is suspended by the operator: maintenance, until 01:16:40 "
			"UTC"},
		{PEN_SUSPEND_SOURCE, "s0", "", false, false,
			"source s0 is suspended by the operator: maintenance, until 01:16:40 UTC"},
		{PEN_SUSPEND_SOURCE, "s0", "p", false, true,
			"source s0 at p is suspended by the operator: maintenance, until 01:16:40 "
			"UTC"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w;
		struct pen_shape_block b;
		begin(&w, with_provider(1));
		struct pen_shape_class *k = pen_shape_class_get(w.sh, world_class("acme", "xmas"));
		struct pen_shape_conn x = open_at(&w, w.a), y = open_at(&w, w.b);
		struct pen_suspension s = {.scope = cases[i].scope,
			.name = pen_span_cstr(cases[i].name),
			.at = pen_span_cstr(cases[i].at),
			.reason = PEN_SPAN_LIT("maintenance"),
			.by = PEN_SPAN_LIT("operator"),
			.until = T0 + WORLD_WALL + H};
		uint64_t id = pen_shape_suspend(w.sh, &s, T0);
		assert_int_not_equal(id, 0);
		assert_int_equal(pen_shape_suspend(w.sh, &s, T0), id);
		assert_int_equal(sends(&w, &y, k, &b), cases[i].b);
		assert_int_equal(sends(&w, &x, k, &b), cases[i].a);
		if (cases[i].text != NULL)
			assert_string_equal(text_of(&w, &b), cases[i].text);
		if (cases[i].scope == PEN_SUSPEND_SOURCE || cases[i].scope == PEN_SUSPEND_SITE)
			assert_int_equal(opens(&w, w.a, &b), cases[i].a);
		w.now += H - 1;
		assert_int_equal(sends(&w, &x, k, &b), cases[i].a);
		w.now += 1;
		assert_true(sends(&w, &x, k, &b) && sends(&w, &y, k, &b));
		pen_shape_close(w.sh, &x, w.now, true);
		pen_shape_close(w.sh, &y, w.now, true);
		end(&w);
	}
}

static void a_suspended_domain_is_held_by_itself(void **state)
{
	struct world w;
	struct pen_shape_block b;
	struct pen_suspension s = {.scope = PEN_SUSPEND_DOMAIN,
		.name = PEN_SPAN_LIT("Example.COM."),
		.by = PEN_SPAN_LIT("operator")};

	(void)state;
	begin(&w, with_provider(1));
	assert_true(pen_shape_domain_open(w.sh, PEN_SPAN_LIT("example.com"), T0, &b));
	uint64_t id = pen_shape_suspend(w.sh, &s, T0);
	assert_false(pen_shape_domain_open(w.sh, PEN_SPAN_LIT("example.com"), T0, &b));
	assert_string_equal(text_of(&w, &b), "domain Example.COM is suspended by the operator");
	assert_true(pen_shape_domain_open(w.sh, PEN_SPAN_LIT("a.example.com"), T0, &b));
	assert_true(opens(&w, w.a, &b));
	assert_int_equal(pen_shape_resume(w.sh, id, T0), 0);
	assert_true(pen_shape_domain_open(w.sh, PEN_SPAN_LIT("example.com"), T0, &b));
	end(&w);
}

// ---- warm-up

static struct pen_shape_warmup warmup;
static uint32_t schedule[] = {5, 8};

static struct pen_shape_config *with_warmup(void)
{
	struct pen_shape_config *c = with_provider(2);

	// Day 0 is the day of T0.
	warmup = (struct pen_shape_warmup){.name = "w",
		.line = 40,
		.source = 1,
		.provider = "p",
		.start = WORLD_WALL + 12 * H,
		.ndays = 2,
		.cap = schedule};
	c->warmup = &warmup;
	c->nwarmups = 1;
	return c;
}

static unsigned send_many(struct world *w, unsigned n, unsigned count[2])
{
	unsigned sent = 0;
	struct pen_shape_block b;

	count[0] = count[1] = 0;
	for (unsigned i = 0; i < n; i++) {
		struct pen_shape_conn c = open_at(w, w->a);
		if (sends(w, &c, NULL, &b)) {
			count[c.source[0]]++;
			sent++;
		}
		pen_shape_close(w->sh, &c, w->now, true);
		world_save(w->sh, w->now, NULL);
	}
	return sent;
}

static void a_warm_up_overflows_to_other_sources(void **state)
{
	struct world w;
	unsigned count[2];

	(void)state;
	begin(&w, with_warmup());
	assert_int_equal(send_many(&w, 50, count), 50);
	assert_int_equal(count[1], 5);
	w.now = DAY - 1;
	send_many(&w, 20, count);
	assert_int_equal(count[1], 0);
	w.now = DAY; // midnight in UTC
	send_many(&w, 50, count);
	assert_int_equal(count[1], 8);
	w.now = 2 * DAY; // the schedule is over
	send_many(&w, 50, count);
	assert_int_equal(count[1], 25);
	end(&w);
}

static void without_another_source_it_waits_for_the_next_day(void **state)
{
	struct world w;
	struct pen_shape_block b;
	unsigned count[2];
	struct pen_shape_config *c = with_warmup();

	(void)state;
	c->source[0].limits = world_limits("connections=0");
	begin(&w, c);
	struct pen_shape_conn x = open_at(&w, w.a);
	assert_int_equal(x.source[0], 1);
	assert_int_equal(send_many(&w, 5, count), 5);
	assert_false(sends(&w, &x, NULL, &b));
	assert_int_equal(b.holder, PEN_HELD_WARMUP);
	assert_string_equal(text_of(&w, &b),
		"the warm-up of source s1 has used its rate of 5 messages a day (egress.conf line "
		"40), until 00:00:00 UTC");
	assert_false(opens(&w, w.a, &b));
	struct named n;
	wait_named(&w, &n, 'x', w.a, NULL);
	n.later = true;
	assert_true(opens(&w, w.b, &b));                 // only at the provider
	assert_string_equal(poll_at(&w, w.now, 10), ""); // s1 is free again, but not for it
	assert_int_equal(pen_shape_next(w.sh), DAY);
	assert_string_equal(poll_at(&w, DAY, 10), "x");
	pen_shape_close(w.sh, &x, w.now, true);
	end(&w);
}

// ---- rules

static struct pen_shape_rule rules[4];

static struct pen_shape_config *with_rules(uint32_t n)
{
	struct pen_shape_config *c = with_provider(2);

	c->rule = rules;
	c->nrules = n;
	for (uint32_t i = 0; i < n; i++) {
		rules[i].line = 30 + i;
		rules[i].duration = rules[i].duration != 0 ? rules[i].duration : H;
		rules[i].provider = rules[i].provider != NULL ? rules[i].provider : "";
		rules[i].site = rules[i].site != NULL ? rules[i].site : "";
		rules[i].pattern = "/x/";
	}
	return c;
}

static struct pen_shape_effect reply(
	struct world *w, struct pen_shape_conn *c, struct pen_shape_class *k, uint32_t rule)
{
	struct pen_shape_effect e;

	pen_shape_reply(w->sh, c, k, &rule, 1, w->now, &e);
	return e;
}

static void a_rule_acts_when_its_hits_come_close_enough(void **state)
{
	struct world w;
	struct pen_shape_block b;

	(void)state;
	memset(rules, 0, sizeof(rules));
	rules[0] = (struct pen_shape_rule){
		.action = PEN_ACT_SUSPEND, .trigger = world_rate("3/10min")};
	begin(&w, with_rules(1));
	struct pen_shape_conn c = open_at(&w, w.a), d = open_at(&w, w.b);
	assert_int_equal(reply(&w, &c, NULL, 0).rules, 0);
	w.now += 300 * S;
	assert_int_equal(reply(&w, &c, NULL, 0).rules, 0);
	assert_int_equal(reply(&w, &d, NULL, 0).rules, 0); // another site's
	w.now += 301 * S;                                  // the first is too old
	assert_int_equal(reply(&w, &c, NULL, 0).rules, 0);
	assert_true(opens(&w, w.a, &b));
	w.now += 200 * S;
	struct pen_shape_effect e = reply(&w, &c, NULL, 0);
	assert_int_equal(e.rules, 1);
	assert_int_equal(e.line, 30);
	assert_false(opens(&w, w.a, &b));
	assert_string_equal(text_of(&w, &b), "site mx.p.test. is suspended by rule at egress.conf "
					     "line 30 until 01:30:01: a reply");
	assert_true(opens(&w, w.b, &b));
	w.now += 1800 * S;
	assert_int_equal(reply(&w, &c, NULL, 0).rules, 0); // longer, not anew
	w.now += H - S;
	assert_false(opens(&w, w.a, &b));
	w.now += S;
	assert_true(opens(&w, w.a, &b));
	pen_shape_close(w.sh, &c, w.now, true);
	pen_shape_close(w.sh, &d, w.now, true);
	end(&w);
}

static void back_off_uses_the_set_of_the_provider_or_site(void **state)
{
	struct world w;
	struct pen_shape_block b;

	(void)state;
	memset(rules, 0, sizeof(rules));
	rules[0] = (struct pen_shape_rule){.action = PEN_ACT_BACKOFF, .provider = "p"};
	rules[1] = (struct pen_shape_rule){.action = PEN_ACT_BACKOFF};
	struct pen_shape_config *c = with_rules(2);
	provider.backoff = world_limits("connections=3 message_rate=60/min messages=10");
	c->defaults.limits = world_limits("connections=4 messages=50");
	begin(&w, c);
	struct pen_shape_conn x[4];
	for (unsigned i = 0; i < 4; i++)
		x[i] = open_at(&w, w.a);
	assert_int_equal(reply(&w, &x[0], NULL, 0).rules, 1);
	assert_int_equal(pen_shape_site_limits(w.sh, w.a, w.now)->connection_messages, 10);
	pen_shape_close(w.sh, &x[3], w.now, true);
	assert_false(opens(&w, w.a, &b));
	assert_string_equal(text_of(&w, &b),
		"provider p has its 3 connections (rule at "
		"egress.conf line 30 until 01:16:40), until 01:16:40 UTC");
	struct named n;
	wait_named(&w, &n, 'w', w.a, NULL);
	n.later = true;
	assert_string_equal(poll_at(&w, pen_shape_next(w.sh) - 1, 10), "");
	assert_string_equal(poll_at(&w, pen_shape_next(w.sh), 10), "w");
	assert_int_equal(w.now, T0 + H);
	assert_int_equal(pen_shape_site_limits(w.sh, w.a, w.now)->connection_messages, 50);
	// Site b has no set of its own: hardly anything.
	x[3] = open_at(&w, w.b);
	assert_int_equal(reply(&w, &x[3], NULL, 0).rules, 0); // not of this provider
	assert_int_equal(reply(&w, &x[3], NULL, 1).rules, 1);
	assert_false(opens(&w, w.b, &b));
	assert_int_equal(b.limit, 1);
	pen_shape_clear(w.sh, w.b, w.now);
	assert_true(opens(&w, w.b, &b));
	for (unsigned i = 0; i < 4; i++)
		pen_shape_close(w.sh, &x[i], w.now, true);
	end(&w);
}

static void rules_limit_disable_and_suspend_what_they_say(void **state)
{
	struct world w;
	struct pen_shape_block b;

	(void)state;
	memset(rules, 0, sizeof(rules));
	rules[0] = (struct pen_shape_rule){
		.action = PEN_ACT_LIMIT, .limits = world_limits("connections=2 recipients=5")};
	rules[1] = (struct pen_shape_rule){.action = PEN_ACT_DISABLE_SOURCE};
	rules[2] = (struct pen_shape_rule){.action = PEN_ACT_SUSPEND_TENANT};
	rules[3] = (struct pen_shape_rule){.action = PEN_ACT_BOUNCE_QUEUE};
	begin(&w, with_rules(4));
	struct pen_shape_class *k = pen_shape_class_get(w.sh, world_class("acme", "xmas"));
	struct pen_shape_conn x = open_at(&w, w.a), y = open_at(&w, w.a), z;
	assert_int_equal(reply(&w, &x, k, 0).rules, 1);
	assert_false(opens(&w, w.a, &b)); // both were open before the rule
	assert_int_equal(b.used, 2);
	assert_int_equal(pen_shape_site_limits(w.sh, w.a, w.now)->recipients, 5);
	pen_shape_clear(w.sh, w.a, w.now);
	assert_true(opens(&w, w.a, &b));
	int32_t bad = x.source[0];
	assert_int_equal(reply(&w, &x, k, 1).rules, 1);
	for (unsigned i = 0; i < 4; i++) {
		z = open_at(&w, w.a);
		assert_int_not_equal(z.source[0], bad);
		pen_shape_close(w.sh, &z, w.now, true);
	}
	assert_false(sends(&w, &x, k, &b));
	assert_true(sends(&w, &y, k, &b));
	assert_int_equal(reply(&w, &y, k, 2).rules, 1);
	assert_false(sends(&w, &y, k, &b));
	assert_int_equal(b.holder, PEN_HELD_TENANT);
	assert_true(sends(&w, &y, NULL, &b));
	assert_int_equal(reply(&w, &y, NULL, 2).rules, 0); // no tenant
	struct pen_shape_effect e = reply(&w, &y, k, 3);
	assert_true(e.bounce_queue);
	pen_shape_close(w.sh, &x, w.now, true);
	pen_shape_close(w.sh, &y, w.now, true);
	end(&w);
}

static void signals_act_above_their_threshold(void **state)
{
	struct world w;
	struct pen_shape_block b;
	struct pen_shape_effect e;

	(void)state;
	memset(rules, 0, sizeof(rules));
	rules[0] = (struct pen_shape_rule){
		.action = PEN_ACT_SUSPEND, .signal = PEN_SIGNAL_LATENCY, .threshold = 5000};
	rules[1] = (struct pen_shape_rule){.action = PEN_ACT_BACKOFF,
		.signal = PEN_SIGNAL_ZERO_WINDOW,
		.trigger = world_rate("2/1min")};
	begin(&w, with_rules(2));
	struct pen_shape_conn x = open_at(&w, w.b);
	pen_shape_signal(w.sh, &x, PEN_SIGNAL_LATENCY, 4999, w.now, &e);
	assert_int_equal(e.rules, 0);
	pen_shape_signal(w.sh, &x, PEN_SIGNAL_RESET, 9999, w.now, &e);
	assert_int_equal(e.rules, 0);
	pen_shape_signal(w.sh, &x, PEN_SIGNAL_ZERO_WINDOW, 0, w.now, &e);
	pen_shape_signal(w.sh, &x, PEN_SIGNAL_ZERO_WINDOW, 0, w.now, &e);
	assert_int_equal(e.rules, 1);
	assert_false(opens(&w, w.b, &b));
	pen_shape_signal(w.sh, &x, PEN_SIGNAL_LATENCY, 5000, w.now, &e);
	assert_int_equal(e.rules, 1);
	assert_false(opens(&w, w.b, &b));
	assert_int_equal(b.reason, PEN_WHY_SUSPENDED);
	assert_non_null(strstr(text_of(&w, &b), "slow replies"));
	pen_shape_close(w.sh, &x, w.now, true);
	end(&w);
}

// ---- a restart

static void restart(struct world *w, struct pen_shape_config *c, pen_time_us down,
	const struct pen_buf *disk, uint32_t expect_bad)
{
	uint32_t bad;

	end(w);
	*w = (struct world){.now = w->now + down};
	w->sh = pen_shape_new(c, w->now, w->now + WORLD_WALL);
	assert_int_equal(
		pen_shape_load(w->sh, pen_buf_span(disk), w->now, w->now + WORLD_WALL, &bad), 0);
	assert_int_equal(bad, expect_bad);
	w->a = world_site(w->sh, "mx.p.test", w->now);
	w->b = world_site(w->sh, "mx.b.test", w->now);
}

static void long_rates_survive_a_crash_at_little_loss(void **state)
{
	struct world w;
	struct pen_shape_block b;
	struct pen_buf disk = PEN_BUF_INIT;
	struct pen_shape_config *c = with_provider(1);
	unsigned sent = 0;

	(void)state;
	c->defaults.limits = world_limits("message_rate=320/h,burst=320");
	begin(&w, c);
	struct pen_shape_conn x = open_at(&w, w.a);
	while (sends(&w, &x, NULL, &b))
		sent++;
	assert_int_equal(sent, 10); // one chunk, until it is named on disk
	assert_int_equal(b.reason, PEN_WHY_SAVING);
	assert_true(pen_shape_save_wanted(w.sh, w.now));
	for (unsigned i = 0; i < 9; i++) {
		world_save(w.sh, w.now, &disk);
		while (sends(&w, &x, NULL, &b))
			sent++;
	}
	assert_int_equal(sent, 100);
	pen_shape_close(w.sh, &x, w.now, true);
	c = with_provider(1);
	c->defaults.limits = world_limits("message_rate=320/h,burst=320");
	restart(&w, c, 60 * S, &disk, 0);
	x = open_at(&w, w.a);
	assert_false(sends(&w, &x, NULL, &b));
	do {
		world_save(w.sh, w.now, &disk);
		while (sends(&w, &x, NULL, &b))
			sent++;
	} while (b.reason == PEN_WHY_SAVING);
	assert_int_equal(b.reason, PEN_WHY_MESSAGE_RATE);
	assert_int_equal(sent, 320);
	pen_shape_close(w.sh, &x, w.now, true);
	end(&w);
	pen_buf_fini(&disk);
}

static void suspensions_effects_and_caps_survive(void **state)
{
	struct world w;
	struct pen_shape_block b;
	struct pen_buf disk = PEN_BUF_INIT;
	struct pen_suspension s = {.scope = PEN_SUSPEND_TENANT,
		.name = PEN_SPAN_LIT("acme"),
		.at = PEN_SPAN_LIT("mx.b.test."),
		.reason = PEN_SPAN_LIT("100% odd\nreason"),
		.by = PEN_SPAN_LIT("operator")};
	unsigned count[2];

	(void)state;
	memset(rules, 0, sizeof(rules));
	rules[0] = (struct pen_shape_rule){
		.action = PEN_ACT_LIMIT, .limits = world_limits("connections=1")};
	rules[1] = (struct pen_shape_rule){.action = PEN_ACT_BACKOFF, .provider = "p"};
	for (unsigned round = 0; round < 2; round++) {
		struct pen_shape_config *c = with_rules(2);
		provider.backoff = world_limits("connections=1");
		warmup = (struct pen_shape_warmup){.name = "w",
			.source = 1,
			.provider = "",
			.start = WORLD_WALL,
			.ndays = 1,
			.cap = schedule};
		c->warmup = &warmup;
		c->nwarmups = 1;
		if (round == 1) {
			restart(&w, c, 60 * S, &disk, 0);
			world_save(w.sh, w.now, NULL);
			break;
		}
		begin(&w, c);
		send_many(&w, 6, count);
		assert_int_equal(count[1], 3);
		pen_shape_suspend(w.sh, &s, T0);
		struct pen_shape_conn x = open_at(&w, w.a), y = open_at(&w, w.b);
		assert_int_equal(reply(&w, &x, NULL, 1).rules, 1);
		assert_int_equal(reply(&w, &y, NULL, 0).rules, 1);
		pen_shape_close(w.sh, &x, w.now, true);
		pen_shape_close(w.sh, &y, w.now, true);
		world_save(w.sh, w.now, &disk);
	}
	struct pen_shape_class *k = pen_shape_class_get(w.sh, world_class("acme", ""));
	struct pen_shape_conn x = open_at(&w, w.a), y = open_at(&w, w.b);
	assert_false(opens(&w, w.a, &b));
	assert_int_equal(b.holder, PEN_HELD_PROVIDER);
	assert_false(opens(&w, w.b, &b));
	assert_string_equal(text_of(&w, &b),
		"site mx.b.test. has its 1 connections (rule at egress.conf line 30 until "
		"01:16:40), until 01:16:40 UTC");
	assert_false(sends(&w, &y, k, &b));
	assert_string_equal(text_of(&w, &b),
		"tenant acme at mx.b.test. is suspended by the operator: 100% odd\nreason");
	pen_shape_clear(w.sh, w.a, w.now);
	pen_shape_close(w.sh, &x, w.now, true);
	send_many(&w, 20, count);
	assert_int_equal(count[1], 1); // 5, less 3, less the chunk
	pen_shape_close(w.sh, &y, w.now, true);
	end(&w);
	pen_buf_fini(&disk);
}

static void bad_lines_are_skipped_and_counted(void **state)
{
	static const char text[] = "penstock-shape 1 1795219200000000\n"
				   "meter 3600000000 site message_rate mx.b.test. - 1:5 +3\n"
				   "meter 3600000000 site message_rate mx.b.test. - x:5\n"
				   "meter\n"
				   "\n"
				   "suspend tenant a - 0 operator operator\n"
				   "suspend planet a - 0 operator operator -\n"
				   "suspend tenant %0 - 0 operator operator -\n"
				   "suspend tenant a - 0 operator operator because\n"
				   "limit site mx.b.test. 1 2 3\n"
				   "backoff pool x 9999999999999999 1 0\n"
				   "warmup s0 p -9 3\n"
				   "nonsense";
	struct pen_shape *sh = pen_shape_new(world_config(1, 0), T0, T0 + WORLD_WALL);
	uint32_t bad;

	(void)state;
	assert_int_equal(pen_shape_load(sh, PEN_SPAN_LIT(""), T0, T0 + WORLD_WALL, &bad), 0);
	assert_int_equal(bad, 0);
	pen_shape_free(sh);
	sh = pen_shape_new(world_config(1, 0), T0, T0 + WORLD_WALL);
	assert_int_equal(
		pen_shape_load(sh, pen_span(text, sizeof(text) - 1), T0, T0 + WORLD_WALL, &bad), 0);
	assert_int_equal(bad, 10);
	pen_shape_free(sh);
	sh = pen_shape_new(world_config(1, 0), T0, T0 + WORLD_WALL);
	assert_int_equal(pen_shape_load(sh, PEN_SPAN_LIT("penstock-shape 2 5\nmeter\n"), T0,
				 T0 + WORLD_WALL, &bad),
		0);
	assert_int_equal(bad, 1);
	pen_shape_free(sh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waiters_are_woken_in_order_and_only_as_many_as_pass),
		cmocka_unit_test(poll_keeps_its_budget_and_forgets_nobody),
		cmocka_unit_test(whichever_source_is_free_first_wakes),
		cmocka_unit_test(suspensions_hold_what_they_name_until_they_end),
		cmocka_unit_test(a_suspended_domain_is_held_by_itself),
		cmocka_unit_test(a_warm_up_overflows_to_other_sources),
		cmocka_unit_test(without_another_source_it_waits_for_the_next_day),
		cmocka_unit_test(a_rule_acts_when_its_hits_come_close_enough),
		cmocka_unit_test(back_off_uses_the_set_of_the_provider_or_site),
		cmocka_unit_test(rules_limit_disable_and_suspend_what_they_say),
		cmocka_unit_test(signals_act_above_their_threshold),
		cmocka_unit_test(long_rates_survive_a_crash_at_little_loss),
		cmocka_unit_test(suspensions_effects_and_caps_survive),
		cmocka_unit_test(bad_lines_are_skipped_and_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
