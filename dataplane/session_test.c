// SPDX-License-Identifier: BSD-3-Clause

// Sessions over a TCP and a TLS that are played by the test: which connections
// are made, from where, what is said on them, and what the scheduler hears.

#include "pen_test.h"
#include "session_world.h"

#define HELLO "EHLO me4\r\n"
#define UP_TO_TLS                                                                                  \
	do {                                                                                       \
		world_answers(w.nconn - 1);                                                        \
		world_says(w.nconn - 1, "220 mx\r\n");                                             \
		world_says(w.nconn - 1, "250-mx\r\n250 STARTTLS\r\n");                             \
		world_says(w.nconn - 1, "220 go\r\n");                                             \
	} while (0)

static void each_family_has_its_own_source_and_name(void **state)
{
	(void)state;
	world_set_up(2, PEN_TLS_MAY);
	lease.host[1].addr.family = PEN_FAMILY_IP6;
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	assert_int_equal(w.conn[0].local.family, PEN_FAMILY_IP4);
	world_fails(0);
	assert_int_equal(w.conn[1].local.family, PEN_FAMILY_IP6);
	UP_TO_TLS;
	assert_ptr_equal(w.host, &lease.host[1]);
	assert_int_equal(w.source.family, PEN_FAMILY_IP6);
	assert_string_equal(w.helo, "me6");
	world_says(1, "hello");
	world_heard(1, "EHLO me6\r\nSTARTTLS\r\n<hello><EHLO me6\r\n>");
	world_says(1, "250 mx\r\n");
	assert_int_equal(w.ready, 1);
	assert_string_equal(lease.tls_protocol, "TLSv1.3");
	assert_string_equal(lease.tls_cipher, "TLS_AES_256_GCM_SHA384");
	assert_int_equal(lease.tls_bits, 256);
	assert_true(lease.tls && lease.starttls_offered && lease.tls_peer.trusted);
	world_expect_field("may");
	world_tear_down();
}

static void a_host_of_a_family_without_a_source_is_passed_over(void **state)
{
	(void)state;
	world_set_up(2, PEN_TLS_MAY);
	lease.host[0].addr.family = PEN_FAMILY_IP6;
	lease.source6.family = PEN_FAMILY_NONE;
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	assert_int_equal(w.nconn, 1);
	assert_int_equal(world_host_of(0), 1);
	assert_int_equal(world_count("hosts_skipped"), 1);
	world_tear_down();

	world_set_up(1, PEN_TLS_MAY);
	lease.source.family = PEN_FAMILY_NONE;
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	world_expect_status(4, 4, 1);
	assert_non_null(strstr(lease.result.text, "no source address"));
	world_tear_down();
}

static void a_plaintext_retry_is_a_new_connection_to_the_same_address(void **state)
{
	(void)state;
	struct {
		struct pen_delivery d;
		struct pen_delivery_rcpt rcpt[1];
	} mail = {.d = {.lease = &lease,
			  .sender = PEN_SPAN_LIT("s@a"),
			  .content = PEN_SPAN_LIT("x\r\n"),
			  .nrcpt = 1},
		.rcpt = {{.addr = PEN_SPAN_LIT("r@b")}}};

	world_set_up(2, PEN_TLS_MAY);
	lease.plain_retry = true;
	w.handshake = PEN_SESSION_TLS_FAILED;
	w.peer.certificate = false;
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	world_command(PEN_CMD_DELIVERY, &mail);
	UP_TO_TLS;
	world_says(0, "garbage");
	// Nothing follows on the connection where TLS was agreed on.
	world_heard(0, HELLO "STARTTLS\r\n<hello>");
	assert_false(w.conn[0].open);
	assert_int_equal(w.nconn, 2);
	assert_int_equal(world_host_of(1), 0);
	assert_int_equal(w.ended, 0);
	world_answers(1);
	world_says(1, "220 mx\r\n");
	world_says(1, "250-mx\r\n250 STARTTLS\r\n");
	assert_int_equal(w.ready, 1);
	world_says(1, "250 ok\r\n");
	world_says(1, "250 ok\r\n");
	world_says(1, "354 go\r\n");
	world_says(1, "250 2.0.0 stored\r\n");
	world_heard(1, HELLO "MAIL FROM:<s@a>\r\nRCPT TO:<r@b>\r\nDATA\r\nx\r\n.\r\n");
	assert_int_equal(w.done, 1);
	assert_int_equal(mail.rcpt[0].result.klass, 2);
	assert_int_equal(w.streams, 1);
	assert_false(lease.tls);
	world_expect_field("may:none");
	assert_int_equal(lease.host[0].tls_event, PEN_TLSRPT_VALIDATION_FAILURE);
	assert_int_equal(world_count("plaintext_retries"), 1);
	assert_int_equal(world_count("next_hosts"), 0);
	world_tear_down();
}

static void without_leave_for_plaintext_the_next_host_is_tried(void **state)
{
	(void)state;
	world_set_up(2, PEN_TLS_MAY);
	w.handshake = PEN_SESSION_TLS_FAILED;
	w.peer.certificate = false;
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	UP_TO_TLS;
	world_says(0, "garbage");
	assert_int_equal(world_host_of(1), 1);
	assert_int_equal(world_count("next_hosts"), 1);
	world_fails(1);
	assert_int_equal(w.ended, 1);
	world_expect_status(4, 4, 1);
	world_tear_down();
}

static void a_lost_connection_in_the_handshake_is_a_lost_connection(void **state)
{
	(void)state;
	world_set_up(1, PEN_TLS_ENCRYPT);
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	UP_TO_TLS;
	world_closed(&w.conn[0], PEN_TCP_CLOSED_RESET);
	world_settle();
	world_expect_status(4, 4, 2);
	world_expect_field("encrypt?");
	assert_int_equal(world_count("handshakes_failed"), 1);
	world_tear_down();
}

static void an_operators_abort_is_no_failure_of_tls(void **state)
{
	(void)state;
	world_set_up(1, PEN_TLS_MAY);
	lease.plain_retry = true;
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	UP_TO_TLS;
	world_command(PEN_CMD_LEASE_ABORT, &lease);
	assert_int_equal(w.nconn, 1);
	assert_int_equal(lease.host[0].tls_event, PEN_TLSRPT_NONE);
	world_tear_down();
}

static void tls_from_the_first_byte_says_nothing_before_it(void **state)
{
	(void)state;
	world_set_up(1, PEN_TLS_ENCRYPT);
	policy[0].wrapper = true;
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	world_answers(0);
	world_heard(0, "<hello>");
	world_says(0, "hello");
	world_says(0, "220 mx\r\n");
	world_says(0, "250 mx\r\n");
	world_heard(0, "<hello><EHLO me4\r\n>");
	assert_int_equal(w.ready, 1);
	world_tear_down();
}

static void a_certificate_that_does_not_match_leads_to_the_next_host(void **state)
{
	(void)state;
	world_set_up(2, PEN_TLS_SECURE);
	w.peer.matched = false;
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	UP_TO_TLS;
	world_says(0, "hello");
	world_heard(0, HELLO "STARTTLS\r\n<hello><QUIT\r\n>");
	world_says(0, "221 bye\r\n");
	assert_int_equal(w.nconn, 2);
	w.peer.matched = true;
	UP_TO_TLS;
	world_says(1, "hello");
	world_says(1, "250 mx\r\n");
	assert_int_equal(w.ready, 1);
	world_expect_field("secure");
	world_tear_down();
}

static void requiretls_bounces_when_the_last_host_lacks_it(void **state)
{
	(void)state;
	world_set_up(2, PEN_TLS_SECURE);
	policy[0].requiretls = policy[1].requiretls = PEN_REQUIRETLS_ENFORCE;
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	for (unsigned k = 0; k < 2; k++) {
		assert_int_equal(w.nconn, k + 1);
		assert_int_equal(w.ended, 0);
		UP_TO_TLS;
		world_says(k, "hello");
		world_says(k, "250 mx\r\n");
		world_says(k, "221 bye\r\n");
	}
	world_expect_status(5, 7, 30);
	assert_int_equal(lease.result.scope, PEN_SCOPE_SITE);
	assert_int_equal(lease.result.origin, PEN_ORIGIN_POLICY);
	world_expect_field("secure/!requiretls:none");
	assert_int_equal(w.ready, 0);
	world_tear_down();
}

static void a_policy_that_forbids_every_host_makes_no_connection(void **state)
{
	(void)state;
	world_set_up(2, PEN_TLS_MAY);
	policy[0].requiretls = policy[1].requiretls = PEN_REQUIRETLS_ENFORCE;
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	assert_int_equal(w.nconn, 0);
	assert_int_equal(w.ended, 1);
	world_expect_status(5, 7, 10);
	assert_int_equal(lease.result.scope, PEN_SCOPE_SITE);
	assert_true(lease.host_tried);
	world_tear_down();
}

// ---- racing ----

static void set_up_race(uint8_t nhosts)
{
	world_set_up(nhosts, PEN_TLS_MAY);
	rules.race_delay = 250 * PEN_US_PER_MS;
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	world_pass(240 * PEN_US_PER_MS);
	assert_int_equal(w.nconn, 1);
	world_pass(20 * PEN_US_PER_MS);
	assert_int_equal(w.nconn, 2);
	assert_int_equal(world_count("races"), 1);
}

static void the_first_connection_to_be_established_wins(void **state)
{
	(void)state;
	set_up_race(3);
	world_answers(1);
	assert_false(w.conn[0].open);
	assert_int_equal(lease.host_used, 1);
	assert_int_equal(world_count("races_won"), 1);
	world_says(1, "220 mx\r\n");
	world_says(1, "250 mx\r\n");
	assert_int_equal(w.ready, 1);
	world_heard(0, "");
	world_heard(1, HELLO);
	world_tear_down();

	set_up_race(3);
	world_answers(0);
	assert_false(w.conn[1].open);
	assert_int_equal(lease.host_used, 0);
	assert_int_equal(world_count("races_won"), 0);
	world_pass(PEN_US_PER_S); // and no other begins
	assert_int_equal(w.nconn, 2);
	world_tear_down();
}

static void without_the_option_hosts_come_one_after_the_other(void **state)
{
	(void)state;
	world_set_up(2, PEN_TLS_MAY);
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	world_pass(29 * PEN_US_PER_S);
	assert_int_equal(w.nconn, 1);
	world_pass(2 * PEN_US_PER_S);
	assert_int_equal(w.nconn, 2);
	assert_false(w.conn[0].open);
	assert_int_equal(world_count("races"), 0);
	world_tear_down();
}

static void a_race_goes_on_when_one_of_two_fails(void **state)
{
	(void)state;
	// The first fails: the other has its place, and another rival.
	set_up_race(3);
	world_fails(0);
	assert_int_equal(lease.host_used, 1);
	world_pass(260 * PEN_US_PER_MS);
	assert_int_equal(w.nconn, 3);
	world_fails(2);
	world_fails(1);
	assert_int_equal(w.ended, 1);
	world_expect_status(4, 4, 1);
	world_tear_down();
	// The rival fails.
	set_up_race(3);
	world_fails(1);
	assert_int_equal(lease.host_used, 0);
	world_pass(260 * PEN_US_PER_MS);
	assert_int_equal(w.nconn, 3);
	assert_int_equal(world_host_of(2), 2);
	world_answers(2);
	assert_int_equal(lease.host_used, 2);
	world_tear_down();
}

static void both_time_limits_of_a_race_are_kept(void **state)
{
	(void)state;
	set_up_race(2);
	world_pass(30 * PEN_US_PER_S - 265 * PEN_US_PER_MS);
	assert_true(w.conn[0].open && w.conn[1].open);
	world_pass(20 * PEN_US_PER_MS);
	assert_true(!w.conn[0].open && w.conn[1].open);
	world_pass(260 * PEN_US_PER_MS);
	assert_int_equal(w.ended, 1);
	assert_non_null(strstr(lease.result.text, "Connection timed out"));
	assert_int_equal(world_count("connect_timeouts"), 2);
	world_tear_down();
}

static void the_loser_of_a_race_is_tried_again_when_the_winner_is_of_no_use(void **state)
{
	(void)state;
	set_up_race(2);
	world_answers(1);
	world_says(1, "421 busy\r\n");
	assert_int_equal(w.nconn, 3);
	assert_int_equal(world_host_of(2), 0);
	world_fails(2);
	assert_int_equal(w.ended, 1);
	world_tear_down();
}

static void a_rival_that_we_have_no_means_for_is_no_failure(void **state)
{
	(void)state;
	world_set_up(2, PEN_TLS_MAY);
	rules.race_delay = 250 * PEN_US_PER_MS;
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	w.full = true;
	world_pass(PEN_US_PER_S);
	assert_int_equal(w.nconn, 1);
	assert_int_equal(world_count("races"), 0);
	w.full = false;
	world_fails(0);
	assert_int_equal(w.nconn, 2);
	assert_int_equal(world_host_of(1), 1);
	world_tear_down();
}

static void an_end_from_outside_ends_both(void **state)
{
	(void)state;
	set_up_race(2);
	world_command(PEN_CMD_LEASE_ABORT, &lease);
	assert_int_equal(w.ended, 1);
	world_tear_down();
	set_up_race(2);
	world_command(PEN_CMD_LEASE_CLOSE, &lease);
	assert_int_equal(w.ended, 1);
	world_expect_status(2, 0, 0);
	world_tear_down();
}

// ---- signs for the scheduler

static void the_signs_of_a_lease_are_those_of_its_connections(void **state)
{
	(void)state;
	world_set_up(3, PEN_TLS_NONE);
	lease.signs.reset = true; // of another life of the object
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	assert_false(lease.signs.reset);
	w.conn[0].signs.syn_retries = 4;
	world_closed(&w.conn[0], PEN_TCP_CLOSED_TIMEOUT);
	world_settle();
	assert_true(lease.signs.connect_timeout);
	assert_int_equal(lease.signs.syn_retries, 4);
	world_fails(1);
	assert_true(lease.signs.refused);
	world_answers(2);
	world_says(2, "220 mx\r\n");
	w.conn[2].signs = (struct pen_tcp_signs){
		.segments = 10, .retransmitted = 2, .zero_windows = 1, .srtt_us = 30000};
	world_says(2, "250 mx\r\n");
	assert_int_equal(w.ready, 1);
	// The numbers are of this connection, the flags of the whole lease.
	assert_int_equal(lease.signs.segments, 10);
	assert_int_equal(lease.signs.retransmitted, 2);
	assert_int_equal(lease.signs.zero_windows, 1);
	assert_int_equal(lease.signs.syn_retries, 0);
	assert_int_equal(lease.signs.srtt_us, 30000);
	assert_true(lease.signs.connect_timeout && lease.signs.refused);
	assert_false(lease.signs.reset);
	w.conn[2].signs.segments = 99;
	world_closed(&w.conn[2], PEN_TCP_CLOSED_RESET);
	world_settle();
	assert_int_equal(w.ended, 1);
	assert_true(lease.signs.reset);
	assert_int_equal(lease.signs.segments, 99);
	world_tear_down();
}

static void our_own_deadline_for_a_connection_is_a_timeout(void **state)
{
	(void)state;
	world_set_up(1, PEN_TLS_NONE);
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	world_pass(lease.timeouts.connect + PEN_US_PER_S);
	assert_int_equal(w.ended, 1);
	assert_true(lease.signs.connect_timeout);
	assert_false(lease.signs.refused || lease.signs.reset);
	world_tear_down();
}

static void a_reset_after_quit_and_an_abort_of_ours_are_no_signs(void **state)
{
	(void)state;
	world_set_up(1, PEN_TLS_NONE);
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	world_answers(0);
	world_says(0, "220 mx\r\n");
	world_says(0, "250 mx\r\n");
	world_command(PEN_CMD_LEASE_CLOSE, &lease);
	world_says(0, "221 bye\r\n");
	if (w.conn[0].open)
		world_closed(&w.conn[0], PEN_TCP_CLOSED_RESET);
	world_settle();
	assert_int_equal(w.ended, 1);
	assert_false(lease.signs.reset);
	world_tear_down();

	world_set_up(1, PEN_TLS_NONE);
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	world_command(PEN_CMD_LEASE_ABORT, &lease);
	assert_int_equal(w.ended, 1);
	assert_false(lease.signs.connect_timeout || lease.signs.refused || lease.signs.reset);
	world_tear_down();
}

static void a_done_delivery_knows_when_its_dot_left(void **state)
{
	struct {
		struct pen_delivery d;
		struct pen_delivery_rcpt rcpt[1];
	} mail = {.d = {.lease = &lease,
			  .sender = PEN_SPAN_LIT("s@a"),
			  .content = PEN_SPAN_LIT("x\r\n"),
			  .nrcpt = 1,
			  .dot_at = 4711},
		.rcpt = {{.addr = PEN_SPAN_LIT("r@b")}}};

	(void)state;
	world_set_up(1, PEN_TLS_NONE);
	world_command(PEN_CMD_LEASE_OPEN, &lease);
	world_command(PEN_CMD_DELIVERY, &mail);
	world_answers(0);
	world_says(0, "220 mx\r\n");
	world_says(0, "250 mx\r\n");
	assert_int_equal(mail.d.dot_at, 0);
	world_says(0, "250 ok\r\n");
	world_says(0, "250 ok\r\n");
	world_says(0, "354 go\r\n");
	pen_time_us dot = w.now;
	world_pass(3 * PEN_US_PER_S);
	w.conn[0].signs.segments = 5;
	world_says(0, "250 2.0.0 stored\r\n");
	assert_int_equal(w.done, 1);
	assert_int_equal(mail.d.dot_at, dot);
	assert_int_equal(mail.d.done_at - mail.d.dot_at, 3 * PEN_US_PER_S);
	assert_int_equal(lease.signs.segments, 5); // filled in at each DONE
	world_tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_family_has_its_own_source_and_name),
		cmocka_unit_test(a_host_of_a_family_without_a_source_is_passed_over),
		cmocka_unit_test(a_plaintext_retry_is_a_new_connection_to_the_same_address),
		cmocka_unit_test(without_leave_for_plaintext_the_next_host_is_tried),
		cmocka_unit_test(a_lost_connection_in_the_handshake_is_a_lost_connection),
		cmocka_unit_test(an_operators_abort_is_no_failure_of_tls),
		cmocka_unit_test(tls_from_the_first_byte_says_nothing_before_it),
		cmocka_unit_test(a_certificate_that_does_not_match_leads_to_the_next_host),
		cmocka_unit_test(requiretls_bounces_when_the_last_host_lacks_it),
		cmocka_unit_test(a_policy_that_forbids_every_host_makes_no_connection),
		cmocka_unit_test(the_first_connection_to_be_established_wins),
		cmocka_unit_test(without_the_option_hosts_come_one_after_the_other),
		cmocka_unit_test(a_race_goes_on_when_one_of_two_fails),
		cmocka_unit_test(both_time_limits_of_a_race_are_kept),
		cmocka_unit_test(the_loser_of_a_race_is_tried_again_when_the_winner_is_of_no_use),
		cmocka_unit_test(a_rival_that_we_have_no_means_for_is_no_failure),
		cmocka_unit_test(an_end_from_outside_ends_both),
		cmocka_unit_test(the_signs_of_a_lease_are_those_of_its_connections),
		cmocka_unit_test(our_own_deadline_for_a_connection_is_a_timeout),
		cmocka_unit_test(a_reset_after_quit_and_an_abort_of_ours_are_no_signs),
		cmocka_unit_test(a_done_delivery_knows_when_its_dot_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
