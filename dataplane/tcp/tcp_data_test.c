// SPDX-License-Identifier: BSD-3-Clause

// How bytes travel on an open connection, one behaviour per test.

#include "tcp_script.h"

#include "pen_test.h"

static struct script s;
static uint8_t text[65536];

static void fresh(bool ts)
{
	struct pen_tcp_config cfg;

	script_config(&cfg);
	script_start(&s, &cfg);
	s.ts = ts;
	for (uint32_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 7 + i / 256);
	script_handshake(&s);
}

static uint32_t count_sent(uint32_t *bytes)
{
	uint32_t n = 0;

	*bytes = 0;
	for (const struct script_sent *o; (o = script_next(&s)) != NULL; n++)
		*bytes += o->seg.len;
	return n;
}

static void the_first_flight_is_ten_segments_and_full(void **state)
{
	(void)state;
	uint32_t bytes;

	fresh(false);
	assert_int_equal(pen_tcp_write_ref(s.c, text, 40000), 40000);
	pen_tcp_flush(s.c, s.now);
	const struct script_sent *o = script_next(&s);
	assert_int_equal(o->seg.len, 1460);
	assert_int_equal(o->seg.seq, s.ack);
	assert_memory_equal(o->seg.data, text, 1460);
	assert_int_equal(count_sent(&bytes), 9);
	s.ack += 14600;
	script_peer(&s, ACK, NULL, 0);
	assert_int_equal(s.acked, 14600);
	assert_int_equal(count_sent(&bytes), 18); // slow start: the rest, the last one short
	assert_int_equal(bytes, 40000 - 14600);
	script_end(&s);
}

static void the_retransmission_timer_doubles_and_repeats_the_bytes(void **state)
{
	(void)state;
	fresh(true);
	assert_int_equal(pen_tcp_write_copy(s.c, text, 100), 100);
	pen_tcp_flush(s.c, s.now);
	const struct script_sent *o = script_next(&s);
	pen_time_us last = o->at;
	for (int i = 0; i < 5; i++) {
		pen_time_us want = (200 * PEN_US_PER_MS) << i;
		script_go(&s, want + 3000 - (s.now - last));
		o = script_next(&s);
		assert_non_null(o);
		assert_in_range(o->at - last, want, want + 2 * PEN_US_PER_MS);
		assert_int_equal(o->seg.seq, s.ack);
		assert_int_equal(o->seg.len, 100);
		assert_memory_equal(o->seg.data, text, 100);
		last = o->at;
	}
	s.ack += 100;
	script_peer(&s, ACK, NULL, 0);
	assert_int_equal(s.acked, 100);
	script_go(&s, 100 * PEN_US_PER_S);
	assert_null(script_next(&s));
	script_end(&s);
}

static void data_without_an_answer_ends_in_a_timeout(void **state)
{
	(void)state;
	fresh(false);
	pen_tcp_write_copy(s.c, text, 100);
	pen_tcp_flush(s.c, s.now);
	script_go(&s, 2000 * PEN_US_PER_S);
	assert_true(s.closed);
	assert_int_equal(s.why, PEN_TCP_CLOSED_TIMEOUT);
	assert_int_equal(s.ctr.retransmit_timeouts, 16);
	script_end(&s);
}

static void three_duplicate_acks_retransmit_at_once(void **state)
{
	(void)state;
	fresh(false);
	pen_tcp_write_ref(s.c, text, 14600);
	pen_tcp_flush(s.c, s.now);
	script_forget(&s);
	script_peer(&s, ACK, NULL, 0);
	script_peer(&s, ACK, NULL, 0);
	assert_null(script_next(&s));
	script_peer(&s, ACK, NULL, 0);
	const struct script_sent *o = script_next(&s);
	assert_non_null(o);
	assert_int_equal(o->seg.seq, s.ack);
	assert_memory_equal(o->seg.data, text, 1460);
	assert_int_equal(s.ctr.retransmit_fast, 1);
	// A partial acknowledgement points at the next hole (RFC 6582).
	s.ack += 4380;
	script_peer(&s, ACK, NULL, 0);
	o = script_next(&s);
	assert_int_equal(o->seg.seq, s.ack);
	assert_memory_equal(o->seg.data, text + 4380, 1460);
	s.ack += 14600 - 4380;
	script_peer(&s, ACK, NULL, 0);
	script_go(&s, 10 * PEN_US_PER_S);
	assert_null(script_next(&s));
	assert_int_equal(s.ctr.retransmit_timeouts, 0);
	script_end(&s);
}

static void the_first_duplicate_acks_let_new_segments_out(void **state)
{
	(void)state;
	fresh(false);
	pen_tcp_write_ref(s.c, text, 40000);
	pen_tcp_flush(s.c, s.now);
	script_forget(&s);
	script_peer(&s, ACK, NULL, 0);
	const struct script_sent *o = script_next(&s);
	assert_int_equal(o->seg.seq, s.ack + 14600);
	assert_null(script_next(&s));
	assert_int_equal(s.ctr.limited_transmit, 1);
	script_end(&s);
}

static void a_closed_window_is_probed_with_a_byte_until_it_opens(void **state)
{
	(void)state;
	fresh(false);
	s.wnd = 0;
	script_peer(&s, ACK, NULL, 0);
	pen_tcp_write_copy(s.c, text, 3000);
	pen_tcp_flush(s.c, s.now);
	assert_null(script_next(&s));
	pen_time_us last = s.now;
	for (int i = 0; i < 20; i++) { // more than data_retries: it answers
		const struct script_sent *o;
		while ((o = script_next(&s)) == NULL)
			script_go(&s, 10 * PEN_US_PER_MS);
		assert_int_equal(o->seg.len, 1);
		assert_int_equal(o->seg.seq, s.ack);
		pen_time_us want = pen_time_min((200 * PEN_US_PER_MS) << i, 60 * PEN_US_PER_S);
		assert_in_range(o->at - last, want, want + 12 * PEN_US_PER_MS);
		last = o->at;
		script_peer(&s, ACK, NULL, 0);
	}
	assert_false(s.closed);
	s.wnd = 65535;
	script_peer(&s, ACK, NULL, 0);
	const struct script_sent *o = script_next(&s);
	assert_int_equal(o->seg.len, 1460);
	assert_int_equal(o->seg.seq, s.ack);
	script_end(&s);
}

static void unanswered_probes_end_the_connection(void **state)
{
	(void)state;
	fresh(false);
	s.wnd = 0;
	script_peer(&s, ACK, NULL, 0);
	pen_tcp_write_copy(s.c, text, 10);
	pen_tcp_flush(s.c, s.now);
	script_go(&s, 2000 * PEN_US_PER_S);
	assert_true(s.closed);
	assert_int_equal(s.why, PEN_TCP_CLOSED_TIMEOUT);
	script_end(&s);
}

static void small_windows_do_not_make_small_segments(void **state)
{
	(void)state;
	fresh(false);
	s.wnd = 1000;
	script_peer(&s, ACK, NULL, 0);
	pen_tcp_write_ref(s.c, text, 20000);
	pen_tcp_flush(s.c, s.now);
	assert_null(script_next(&s)); // neither a full segment nor half the best window
	s.wnd = 5000;
	script_peer(&s, ACK, NULL, 0);
	uint32_t bytes;
	assert_int_equal(count_sent(&bytes), 3);
	assert_int_equal(bytes, 4380);
	script_end(&s);
}

static void refused_bytes_close_the_window_and_resume_opens_it(void **state)
{
	(void)state;
	struct pen_tcp_config cfg;

	script_config(&cfg);
	cfg.rx_window = 8000;
	script_start(&s, &cfg);
	script_handshake(&s);
	s.consume_at_most = 100;
	script_peer(&s, ACK, text, 1400);
	assert_int_equal(s.ngot, 100);
	for (int i = 1; i < 6; i++)
		script_peer(&s, ACK, text + 1400 * i, i < 5 ? 1400 : 900);
	script_go(&s, PEN_US_PER_S);
	const struct script_sent *o, *last = NULL;
	while ((o = script_next(&s)) != NULL)
		last = o;
	assert_int_equal(last->seg.ack, s.seq);
	assert_true(last->seg.wnd < 400);
	assert_int_equal(s.ngot, 100); // asked once, waits for resume
	s.consume_at_most = UINT32_MAX;
	pen_tcp_resume(s.c, s.now);
	script_go(&s, 0);
	assert_int_equal(s.ngot, 7900);
	for (uint32_t i = 0; i < 7900; i++)
		assert_int_equal(s.got[i], text[i]);
	o = script_next(&s);
	assert_non_null(o);
	assert_true(o->seg.wnd >= 7900);
	assert_int_equal(s.ctr.window_updates, 1);
	script_end(&s);
}

static void a_capped_window_closes_and_its_probe_is_answered(void **state)
{
	(void)state;
	fresh(false);
	pen_tcp_set_rx_window(s.c, 0, s.now);
	script_go(&s, 0);
	assert_int_equal(script_next(&s)->seg.wnd, 0);
	pen_tcp_set_rx_window(s.c, 50000, s.now);
	script_go(&s, 0);
	assert_true(script_next(&s)->seg.wnd > 0);
	script_end(&s);
}

static void reordered_bytes_are_put_in_order_and_asked_for(void **state)
{
	(void)state;
	fresh(false);
	script_raw(&s, ACK, s.seq + 200, s.ack, NULL, 0, text + 200, 100);
	const struct script_sent *o = script_next(&s);
	assert_int_equal(o->seg.ack, s.seq); // a duplicate ACK, at once
	script_raw(&s, ACK, s.seq + 250, s.ack, NULL, 0, text + 250, 150);
	script_raw(&s, ACK, s.seq + 100, s.ack, NULL, 0, text + 100, 120);
	assert_int_equal(s.ngot, 0);
	script_raw(&s, ACK, s.seq, s.ack, NULL, 0, text, 110);
	assert_int_equal(s.ngot, 400);
	assert_memory_equal(s.got, text, 400);
	script_forget(&s);
	script_go(&s, 0);
	assert_int_equal(script_next(&s)->seg.ack, s.seq + 400);
	script_end(&s);
}

static void out_of_order_memory_is_bounded(void **state)
{
	(void)state;
	fresh(false);
	// One byte in every two: each needs a chunk of its own.
	for (uint32_t i = 0; i < 400; i++) {
		script_raw(&s, ACK, s.seq + 2 + 2 * i, s.ack, NULL, 0, text, 1);
		script_forget(&s);
	}
	assert_true(s.ctr.drop_ooo_full > 0);
	assert_true(s.tcp->chunks.used <= 256);
	assert_false(s.closed);
	script_end(&s);
}

static void acks_wait_for_the_second_segment_or_40_ms(void **state)
{
	(void)state;
	fresh(false);
	script_peer(&s, ACK, text, 1460);
	assert_null(script_next(&s));
	script_go(&s, 39 * PEN_US_PER_MS);
	assert_null(script_next(&s));
	script_go(&s, 3 * PEN_US_PER_MS);
	assert_int_equal(script_next(&s)->seg.ack, s.seq);
	assert_int_equal(s.ctr.delayed_acks, 1);
	script_peer(&s, ACK, text, 1460);
	script_peer(&s, ACK, text, 1460);
	assert_int_equal(script_next(&s)->seg.ack, s.seq);
	// A burst gets one ACK, when it has been taken in.
	for (int i = 0; i < 10; i++)
		script_raw(&s, ACK, s.seq + 1460u * (uint32_t)i, s.ack, NULL, 0, text, 1460);
	assert_null(script_next(&s));
	script_go(&s, 0);
	assert_int_equal(script_next(&s)->seg.ack, s.seq + 14600);
	assert_null(script_next(&s));
	script_end(&s);
}

static void an_answer_carries_the_ack(void **state)
{
	(void)state;
	fresh(false);
	script_peer(&s, ACK | PSH, "220 hi\r\n", 8);
	pen_tcp_write_copy(s.c, "EHLO a\r\n", 8);
	pen_tcp_flush(s.c, s.now);
	const struct script_sent *o = script_next(&s);
	assert_int_equal(o->seg.ack, s.seq);
	assert_int_equal(o->seg.len, 8);
	s.ack += 8;
	script_peer(&s, ACK, NULL, 0);
	script_go(&s, PEN_US_PER_S);
	assert_null(script_next(&s));
	script_end(&s);
}

static void pieces_leave_together_in_full_segments(void **state)
{
	(void)state;
	fresh(true);
	uint32_t at = 0;
	for (uint32_t n = 1; at < 4000; at += n, n = n * 3 % 701 + 1) {
		if (n % 2)
			assert_int_equal(pen_tcp_write_copy(s.c, text + at, n), n);
		else
			assert_int_equal(pen_tcp_write_ref(s.c, text + at, n), n);
	}
	pen_tcp_flush(s.c, s.now);
	uint32_t off = 0;
	for (const struct script_sent *o; (o = script_next(&s)) != NULL; off += o->seg.len) {
		assert_true(o->seg.len == 1448 || off + o->seg.len == at);
		assert_memory_equal(o->seg.data, text + off, o->seg.len);
		// The sum over copied pieces at odd offsets is right.
		uint32_t hdr = (uint32_t)(o->seg.data - o->tcp);
		uint32_t addrs = script_ip6 ? 32 : 8;
		uint64_t sum = pen_csum_add(0, o->tcp - addrs, addrs);
		uint8_t tail[4] = {
			0, 6, (uint8_t)((hdr + o->seg.len) >> 8), (uint8_t)(hdr + o->seg.len)};
		sum = pen_csum_add(pen_csum_add(sum, tail, 4), o->tcp, hdr + o->seg.len);
		assert_int_equal(pen_csum_fold(sum), 0);
	}
	assert_int_equal(off, at);
	script_end(&s);
}

static void an_old_timestamp_is_dropped_and_answered(void **state)
{
	(void)state;
	fresh(true);
	s.tsval += 1000;
	script_peer(&s, ACK, text, 10);
	script_go(&s, PEN_US_PER_S);
	script_forget(&s);
	s.tsval -= 500;
	script_peer(&s, ACK, text, 10);
	assert_int_equal(s.ctr.drop_paws, 1);
	assert_int_equal(s.ngot, 10);
	assert_int_equal(script_next(&s)->seg.ack, s.seq - 10);
	script_raw(&s, ACK, s.seq - 10, s.ack, NULL, 0, text, 10);
	assert_int_equal(s.ctr.drop_no_timestamp, 1);
	assert_int_equal(s.ngot, 10);
	script_end(&s);
}

static void blind_resets_and_syns_get_a_challenge(void **state)
{
	(void)state;
	fresh(false);
	script_raw(&s, RST, s.seq + 100, 0, NULL, 0, NULL, 0);
	assert_false(s.closed);
	const struct script_sent *o = script_next(&s);
	assert_int_equal(o->seg.flags, ACK);
	assert_int_equal(o->seg.ack, s.seq);
	for (int i = 0; i < 50; i++)
		script_raw(&s, RST, s.seq + 100, 0, NULL, 0, NULL, 0);
	assert_null(script_next(&s)); // rate limit
	script_go(&s, PEN_US_PER_S);
	script_raw(&s, SYN, s.seq, 0, NULL, 0, NULL, 0);
	assert_int_equal(script_next(&s)->seg.flags, ACK);
	script_go(&s, PEN_US_PER_S);
	script_raw(&s, ACK, s.seq, s.ack + 5, NULL, 0, "no", 2); // acknowledges the future
	assert_int_equal(script_next(&s)->seg.flags, ACK);
	script_go(&s, PEN_US_PER_S);
	script_raw(&s, ACK, s.seq, s.ack - 100000, NULL, 0, "no", 2); // and a distant past
	assert_int_equal(script_next(&s)->seg.flags, ACK);
	assert_int_equal(s.ctr.challenge_acks, 4);
	assert_int_equal(s.ctr.drop_ack, 2);
	assert_int_equal(s.ngot, 0);
	script_raw(&s, RST, s.seq - 1, 0, NULL, 0, NULL, 0);
	assert_false(s.closed);
	script_raw(&s, RST, s.seq, 0, NULL, 0, NULL, 0);
	assert_true(s.closed);
	assert_int_equal(s.why, PEN_TCP_CLOSED_RESET);
	script_end(&s);
}

static void bad_segments_are_counted_by_reason(void **state)
{
	(void)state;
	uint8_t seg[40] = {0};
	static const uint8_t bad[3][4] = {{8, 1, 0, 0}, {2, 40, 0, 0}, {1, 1, 1, 3}};

	fresh(false);
	uint64_t before = s.ctr.drop_checksum;
	seg[12] = 0x50;
	pen_tcp_input(s.tcp, &s.peer, &s.us, seg, 20, false, s.now);
	assert_int_equal(s.ctr.drop_checksum, before + 1);
	pen_tcp_input(s.tcp, &s.peer, &s.us, seg, 19, true, s.now);
	seg[12] = 0x40;
	pen_tcp_input(s.tcp, &s.peer, &s.us, seg, 20, true, s.now);
	seg[12] = 0xf0;
	pen_tcp_input(s.tcp, &s.peer, &s.us, seg, 40, true, s.now);
	assert_int_equal(s.ctr.drop_short, 3);
	seg[12] = 0x50;
	pen_tcp_input(s.tcp, &s.peer, &s.us, seg, 20, true, s.now);
	assert_int_equal(s.ctr.drop_source, 1);
	for (int i = 0; i < 3; i++)
		script_raw(&s, ACK, s.seq, s.ack, bad[i], 4, "x", 1);
	assert_int_equal(s.ctr.drop_options, 3);
	assert_int_equal(s.ngot, 0);
	script_raw(&s, ACK, s.seq + 1000000, s.ack, NULL, 0, "x", 1);
	assert_int_equal(s.ctr.drop_window, 1);
	script_raw(&s, ACK, s.seq - 1, s.ack, NULL, 0, "x", 1);
	assert_int_equal(s.ctr.drop_old, 1);
	script_raw(&s, 0, s.seq, s.ack, NULL, 0, "x", 1);
	assert_int_equal(s.ctr.drop_no_flags, 1);
	script_end(&s);
}

static void a_smaller_path_mtu_shrinks_segments(void **state)
{
	(void)state;
	fresh(false);
	pen_tcp_write_ref(s.c, text, 2000);
	pen_tcp_flush(s.c, s.now);
	script_forget(&s);
	const uint8_t type = script_ip6 ? 2 : 3, code = script_ip6 ? 0 : 4;
	const uint16_t mtu = script_ip6 ? 1280 : 1000;
	// Not about what is in flight; and, over IPv6, less than any link carries.
	pen_tcp_unreachable(
		s.tcp, &s.us, &s.peer, s.our_port, 25, s.ack + 5000, type, code, mtu, s.now);
	if (script_ip6)
		pen_tcp_unreachable(
			s.tcp, &s.us, &s.peer, s.our_port, 25, s.ack, type, code, mtu - 1, s.now);
	assert_int_equal(s.ctr.icmp_mtu, 0);
	assert_null(script_next(&s));
	pen_tcp_unreachable(s.tcp, &s.us, &s.peer, s.our_port, 25, s.ack, type, code, mtu, s.now);
	assert_int_equal(s.ctr.icmp_mtu, 1);
	assert_int_equal(script_next(&s)->seg.len, script_ip6 ? 1220 : 960);
	script_end(&s);
}

static void a_window_of_64_chunks_is_scaled_both_ways(void **state)
{
	(void)state;
	uint8_t options[40];
	struct pen_tcp_config cfg;
	struct pen_tcp_info info;

	script_config(&cfg);
	script_start(&s, &cfg);
	script_connect(&s);
	uint32_t n = tcp_options_write_syn(options, 1460, 5, false, 0, 0);
	script_raw(&s, SYN | ACK, s.seq++, s.ack, options, n, NULL, 0);
	script_go(&s, 0);
	const struct script_sent *o = script_next(&s);
	assert_int_equal(o->seg.wnd << 3, 256 * 1024);
	s.wnd = 1000;
	script_peer(&s, ACK, NULL, 0);
	pen_tcp_get_info(s.c, &info);
	assert_true(info.window_scaling);
	assert_int_equal(info.peer_window, 32000);
	script_end(&s);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(the_first_flight_is_ten_segments_and_full),
		cmocka_unit_test(the_retransmission_timer_doubles_and_repeats_the_bytes),
		cmocka_unit_test(data_without_an_answer_ends_in_a_timeout),
		cmocka_unit_test(three_duplicate_acks_retransmit_at_once),
		cmocka_unit_test(the_first_duplicate_acks_let_new_segments_out),
		cmocka_unit_test(a_closed_window_is_probed_with_a_byte_until_it_opens),
		cmocka_unit_test(unanswered_probes_end_the_connection),
		cmocka_unit_test(small_windows_do_not_make_small_segments),
		cmocka_unit_test(refused_bytes_close_the_window_and_resume_opens_it),
		cmocka_unit_test(a_capped_window_closes_and_its_probe_is_answered),
		cmocka_unit_test(reordered_bytes_are_put_in_order_and_asked_for),
		cmocka_unit_test(out_of_order_memory_is_bounded),
		cmocka_unit_test(acks_wait_for_the_second_segment_or_40_ms),
		cmocka_unit_test(an_answer_carries_the_ack),
		cmocka_unit_test(pieces_leave_together_in_full_segments),
		cmocka_unit_test(an_old_timestamp_is_dropped_and_answered),
		cmocka_unit_test(blind_resets_and_syns_get_a_challenge),
		cmocka_unit_test(bad_segments_are_counted_by_reason),
		cmocka_unit_test(a_smaller_path_mtu_shrinks_segments),
		cmocka_unit_test(a_window_of_64_chunks_is_scaled_both_ways),
	};
	script_ip6 = false;
	int failed = cmocka_run_group_tests_name("IPv4", all, NULL, NULL);
	script_ip6 = true;
	return failed + cmocka_run_group_tests_name("IPv6", all, NULL, NULL);
}
