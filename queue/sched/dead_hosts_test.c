// SPDX-License-Identifier: BSD-3-Clause
#include "dead_hosts.h"
#include "pen_test.h"

#define S PEN_US_PER_S

static const struct dead_host_rules rules = {.minimal = 60 * S, .maximal = 1000 * S};
static const struct pen_siphash_key secret = {1, 2};

static struct dead_host_key key(uint32_t source, uint32_t host)
{
	return (struct dead_host_key){
		.source = pen_addr_ip4(source), .host = pen_addr_ip4(host), .port = 25};
}

static enum dead_host_state state_at(
	struct dead_hosts *t, const struct dead_host_key *k, pen_time_us now)
{
	return dead_host_state(dead_hosts_find(t, &rules, k, now), now);
}

static void each_failure_doubles_the_time_up_to_a_bound(void **state)
{
	static const pen_time_us wait[] = {60, 120, 240, 480, 960, 1000, 1000};
	struct dead_hosts *t = dead_hosts_new(64, &secret);
	const struct dead_host_key k = key(1, 2), other = key(2, 2);
	pen_time_us now = S;

	(void)state;
	for (unsigned i = 0; i < sizeof(wait) / sizeof(wait[0]); i++) {
		dead_hosts_failed(t, &rules, &k, now - 1, now, NULL);
		assert_int_equal(state_at(t, &k, now + wait[i] * S - 1), HOST_DEAD);
		assert_int_equal(state_at(t, &k, now + wait[i] * S), HOST_DUE);
		assert_int_equal(state_at(t, &other, now), HOST_ALIVE);
		now += wait[i] * S + 2;
	}
	dead_hosts_answered(t, &k);
	assert_int_equal(state_at(t, &k, now), HOST_ALIVE);
	dead_hosts_failed(t, &rules, &k, now - 1, now, NULL);
	assert_int_equal(state_at(t, &k, now + 60 * S), HOST_DUE);
	assert_int_equal(dead_hosts_count(t), 1);
	dead_hosts_free(t);
}

static void connections_begun_beside_each_other_fail_once(void **state)
{
	struct dead_hosts *t = dead_hosts_new(64, &secret);
	const struct dead_host_key k = key(1, 2);

	(void)state;
	for (int i = 0; i < 20; i++)
		dead_hosts_failed(t, &rules, &k, 5 * S, (30 + i) * S, NULL);
	assert_int_equal(state_at(t, &k, 89 * S), HOST_DEAD);
	assert_int_equal(state_at(t, &k, 90 * S), HOST_DUE);
	dead_hosts_free(t);
}

static void one_connection_asks_when_the_time_is_over(void **state)
{
	struct dead_hosts *t = dead_hosts_new(64, &secret);
	const struct dead_host_key k = key(1, 2);

	(void)state;
	dead_hosts_failed(t, &rules, &k, 0, S, NULL);
	dead_hosts_probe(t, &k, 7);
	assert_int_equal(state_at(t, &k, 61 * S), HOST_PROBED);
	assert_int_equal(state_at(t, &k, 5000 * S), HOST_PROBED);
	dead_hosts_unprobe(t, &k, 8); // another one's
	assert_int_equal(state_at(t, &k, 61 * S), HOST_PROBED);
	dead_hosts_unprobe(t, &k, 7);
	assert_int_equal(state_at(t, &k, 61 * S), HOST_DUE);
	// Nobody wanted to know for long.
	assert_int_equal(state_at(t, &k, 1061 * S), HOST_ALIVE);
	dead_hosts_free(t);
}

static void a_full_table_forgets_what_is_due_first(void **state)
{
	struct dead_hosts *t = dead_hosts_new(8, &secret); // one bucket
	struct pen_dsn d;

	(void)state;
	pen_dsn_set(&d, 4, 4, 1, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT, "no");
	for (uint32_t i = 0; i < 9; i++) {
		const struct dead_host_key k = key(1, i);
		dead_hosts_failed(t, &rules, &k, i * S, (i + 1) * S, pen_note_get(&d, "", 0));
	}
	const struct dead_host_key first = key(1, 0), second = key(1, 1), last = key(1, 8);
	assert_int_equal(dead_hosts_count(t), 8);
	assert_int_equal(state_at(t, &first, 10 * S), HOST_ALIVE);
	assert_int_equal(state_at(t, &second, 10 * S), HOST_DEAD);
	assert_int_equal(state_at(t, &last, 10 * S), HOST_DEAD);
	assert_int_equal(dead_hosts_counters(t)->evicted, 1);
	// What is stale goes by itself, when others come.
	dead_hosts_failed(t, &rules, &first, 9000 * S, 9001 * S, NULL);
	assert_int_equal(dead_hosts_count(t), 1);
	dead_hosts_clear(t);
	assert_int_equal(dead_hosts_count(t), 0);
	assert_int_equal(pen_note_count(), 0);
	dead_hosts_free(t);
}

// ---- against a model that has room for all

#define PAIRS 24

struct model {
	bool known;
	uint8_t failures;
	uint64_t probe;
	pen_time_us failed, until;
};

static enum dead_host_state model_state(const struct model *m, pen_time_us now)
{
	if (!m->known || (m->probe == 0 && now - m->until >= rules.maximal))
		return HOST_ALIVE;
	return now < m->until ? HOST_DEAD : m->probe != 0 ? HOST_PROBED : HOST_DUE;
}

static void model_failed(struct model *m, pen_time_us began, pen_time_us now)
{
	if (model_state(m, now) == HOST_ALIVE)
		*m = (struct model){0};
	if (m->known && began <= m->failed)
		return;
	pen_time_us wait = rules.minimal;
	for (uint8_t i = 0; i < m->failures; i++)
		wait = pen_time_min(wait * 2, rules.maximal);
	*m = (struct model){true, (uint8_t)(m->failures + 1), 0, now, now + wait};
}

static void whatever_happens_it_says_what_the_model_says(void **state)
{
	struct dead_hosts *t = dead_hosts_new(4096, &secret);
	struct model model[PAIRS] = {{0}};
	struct pen_rand r;
	pen_time_us now = S;

	(void)state;
	pen_rand_seed(&r, pen_test_seed());
	for (int step = 0; step < 200000; step++) {
		uint32_t i = (uint32_t)pen_rand_below(&r, PAIRS);
		const struct dead_host_key k = key(i % 4, i / 4);
		struct model *m = &model[i];
		pen_time_us began = now - (pen_time_us)pen_rand_below(&r, 40 * S);
		switch (pen_rand_below(&r, 6)) {
		case 0:
			dead_hosts_failed(t, &rules, &k, began, now, NULL);
			model_failed(m, began, now);
			break;
		case 1:
			if (pen_rand_below(&r, 4) != 0)
				break;
			dead_hosts_answered(t, &k);
			*m = (struct model){0};
			break;
		case 2:
			if (model_state(m, now) != HOST_DUE)
				break;
			m->probe = (uint64_t)step + 1;
			dead_hosts_probe(t, &k, m->probe);
			break;
		case 3:
			if (m->probe == 0)
				break;
			dead_hosts_unprobe(t, &k, m->probe);
			m->probe = 0;
			break;
		default:
			now += (pen_time_us)pen_rand_below(&r, 30 * S);
		}
		assert_int_equal(state_at(t, &k, now), model_state(m, now));
	}
	assert_int_equal(dead_hosts_counters(t)->evicted, 0);
	dead_hosts_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_failure_doubles_the_time_up_to_a_bound),
		cmocka_unit_test(connections_begun_beside_each_other_fail_once),
		cmocka_unit_test(one_connection_asks_when_the_time_is_over),
		cmocka_unit_test(a_full_table_forgets_what_is_due_first),
		cmocka_unit_test(whatever_happens_it_says_what_the_model_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
