// SPDX-License-Identifier: BSD-3-Clause

// How connections begin and end, one behaviour per test.

#include "tcp_script.h"

#include "pen_test.h"

#include <errno.h>

static struct script s;

static void fresh(void)
{
	struct pen_tcp_config cfg;

	script_config(&cfg);
	script_start(&s, &cfg);
}

static void a_syn_offers_mss_scale_and_timestamps_but_no_sack(void **state)
{
	(void)state;
	fresh();
	s.peer_port = 25;
	assert_int_equal(pen_tcp_connect(s.tcp, &s.us, &s.peer, 25, &s, &s.c, s.now), 0);
	const struct script_sent *syn = script_next(&s);
	assert_int_equal(syn->seg.flags, SYN);
	assert_int_equal(syn->seg.mss, 1460);
	assert_int_equal(syn->seg.wscale, 3);
	assert_true(syn->seg.has_ts);
	// IPv4: don't fragment. IPv6: TCP follows at once.
	if (!script_ip6)
		assert_int_equal(syn->frame[PEN_ETH_LEN + 6] & 0x40, 0x40);
	else
		assert_int_equal(syn->frame[PEN_ETH_LEN + 6], 6);
	for (const uint8_t *p = syn->tcp + TCP_HDR; p < syn->seg.data; p++)
		assert_false(p[0] == 4 && p[1] == 2);
	script_end(&s);
}

static void a_syn_is_repeated_with_doubling_pauses_and_then_given_up(void **state)
{
	(void)state;
	struct pen_tcp_config cfg;

	script_config(&cfg);
	cfg.syn_retries = 4;
	script_start(&s, &cfg);
	script_connect(&s);
	pen_time_us last = s.start;
	for (int i = 0; i < 4; i++) {
		script_go(&s, (PEN_US_PER_S << i) + 5000);
		const struct script_sent *syn = script_next(&s);
		assert_non_null(syn);
		assert_int_equal(syn->seg.flags, SYN);
		assert_int_equal(syn->seg.seq, s.ack - 1);
		assert_in_range(
			syn->at - last, PEN_US_PER_S << i, (PEN_US_PER_S << i) + 2 * PEN_US_PER_MS);
		last = syn->at;
		assert_null(script_next(&s));
	}
	assert_false(s.closed);
	script_go(&s, 17 * PEN_US_PER_S);
	assert_true(s.closed);
	assert_int_equal(s.why, PEN_TCP_CLOSED_TIMEOUT);
	assert_int_equal(pen_tcp_conn_count(s.tcp), 0);
	script_end(&s);
}

static void a_reset_refuses_only_with_the_right_ack(void **state)
{
	(void)state;
	fresh();
	script_connect(&s);
	script_raw(&s, RST | ACK, 0, s.ack + 1, NULL, 0, NULL, 0);
	assert_false(s.closed);
	script_raw(&s, RST, 0, 0, NULL, 0, NULL, 0);
	assert_false(s.closed);
	script_raw(&s, RST | ACK, 0, s.ack, NULL, 0, NULL, 0);
	assert_true(s.closed);
	assert_int_equal(s.why, PEN_TCP_CLOSED_REFUSED);
	script_end(&s);
}

static void both_sides_may_open_at_once(void **state)
{
	(void)state;
	uint8_t options[40];

	fresh();
	script_connect(&s);
	uint32_t n = tcp_options_write_syn(options, 1460, -1, false, 0, 0);
	script_raw(&s, SYN, s.seq, 0, options, n, NULL, 0);
	const struct script_sent *o = script_next(&s);
	assert_int_equal(o->seg.flags, SYN | ACK);
	assert_int_equal(o->seg.seq, s.ack - 1);
	assert_int_equal(o->seg.ack, s.seq + 1);
	script_raw(&s, SYN | ACK, s.seq, s.ack, options, n, NULL, 0);
	assert_true(s.connected);
	s.seq++;
	script_peer(&s, ACK, "hi", 2);
	assert_int_equal(s.ngot, 2);
	script_end(&s);
}

static void icmp_unreachable_ends_a_connect_only_for_our_syn(void **state)
{
	(void)state;
	fresh();
	script_connect(&s);
	const uint8_t type = script_ip6 ? 1 : 3;
	pen_tcp_unreachable(s.tcp, &s.us, &s.peer, s.our_port, 25, s.ack + 99, type, 1, 0, s.now);
	assert_false(s.closed);
	// What is hard for one family is a passing trouble for the other.
	pen_tcp_unreachable(
		s.tcp, &s.us, &s.peer, s.our_port, 25, s.ack - 1, 4 - type, 1, 0, s.now);
	assert_false(s.closed);
	pen_tcp_unreachable(s.tcp, &s.us, &s.peer, s.our_port, 25, s.ack - 1, type, 1, 0, s.now);
	assert_true(s.closed);
	assert_int_equal(s.why, PEN_TCP_CLOSED_UNREACHABLE);
	script_end(&s);
}

static void a_listener_accepts_refuses_and_answers_strangers_with_reset(void **state)
{
	(void)state;
	fresh();
	script_accept(&s);
	assert_true(s.accepted);
	script_peer(&s, ACK | PSH, "EHLO", 4);
	assert_memory_equal(s.got, "EHLO", 4);
	s.our_port = 26; // nobody there
	script_raw(&s, SYN, 1, 0, NULL, 0, NULL, 0);
	script_forget(&s);
	script_raw(&s, SYN, 1, 0, NULL, 0, NULL, 0);
	const struct script_sent *o = script_next(&s);
	assert_int_equal(o->seg.flags, RST | ACK);
	assert_int_equal(o->seg.ack, 2);
	script_end(&s);

	fresh();
	s.refuse = true;
	s.our_port = 25;
	s.peer_port = 40001;
	assert_int_equal(pen_tcp_listen(s.tcp, 25, &s), 0);
	assert_int_equal(pen_tcp_listen(s.tcp, 25, &s), -EADDRINUSE);
	script_raw(&s, SYN, s.seq, 0, NULL, 0, NULL, 0);
	uint32_t iss = script_next(&s)->seg.seq;
	script_raw(&s, ACK, s.seq + 1, iss + 1, NULL, 0, NULL, 0);
	assert_true(script_next(&s)->seg.flags & RST);
	assert_int_equal(pen_tcp_conn_count(s.tcp), 0);
	assert_false(s.closed); // it never was the application's
	script_end(&s);
}

static void half_open_connections_are_bounded(void **state)
{
	(void)state;
	fresh();
	s.our_port = 25;
	assert_int_equal(pen_tcp_listen(s.tcp, 25, &s), 0);
	for (int i = 0; i < 100; i++) {
		s.peer_port = (uint16_t)(1000 + i);
		script_raw(&s, SYN, 1, 0, NULL, 0, NULL, 0);
	}
	assert_int_equal(pen_tcp_conn_count(s.tcp), 8);
	assert_int_equal(s.ctr.drop_syn_backlog, 92);
	script_go(&s, 300 * PEN_US_PER_S);
	assert_int_equal(pen_tcp_conn_count(s.tcp), 0);
	script_end(&s);
}

static void a_half_closed_connection_still_receives(void **state)
{
	(void)state;
	fresh();
	script_handshake(&s);
	pen_tcp_close(s.c, s.now);
	const struct script_sent *fin = script_next(&s);
	assert_int_equal(fin->seg.flags, FIN | ACK);
	s.ack++;
	script_peer(&s, ACK, NULL, 0);
	script_go(&s, 50 * PEN_US_PER_S);
	script_peer(&s, ACK | PSH, "221 bye", 7);
	assert_int_equal(s.ngot, 7);
	script_peer(&s, FIN | ACK, NULL, 0);
	assert_true(s.peer_fin);
	assert_true(s.closed);
	assert_int_equal(s.why, PEN_TCP_CLOSED_OK);
	assert_int_equal(s.ctr.time_wait_entered, 1);
	script_end(&s);
}

static void half_closed_for_ever_is_not_possible(void **state)
{
	(void)state;
	fresh();
	script_handshake(&s);
	pen_tcp_close(s.c, s.now);
	s.ack++;
	script_peer(&s, ACK, NULL, 0);
	script_go(&s, 200 * PEN_US_PER_S);
	assert_true(s.closed);
	assert_int_equal(s.why, PEN_TCP_CLOSED_TIMEOUT);
	script_end(&s);
}

static void the_passive_closer_keeps_no_time_wait(void **state)
{
	(void)state;
	fresh();
	script_handshake(&s);
	script_peer(&s, FIN | ACK, NULL, 0);
	assert_true(s.peer_fin);
	assert_int_equal(script_next(&s)->seg.ack, s.seq);
	pen_tcp_close(s.c, s.now);
	assert_int_equal(script_next(&s)->seg.flags, FIN | ACK);
	s.ack++;
	script_peer(&s, ACK, NULL, 0);
	assert_true(s.closed);
	assert_int_equal(s.why, PEN_TCP_CLOSED_OK);
	assert_int_equal(s.ctr.time_wait_entered, 0);
	script_end(&s);
}

static void both_sides_may_close_at_once(void **state)
{
	(void)state;
	fresh();
	script_handshake(&s);
	pen_tcp_close(s.c, s.now);
	script_peer(&s, FIN | ACK, NULL, 0); // has not seen ours
	assert_false(s.closed);
	s.ack++;
	script_peer(&s, ACK, NULL, 0);
	assert_true(s.closed);
	assert_int_equal(s.ctr.time_wait_entered, 1);
	script_end(&s);
}

static void a_fin_is_repeated_until_acknowledged(void **state)
{
	(void)state;
	fresh();
	script_handshake(&s);
	pen_tcp_write_copy(s.c, "QUIT\r\n", 6);
	pen_tcp_close(s.c, s.now);
	const struct script_sent *o = script_next(&s);
	assert_int_equal(o->seg.flags, FIN | ACK | PSH);
	for (int i = 0; i < 3; i++) {
		script_go(&s, PEN_US_PER_S << i);
		o = script_next(&s);
		assert_non_null(o);
		assert_int_equal(o->seg.flags & FIN, FIN);
		assert_memory_equal(o->seg.data, "QUIT\r\n", 6);
	}
	s.ack += 7;
	script_peer(&s, ACK, NULL, 0);
	script_peer(&s, FIN | ACK, NULL, 0);
	assert_true(s.closed);
	script_end(&s);
}

static void time_wait_keeps_the_port_answers_and_then_frees_it(void **state)
{
	(void)state;
	struct pen_tcp_config cfg;
	struct pen_tcp_conn *c;

	script_config(&cfg);
	cfg.port_low = cfg.port_high = 20000; // the only one
	script_start(&s, &cfg);
	script_handshake(&s);
	assert_int_equal(pen_tcp_connect(s.tcp, &s.us, &s.peer, 25, &s, &c, s.now), -EADDRNOTAVAIL);
	pen_tcp_close(s.c, s.now);
	s.ack++;
	script_peer(&s, FIN | ACK, NULL, 0);
	assert_true(s.closed);
	assert_int_equal(pen_tcp_connect(s.tcp, &s.us, &s.peer, 25, &s, &c, s.now), -EADDRNOTAVAIL);
	script_forget(&s);
	script_go(&s, 30 * PEN_US_PER_S);
	s.seq--;
	script_peer(&s, FIN | ACK, NULL, 0); // our last ACK was lost
	assert_int_equal(script_next(&s)->seg.ack, s.seq);
	script_go(&s, 50 * PEN_US_PER_S); // the FIN began it anew
	assert_int_equal(pen_tcp_connect(s.tcp, &s.us, &s.peer, 25, &s, &c, s.now), -EADDRNOTAVAIL);
	script_go(&s, 11 * PEN_US_PER_S);
	s.closed = false;
	assert_int_equal(pen_tcp_connect(s.tcp, &s.us, &s.peer, 25, &s, &s.c, s.now), 0);
	script_end(&s);
}

static void a_newer_syn_replaces_time_wait_on_a_server(void **state)
{
	(void)state;
	fresh();
	script_accept(&s);
	pen_tcp_close(s.c, s.now);
	s.ack++;
	script_peer(&s, FIN | ACK, NULL, 0);
	assert_int_equal(s.ctr.time_wait_entered, 1);
	script_forget(&s);
	s.accepted = false;
	script_raw(&s, SYN, s.seq - 10, 0, NULL, 0, NULL, 0); // an old duplicate
	assert_int_equal(script_next(&s)->seg.flags, ACK);
	script_raw(&s, SYN, s.seq + 1000, 0, NULL, 0, NULL, 0);
	const struct script_sent *o = script_next(&s);
	assert_int_equal(o->seg.flags, SYN | ACK);
	assert_true(seq_lt(s.ack, o->seg.seq));
	assert_int_equal(s.ctr.time_wait_reused, 1);
	script_end(&s);
}

static void abort_resets_and_reports_at_once(void **state)
{
	(void)state;
	fresh();
	script_handshake(&s);
	pen_tcp_write_copy(s.c, "x", 1);
	pen_tcp_abort(s.c, s.now);
	assert_true(s.closed);
	assert_int_equal(s.why, PEN_TCP_CLOSED_ABORTED);
	const struct script_sent *o = script_next(&s);
	assert_true(o->seg.flags & RST);
	assert_int_equal(o->seg.seq, s.ack);
	assert_int_equal(s.tcp->txds.used, 0);
	script_end(&s);
}

static void ports_stay_in_the_residue_class_and_differ(void **state)
{
	(void)state;
	struct pen_tcp_config cfg;
	struct pen_tcp_conn *c[100];
	bool seen[65536] = {0};

	script_config(&cfg);
	cfg.max_conns = 100;
	cfg.workers = 7;
	cfg.worker = 3;
	cfg.port_low = 10001;
	script_start(&s, &cfg);
	for (int i = 0; i < 100; i++) {
		struct pen_tcp_info info;
		assert_int_equal(pen_tcp_connect(s.tcp, &s.us, &s.peer, 25, &s, &c[i], s.now), 0);
		script_forget(&s);
		pen_tcp_get_info(c[i], &info);
		assert_int_equal(info.local_port % 7, 3);
		assert_in_range(info.local_port, 10001, 65535);
		assert_false(seen[info.local_port]);
		seen[info.local_port] = true;
	}
	assert_int_equal(pen_tcp_connect(s.tcp, &s.us, &s.peer, 25, &s, &c[0], s.now), -ENOBUFS);
	script_end(&s);
}

static void initial_sequence_numbers_differ_by_tuple_secret_and_time(void **state)
{
	(void)state;
	struct tcp_tuple a = {.laddr = 1, .raddr = 2, .lport = 3, .rport = 4}, b = a;

	fresh();
	b.lport = 5;
	uint32_t first = tcp_isn(s.tcp, &a, s.now);
	assert_int_not_equal(first, tcp_isn(s.tcp, &b, s.now));
	assert_int_equal(tcp_isn(s.tcp, &a, s.now + 4000) - first, 1000);
	s.tcp->cfg.secret.k0++;
	assert_int_not_equal(first, tcp_isn(s.tcp, &a, s.now));
	script_end(&s);
}

static void no_route_is_said_at_once(void **state)
{
	(void)state;
	struct pen_addr far = pen_addr_ip4(0xc0000201), other = pen_addr_ip4(0x0a000009);

	fresh();
	if (script_ip6) {
		// The families do not mix.
		assert_int_equal(
			pen_tcp_connect(s.tcp, &s.us, &far, 25, &s, &s.c, s.now), -ENETUNREACH);
		far = other = s.peer;
		far.ip[1] = 1;
		other.ip[15] = 9;
	}
	assert_int_equal(pen_tcp_connect(s.tcp, &s.us, &far, 25, &s, &s.c, s.now), -ENETUNREACH);
	assert_int_equal(
		pen_tcp_connect(s.tcp, &other, &s.peer, 25, &s, &s.c, s.now), -ENETUNREACH);
	script_end(&s);
}

static void two_connections_differ_by_one_bit_of_an_address(void **state)
{
	(void)state;
	struct pen_tcp_config cfg;
	struct pen_addr other;
	struct pen_tcp_conn *c;
	struct pen_tcp_info info;

	// One port for all: only the address tells the connections apart.
	script_config(&cfg);
	cfg.port_low = cfg.port_high = 20000;
	for (int bit = script_ip6 ? 64 : 24; bit < (script_ip6 ? 126 : 30); bit++) {
		script_start(&s, &cfg);
		script_handshake(&s);
		other = s.peer;
		other.ip[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		pen_inet_neigh_learn(s.inet, &other, (uint8_t[6]){2}, true, s.now);
		assert_int_equal(pen_tcp_connect(s.tcp, &s.us, &other, 25, &s, &c, s.now), 0);
		assert_int_equal(pen_tcp_conn_count(s.tcp), 2);
		pen_tcp_get_info(c, &info);
		assert_true(pen_addr_eq(&info.remote, &other) && pen_addr_eq(&info.local, &s.us));
		script_peer(&s, ACK | PSH, "hi", 2);
		assert_int_equal(s.ngot, 2);
		pen_tcp_set_ctx(c, NULL);
		c->told = false;
		script_end(&s);
	}
}

static void both_families_talk_to_one_listener(void **state)
{
	(void)state;
	fresh();
	script_accept(&s);
	struct pen_tcp_conn *first = s.c;
	const struct pen_addr us = s.us, peer = s.peer;
	uint32_t seq = s.seq, ack = s.ack;
	// The same ports, the other family.
	s.us = script_ip6 ? pen_addr_ip4(0x0a000001)
			  : (struct pen_addr){.family = PEN_FAMILY_IP6, .ip = {0xfd, [15] = 1}};
	s.peer = script_ip6 ? pen_addr_ip4(0x0a000002)
			    : (struct pen_addr){.family = PEN_FAMILY_IP6, .ip = {0xfd, [15] = 2}};
	s.seq = SCRIPT_PEER_ISS;
	script_raw(&s, SYN, s.seq++, 0, NULL, 0, NULL, 0);
	const struct script_sent *o = script_next(&s);
	assert_int_equal(o->seg.flags, SYN | ACK);
	assert_int_equal(o->frame[12], script_ip6 ? 0x08 : 0x86);
	s.ack = o->seg.seq + 1;
	script_peer(&s, ACK, NULL, 0);
	assert_ptr_not_equal(s.c, first);
	assert_int_equal(pen_tcp_conn_count(s.tcp), 2);
	s.us = us;
	s.peer = peer;
	s.seq = seq;
	s.ack = ack;
	script_peer(&s, ACK | PSH, "one", 3);
	assert_memory_equal(s.got, "one", 3);
	script_end(&s);
}

static void ethernet_has_room_for_1460_bytes_over_ipv4_and_1440_over_ipv6(void **state)
{
	(void)state;
	struct pen_tcp_config cfg;

	script_config(&cfg);
	script_start(&s, &cfg);
	assert_int_equal(s.tcp->our_mss[TUPLE_IP4], script_ip6 ? 1480 : 1460);
	assert_int_equal(s.tcp->our_mss[TUPLE_IP6], script_ip6 ? 1460 : 1440);
	// A peer that says nothing: RFC 9293 3.7.1.
	script_connect(&s);
	script_raw(&s, SYN | ACK, s.seq++, s.ack, NULL, 0, NULL, 0);
	assert_true(s.connected);
	assert_int_equal(s.c->mss, script_ip6 ? 1220 : 536);
	script_end(&s);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(a_syn_offers_mss_scale_and_timestamps_but_no_sack),
		cmocka_unit_test(a_syn_is_repeated_with_doubling_pauses_and_then_given_up),
		cmocka_unit_test(a_reset_refuses_only_with_the_right_ack),
		cmocka_unit_test(both_sides_may_open_at_once),
		cmocka_unit_test(icmp_unreachable_ends_a_connect_only_for_our_syn),
		cmocka_unit_test(a_listener_accepts_refuses_and_answers_strangers_with_reset),
		cmocka_unit_test(half_open_connections_are_bounded),
		cmocka_unit_test(a_half_closed_connection_still_receives),
		cmocka_unit_test(half_closed_for_ever_is_not_possible),
		cmocka_unit_test(the_passive_closer_keeps_no_time_wait),
		cmocka_unit_test(both_sides_may_close_at_once),
		cmocka_unit_test(a_fin_is_repeated_until_acknowledged),
		cmocka_unit_test(time_wait_keeps_the_port_answers_and_then_frees_it),
		cmocka_unit_test(a_newer_syn_replaces_time_wait_on_a_server),
		cmocka_unit_test(abort_resets_and_reports_at_once),
		cmocka_unit_test(ports_stay_in_the_residue_class_and_differ),
		cmocka_unit_test(initial_sequence_numbers_differ_by_tuple_secret_and_time),
		cmocka_unit_test(no_route_is_said_at_once),
		cmocka_unit_test(two_connections_differ_by_one_bit_of_an_address),
		cmocka_unit_test(both_families_talk_to_one_listener),
		cmocka_unit_test(ethernet_has_room_for_1460_bytes_over_ipv4_and_1440_over_ipv6),
	};
	script_ip6 = false;
	int failed = cmocka_run_group_tests_name("IPv4", all, NULL, NULL);
	script_ip6 = true;
	return failed + cmocka_run_group_tests_name("IPv6", all, NULL, NULL);
}
