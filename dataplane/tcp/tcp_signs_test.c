// SPDX-License-Identifier: BSD-3-Clause

// What a connection tells of the trouble that it had (pen_tcp_get_signs).

#include "tcp_script.h"
#include "tcp_sim.h"

#include "pen_test.h"

static struct script s;
static uint8_t text[65536];

static void fresh(void)
{
	struct pen_tcp_config cfg;

	script_config(&cfg);
	script_start(&s, &cfg);
	s.ts = false;
	script_handshake(&s);
}

static struct pen_tcp_signs signs(void)
{
	struct pen_tcp_signs out;

	pen_tcp_get_signs(s.c, &out);
	return out;
}

static void queue(uint32_t n)
{
	assert_int_equal(pen_tcp_write_ref(s.c, text, n), n);
	pen_tcp_flush(s.c, s.now);
}

static void window(uint16_t wnd)
{
	s.wnd = wnd;
	script_peer(&s, ACK, NULL, 0);
}

static void a_connection_without_trouble_has_only_segments(void **state)
{
	(void)state;
	fresh();
	queue(10000);
	script_go(&s, 20 * PEN_US_PER_MS);
	s.ack += 10000;
	window(65535);
	assert_int_equal(signs().segments, 7);
	assert_int_equal(signs().retransmitted, 0);
	assert_int_equal(signs().zero_windows, 0);
	assert_int_equal(signs().syn_retries, 0);
	assert_in_range(signs().srtt_us, 1, 100 * PEN_US_PER_MS);
	script_end(&s);
}

static void a_window_that_shuts_on_waiting_data_counts_once_each_time(void **state)
{
	(void)state;
	fresh();
	window(0);
	assert_int_equal(signs().zero_windows, 0); // nobody waits
	queue(6000);
	assert_int_equal(signs().zero_windows, 1);
	for (int i = 0; i < 5; i++) { // probes and their answers are no new closing
		script_go(&s, 7 * PEN_US_PER_S);
		window(0);
	}
	assert_int_equal(signs().zero_windows, 1);
	assert_int_equal(signs().segments, 0);
	// It takes the byte of a probe without opening.
	s.ack += 1;
	window(0);
	assert_int_equal(signs().zero_windows, 1);
	window(2920);
	assert_int_equal(signs().segments, 2);
	s.ack += 2920;
	window(0);
	assert_int_equal(signs().zero_windows, 2);
	// All is taken: a shut window stops nobody.
	window(65535);
	s.ack += 6000 - 2921;
	window(0);
	assert_int_equal(signs().zero_windows, 2);
	script_end(&s);
}

static void a_small_window_is_no_shut_one(void **state)
{
	(void)state;
	fresh();
	window(100);
	queue(20000);
	script_go(&s, PEN_US_PER_S);
	assert_int_equal(signs().zero_windows, 0);
	script_end(&s);
}

static void segments_sent_again_are_counted_in_both(void **state)
{
	(void)state;
	fresh();
	queue(14600);
	assert_int_equal(signs().segments, 10);
	for (int i = 0; i < 3; i++)
		script_peer(&s, ACK, NULL, 0); // duplicates
	assert_int_equal(signs().segments, 11);
	assert_int_equal(signs().retransmitted, 1);
	s.ack += 14600;
	script_peer(&s, ACK, NULL, 0);
	queue(100);
	script_go(&s, 2 * PEN_US_PER_S); // and the timer
	assert_true(signs().retransmitted > 2);
	assert_int_equal(signs().segments, 10 + signs().retransmitted + 1);
	script_end(&s);
}

static void repeated_syns_are_counted_and_seen_when_it_is_over(void **state)
{
	(void)state;
	struct pen_tcp_config cfg;

	script_config(&cfg);
	cfg.syn_retries = 4;
	script_start(&s, &cfg);
	script_connect(&s);
	script_go(&s, 3500 * PEN_US_PER_MS); // after 1 s and 3 s
	assert_int_equal(signs().syn_retries, 2);
	assert_int_equal(signs().segments, 0);
	assert_int_equal(signs().retransmitted, 0);
	assert_int_equal(signs().srtt_us, 0);
	script_end(&s);
}

// ---- against TCP's own counters, over a bad link

static struct pen_tcp_conn *client;
static struct pen_tcp_signs at_end;
static bool ended;

static void *on_accept(void *ctx, struct pen_tcp_conn *c)
{
	(void)c;
	return ctx;
}

static void on_connected(void *ctx, struct pen_tcp_conn *c, pen_time_us now)
{
	(void)ctx;
	pen_tcp_write_ref(c, text, sizeof(text));
	pen_tcp_flush(c, now);
	pen_tcp_close(c, now);
}

static uint32_t on_data(
	void *ctx, struct pen_tcp_conn *c, const uint8_t *p, uint32_t n, pen_time_us now)
{
	(void)ctx;
	(void)c;
	(void)p;
	(void)now;
	return n;
}

static void on_peer_fin(void *ctx, struct pen_tcp_conn *c, pen_time_us now)
{
	(void)ctx;
	pen_tcp_close(c, now);
}

static void on_writable(void *ctx, struct pen_tcp_conn *c, uint64_t acked, pen_time_us now)
{
	(void)ctx;
	(void)c;
	(void)acked;
	(void)now;
}

static void on_closed(void *ctx, struct pen_tcp_conn *c, enum pen_tcp_close why, pen_time_us now)
{
	(void)ctx;
	(void)why;
	(void)now;
	if (c == client) {
		pen_tcp_get_signs(c, &at_end);
		ended = true;
	}
}

static void over_a_bad_link_the_signs_are_what_the_counters_say(void **state)
{
	static const struct pen_tcp_callbacks cb = {
		on_accept, on_connected, on_data, on_peer_fin, on_writable, on_closed};
	const struct pen_tcp_callbacks both[2] = {cb, cb};
	struct tcp_sim_link link = {.delay = 10 * PEN_US_PER_MS, .loss = 500};
	struct pen_tcp_config cfg;
	uint64_t seed = pen_test_seed();
	int ctx;

	(void)state;
	script_config(&cfg);
	for (int round = 0; round < 20; round++) {
		struct tcp_sim *sim = tcp_sim_new(&cfg, both, &link, seed + (uint64_t)round);
		assert_int_equal(pen_tcp_listen(sim->host[1].tcp, 25, &ctx), 0);
		ended = false;
		assert_int_equal(pen_tcp_connect(sim->host[0].tcp, &sim->host[0].addr,
					 &sim->host[1].addr, 25, &ctx, &client, sim->now),
			0);
		tcp_sim_run(sim, sim->now + 600 * PEN_US_PER_S);
		const struct pen_tcp_counters *ctr = &sim->host[0].tcp_ctr;
		assert_true(ended);
		assert_int_equal(at_end.syn_retries, ctr->retransmit_syn);
		// Segments that carry only the FIN are no data.
		assert_in_range(at_end.retransmitted,
			ctr->retransmit_segments > 4 ? ctr->retransmit_segments - 4 : 0,
			ctr->retransmit_segments);
		assert_in_range(at_end.segments - at_end.retransmitted, sizeof(text) / 1460,
			sizeof(text) / 1448 + 20);
		tcp_sim_free(sim);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_without_trouble_has_only_segments),
		cmocka_unit_test(a_window_that_shuts_on_waiting_data_counts_once_each_time),
		cmocka_unit_test(a_small_window_is_no_shut_one),
		cmocka_unit_test(segments_sent_again_are_counted_in_both),
		cmocka_unit_test(repeated_syns_are_counted_and_seen_when_it_is_over),
		cmocka_unit_test(over_a_bad_link_the_signs_are_what_the_counters_say),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
