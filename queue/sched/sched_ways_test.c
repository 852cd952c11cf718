// SPDX-License-Identifier: BSD-3-Clause

// Hosts that do not answer a source: left out, asked again by one connection, and
// what becomes of a site that has no other way. The world has the sources
// 192.0.2.1 and .2, and two hosts of each name, 10.0.0.1 before 10.0.0.2.
#include "pen_sched_select.h"
#include "pen_test.h"
#include "sched_world.h"

#define S PEN_US_PER_S
#define FIRST (60 * S) // a fifth of minimal_backoff_time

static void one_source(struct pen_sched_config *cfg)
{
	cfg->nsources = 1;
}

static void with_shape(struct pen_sched_config *cfg)
{
	struct pen_addr addr[2] = {cfg->source[0].addr, cfg->source[1].addr};

	cfg->shape = pen_shape_new(
		pen_shape_config_plain(addr, cfg->nsources), WORLD_START, WORLD_START_WALL);
	assert_non_null(cfg->shape);
}

static void without_memory(struct pen_sched_config *cfg)
{
	cfg->nsources = 1;
	cfg->maximal_host_backoff_time = 0;
}

static uint64_t counter(struct world *w, const char *name)
{
	struct pen_counter_set set = pen_sched_dead_hosts_counters(w->s);

	assert_string_equal(set.group, "pen_dead_hosts");
	for (uint32_t i = 0; i < set.n; i++) {
		if (strcmp(set.desc[i].name, name) == 0)
			return pen_counter_read(&set.value[i]);
	}
	fail_msg("no counter %s", name);
	return 0;
}

static uint32_t newest(const struct world *w)
{
	return world_lease_at(w, world_leases(w) - 1);
}

// Of an open lease.
static const char *hosts(const struct world *w, uint32_t lease)
{
	static char out[256];
	const struct pen_lease *l = w->lease[lease].l;
	size_t n = 0;

	out[0] = '\0';
	for (uint8_t i = 0; i < l->nhosts; i++)
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%u ", l->host[i].addr.ip[3]);
	return out;
}

static unsigned source(const struct world *w, uint32_t lease)
{
	return w->lease[lease].l->source.ip[3];
}

// All the mail that there is goes out, and the connections end.
static void drain(struct world *w)
{
	world_run_ok(w);
	for (uint32_t i = 0; i < w->nlease; i++) {
		if (w->lease[i].l != NULL)
			world_quit(w, i);
	}
}

static void a_host_that_does_not_answer_is_left_out_until_its_time_is_over(void **state)
{
	struct world *w = world_new(one_source);

	(void)state;
	world_add(w, "s@x", "r@a.test");
	assert_string_equal(hosts(w, newest(w)), "1 2 ");
	world_no_answer(w, newest(w), 0, PEN_HOST_TIMEOUT);
	drain(w);
	assert_int_equal(world_stats(w).hosts_dead, 1);
	world_wait(w, FIRST - 1);
	world_add(w, "s@x", "r@a.test");
	assert_string_equal(hosts(w, newest(w)), "2 ");
	assert_int_equal(counter(w, "skipped"), 1);
	drain(w);
	// One asks; those beside it do not.
	world_wait(w, 1);
	world_add(w, "s@x", "r@a.test");
	assert_string_equal(hosts(w, newest(w)), "1 2 ");
	world_add(w, "s@x", "q@a.test");
	assert_string_equal(hosts(w, newest(w)), "2 ");
	assert_int_equal(counter(w, "probes"), 1);
	world_no_answer(w, world_lease_at(w, 0), 0, PEN_HOST_TIMEOUT);
	drain(w);
	assert_int_equal(counter(w, "again"), 1);
	world_wait(w, 2 * FIRST - 1);
	world_add(w, "s@x", "r@a.test");
	assert_string_equal(hosts(w, newest(w)), "2 ");
	drain(w);
	// Back again.
	world_wait(w, 1);
	world_add(w, "s@x", "r@a.test");
	assert_string_equal(hosts(w, newest(w)), "1 2 ");
	drain(w);
	assert_int_equal(world_stats(w).hosts_dead, 0);
	assert_int_equal(counter(w, "forgotten"), 1);
	world_free(w);
}

static void other_sources_still_ask_it(struct world *w)
{
	world_add(w, "s@x", "r@a.test");
	unsigned blocked = source(w, newest(w));
	world_no_answer(w, newest(w), 0, PEN_HOST_TIMEOUT);
	drain(w);
	for (int i = 0; i < 8; i++) {
		world_add(w, "s@x", "r@a.test");
		assert_string_equal(
			hosts(w, newest(w)), source(w, newest(w)) == blocked ? "2 " : "1 2 ");
		drain(w);
	}
	assert_int_equal(counter(w, "skipped"), 4);
	world_free(w);
}

static void a_host_is_dead_for_one_source_only(void **state)
{
	(void)state;
	other_sources_still_ask_it(world_new(NULL));
	other_sources_still_ask_it(world_new(with_shape));
}

static void another_source_takes_the_mail(struct world *w)
{
	uint64_t first = world_add(w, "s@x", "r@a.test");
	unsigned blocked = source(w, newest(w));
	world_no_answer(w, newest(w), 1, PEN_HOST_TIMEOUT);
	assert_int_equal(world_stats(w).deferred, 1);
	assert_int_equal(world_stats(w).hosts_dead, 2);
	for (int i = 0; i < 8; i++) {
		uint64_t id = world_add(w, "s@x", "r@a.test");
		assert_int_not_equal(source(w, newest(w)), blocked);
		assert_string_equal(hosts(w, newest(w)), "1 2 ");
		drain(w);
		assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	}
	assert_int_equal(world_stats(w).sites_dead, 0);
	assert_int_equal(world_fate(w, first, 0), PEN_FATE_QUEUED);
	world_free(w);
}

static void a_source_that_reaches_no_host_gives_way_to_another(void **state)
{
	(void)state;
	another_source_takes_the_mail(world_new(NULL));
	another_source_takes_the_mail(world_new(with_shape));
}

struct seen {
	uint32_t n;
	char text[512];
};

static bool see(void *ctx, const struct pen_dead_host_view *v)
{
	struct seen *seen = ctx;
	char a[PEN_ADDR_STR_MAX], b[PEN_ADDR_STR_MAX];
	size_t n = strlen(seen->text);

	seen->n++;
	snprintf(seen->text + n, sizeof(seen->text) - n, "%s %s %lld ", pen_addr_str(v->host, a),
		pen_addr_str(v->source, b), (long long)(v->dead_for / S));
	assert_non_null(strstr((const char *)v->reason.p, "connect to "));
	return true;
}

static bool see_site(void *ctx, const struct pen_site_view *v)
{
	struct world *w = ctx;
	struct seen seen = {0};

	pen_sched_dead_hosts(w->s, v->handle, see, &seen);
	assert_int_equal(seen.n, 4);
	assert_non_null(strstr(seen.text, "10.0.0.2 192.0.2.1 "));
	return false;
}

static void no_way_is_a_dead_site(struct world *w)
{
	struct pen_why why;

	for (int i = 0; i < 2; i++) {
		world_add(w, "s@x", "r@a.test");
		world_no_answer(w, newest(w), 1, PEN_HOST_TIMEOUT);
		assert_int_equal(world_stats(w).sites_dead, 0);
		world_wait(w, 10 * S);
	}
	assert_int_equal(world_stats(w).hosts_dead, 4);
	uint64_t id = world_add(w, "s@x", "r@a.test");
	assert_int_equal(world_leases(w), 0);
	assert_int_equal(world_stats(w).sites_dead, 1);
	pen_sched_sites(w->s, see_site, w);
	world_wait(w, S);
	assert_int_equal(world_stats(w).deferred, 3);
	assert_non_null(strstr(w->log[w->nlog - 1].text, "Connection timed out"));
	assert_int_equal(pen_sched_why(w->s, id, &why), 0);
	assert_string_equal(why.word, "retry");
	assert_non_null(strstr(why.text, "; dead: mx1.a.test[10.0.0.1] from 192.0.2.1 until "));
	// Until the first host of all is due: it failed 20 s and one call ago.
	world_wait(w, FIRST - 21 * S - 1);
	assert_int_equal(world_stats(w).sites_dead, 1);
	world_wait(w, 1);
	assert_int_equal(world_stats(w).sites_dead, 0);
	world_free(w);
}

static void a_site_that_nobody_reaches_is_dead_until_the_first_host_is_due(void **state)
{
	(void)state;
	no_way_is_a_dead_site(world_new(NULL));
	no_way_is_a_dead_site(world_new(with_shape));
}

static void one_connection_asks_for_all_the_mail(struct world *w)
{
	struct pen_why why;

	world_add(w, "s@x", "r@a.test");
	world_no_answer(w, newest(w), 1, PEN_HOST_TIMEOUT);
	world_wait(w, 10 * S);
	world_add(w, "s@x", "r@a.test");
	if (world_leases(w) > 0) // another source
		world_no_answer(w, newest(w), 1, PEN_HOST_TIMEOUT);
	world_wait(w, 2 * FIRST);
	uint64_t before = w->opened, id[20];
	for (int i = 0; i < 20; i++)
		id[i] = world_add(w, "s@x", "r@a.test");
	assert_int_equal(w->opened - before, 1);
	world_wait(w, 30 * S);
	assert_int_equal(w->opened - before, 1);
	assert_int_equal(pen_sched_why(w->s, id[5], &why), 0);
	assert_string_equal(why.word, "dead-host");
	assert_non_null(strstr(why.text, "asked again now"));
	// It answers: the others follow.
	drain(w);
	for (int i = 0; i < 20; i++)
		assert_int_equal(world_fate(w, id[i], 0), PEN_FATE_DELIVERED);
	world_free(w);
}

static void a_host_that_is_due_is_asked_by_one_connection(void **state)
{
	(void)state;
	one_connection_asks_for_all_the_mail(world_new(one_source));
	one_connection_asks_for_all_the_mail(world_new(NULL));
	one_connection_asks_for_all_the_mail(world_new(with_shape));
}

static void a_session_that_is_up_speaks_for_its_host(void **state)
{
	struct world *w = world_new(one_source);

	(void)state;
	for (int i = 0; i < 3; i++)
		world_add(w, "s@x", "r@a.test");
	world_ready(w, world_lease_at(w, 0));
	world_no_answer(w, world_lease_at(w, 1), 0, PEN_HOST_BUSY); // goes on with the second
	assert_int_equal(world_stats(w).hosts_dead, 0);
	drain(w);
	world_free(w);
}

static void a_host_that_speaks_and_refuses_is_the_sites_trouble(void **state)
{
	struct world *w = world_new(one_source);
	struct pen_dsn d;

	(void)state;
	pen_dsn_set(&d, 4, 3, 2, PEN_SCOPE_SESSION, PEN_ORIGIN_PEER, PEN_STAGE_GREETING, "no");
	for (int i = 0; i < 20; i++)
		world_add(w, "s@x", "r@a.test");
	for (int i = 0; i < 20 && world_stats(w).sites_dead == 0; i++) {
		uint32_t l = newest(w);
		struct pen_lease *lease = w->lease[l].l;
		for (uint8_t k = 0; k < lease->nhosts; k++)
			lease->host[k].answer = lease->host[k].addr.ip[3] == 1 ? PEN_HOST_TIMEOUT
									       : PEN_HOST_ANSWERED;
		lease->host_used = (uint8_t)(lease->nhosts - 1);
		world_end(w, l, &d);
		world_wait(w, PEN_US_PER_MS);
	}
	assert_int_equal(world_stats(w).hosts_dead, 1);
	assert_int_equal(world_stats(w).sites_dead, 1);
	world_free(w);
}

static void a_flush_asks_all_hosts_again(void **state)
{
	struct world *w = world_new(one_source);

	(void)state;
	world_add(w, "s@x", "r@a.test");
	world_no_answer(w, newest(w), 1, PEN_HOST_REFUSED);
	uint64_t id = world_add(w, "s@x", "r@a.test");
	assert_int_equal(world_stats(w).sites_dead, 1);
	world_wait(w, S);
	pen_sched_flush(w->s, 0);
	world_wait(w, S);
	assert_int_equal(world_stats(w).hosts_dead, 0);
	assert_string_equal(hosts(w, newest(w)), "1 2 ");
	drain(w);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	world_free(w);
}

static void nothing_is_remembered_when_that_is_turned_off(void **state)
{
	struct world *w = world_new(without_memory);

	(void)state;
	world_add(w, "s@x", "r@a.test");
	world_no_answer(w, newest(w), 0, PEN_HOST_TIMEOUT);
	drain(w);
	world_add(w, "s@x", "r@a.test");
	assert_string_equal(hosts(w, newest(w)), "1 2 ");
	assert_int_equal(world_stats(w).hosts_dead, 0);
	world_free(w);
}

static void equal_hosts(struct pen_sched_config *cfg)
{
	cfg->nsources = 1;
	cfg->minimal_host_backoff_time = 7 * S;
	cfg->maximal_host_backoff_time = 20 * S;
}

static void the_times_are_those_of_the_configuration(void **state)
{
	static const pen_time_us wait[] = {7 * S, 14 * S, 20 * S, 20 * S};
	struct world *w = world_new(equal_hosts);

	(void)state;
	for (unsigned i = 0; i < sizeof(wait) / sizeof(wait[0]); i++) {
		world_add(w, "s@x", "r@a.test");
		assert_string_equal(hosts(w, newest(w)), "1 2 ");
		world_no_answer(w, newest(w), 0, PEN_HOST_UNREACHABLE);
		drain(w);
		world_wait(w, wait[i] - 1);
		world_add(w, "s@x", "r@a.test");
		assert_string_equal(hosts(w, newest(w)), "2 ");
		drain(w);
		world_wait(w, 1);
	}
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_that_does_not_answer_is_left_out_until_its_time_is_over),
		cmocka_unit_test(a_host_is_dead_for_one_source_only),
		cmocka_unit_test(a_source_that_reaches_no_host_gives_way_to_another),
		cmocka_unit_test(a_site_that_nobody_reaches_is_dead_until_the_first_host_is_due),
		cmocka_unit_test(a_host_that_is_due_is_asked_by_one_connection),
		cmocka_unit_test(a_session_that_is_up_speaks_for_its_host),
		cmocka_unit_test(a_host_that_speaks_and_refuses_is_the_sites_trouble),
		cmocka_unit_test(a_flush_asks_all_hosts_again),
		cmocka_unit_test(nothing_is_remembered_when_that_is_turned_off),
		cmocka_unit_test(the_times_are_those_of_the_configuration),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
