// SPDX-License-Identifier: BSD-3-Clause

#include "submission_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static void a_message_is_stored_canonically_with_its_trace(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, NULL);
	int fd = greet(&f);
	envelope(fd);
	ask(fd, "Subject: x\n\nbare\r\n..dot\r\n\xc3\xa9\r\n.\r\n", "250 2.0.0 Ok: queued as ");
	ask(fd, "QUIT\r\n", "221 ");
	hear(fd, "");
	close(fd);
	assert_int_equal(f.nkept, 1);
	struct pen_message *m = f.kept[0];
	assert_true(pen_span_eq(pen_message_sender(m), PEN_SPAN_LIT("a@b")));
	assert_int_equal(m->nrcpt, 1);
	assert_true(pen_span_eq(pen_recipient_addr(&m->rcpt[0]), PEN_SPAN_LIT("c@d")));
	assert_int_equal(m->flags, PEN_MESSAGE_8BIT);
	assert_int_equal(m->id, 1);
	char want[400];
	int n = snprintf(want, sizeof(want),
		"Received: from client.example (unknown [127.0.0.1])\r\n"
		"\tby gw.example (Penstock) with ESMTP id %s\r\n\tfor <c@d>; ",
		PEN_QUEUE_ID(m));
	assert_memory_equal(m->content, want, (size_t)n);
	assert_true(contains(m, " (UTC)\r\nSubject: x\r\nMessage-Id: <"));
	assert_true(contains(m, "@gw.example>\r\nDate: "));
	assert_true(contains(m, "\r\n\r\nbare\r\n.dot\r\n\xc3\xa9\r\n"));
	assert_int_equal(m->content[m->content_len - 1], '\n');
	assert_int_equal(pen_submission_stats(f.s).in_flight, 0);
	stop(&f);
}

static void one_recipient_is_named_in_received_and_two_are_not(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, NULL);
	int fd = greet(&f);
	say(fd, "MAIL FROM:<>\r\nRCPT TO:<c@d>\r\nRCPT TO:<postmaster>\r\nDATA\r\n");
	hear(fd, "250 ");
	hear(fd, "250 ");
	hear(fd, "250 ");
	hear(fd, "354 ");
	ask(fd, ".\r\n", "250 ");
	close(fd);
	assert_false(contains(f.kept[0], "for <"));
	assert_int_equal(pen_message_sender(f.kept[0]).n, 0);
	assert_true(pen_span_eq(pen_recipient_addr(&f.kept[0]->rcpt[1]),
		PEN_SPAN_LIT("postmaster@origin.example")));
	stop(&f);
}

static void outsiders(struct pen_submission_config *cfg)
{
	cfg->nmynetworks = 0;
	cfg->client_connections = 2;
}

static void clients_outside_mynetworks_cannot_relay(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, outsiders);
	int fd = greet(&f);
	ask(fd, "MAIL FROM:<a@b>\r\n", "250 ");
	ask(fd, "RCPT TO:<c@d>\r\n", "554 5.7.1 <c@d>: Relay access denied");
	ask(fd, "DATA\r\n", "5");
	int second = greet(&f);
	int third = dial(&f);
	hear(third, "421 4.7.0 gw.example Error: too many connections from your address");
	hear(third, "");
	close(third);
	close(second);
	close(fd);
	assert_int_equal(f.nkept, 0);
	stop(&f);
}

static void size_recipients_and_hops_have_limits(void **state)
{
	(void)state;
	struct fixture f;
	static char big[30000];

	start(&f, NULL);
	int fd = greet(&f);
	ask(fd, "MAIL FROM:<a@b> SIZE=20001\r\n", "552 ");
	envelope(fd);
	memset(big, 'x', sizeof(big) - 1);
	for (size_t i = 70; i + 2 < sizeof(big); i += 72)
		memcpy(big + i, "\r\n", 2);
	say(fd, big);
	ask(fd, "\r\n.\r\n", "552 5.3.4 ");
	envelope(fd);
	ask(fd, "Received: 1\r\nReceived: 2\r\nReceived: 3\r\nReceived: 4\r\n\r\n.\r\n",
		"554 5.4.0 Error: too many hops");
	envelope(fd);
	ask(fd, "Received: 1\r\nReceived: 2\r\nReceived: 3\r\n\r\n.\r\n", "250 ");
	ask(fd, "MAIL FROM:<a@b>\r\n", "250 ");
	ask(fd, "RCPT TO:<1@d>\r\n", "250 ");
	ask(fd, "RCPT TO:<2@d>\r\n", "250 ");
	ask(fd, "RCPT TO:<3@d>\r\n", "250 ");
	ask(fd, "RCPT TO:<4@d>\r\n", "452 4.5.3 ");
	close(fd);
	assert_int_equal(f.nkept, 1);
	stop(&f);
	assert_int_equal(f.nkept, 1);
}

static void the_reply_waits_for_the_commit_and_pipelined_input_for_the_reply(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, NULL);
	f.at_once = false;
	int a = greet(&f), b = greet(&f);
	envelope(a);
	say(a, "Subject: 1\r\n\r\n.\r\n" ENVELOPE);
	wait_kept(&f, 1);
	envelope(b);
	say(b, "Subject: 2\r\n\r\n.\r\nQUIT\r\n");
	wait_kept(&f, 2);
	char none;
	assert_int_equal(recv(a, &none, 1, MSG_DONTWAIT), -1);
	// The second is answered first: connections do not wait for each other.
	pen_submission_done(f.s, f.token[1], 0, NULL);
	hear(b, "250 2.0.0 Ok: queued as ");
	hear(b, "221 ");
	assert_int_equal(recv(a, &none, 1, MSG_DONTWAIT), -1);
	pen_submission_done(f.s, f.token[0], -ENOSPC, NULL);
	hear(a, "452 4.3.1 Insufficient system storage");
	hear(a, "250 ");
	hear(a, "250 ");
	hear(a, "354 ");
	say(a, "Subject: 3\r\n\r\n.\r\nNOOP\r\n");
	wait_kept(&f, 3);
	pen_submission_done(f.s, f.token[0], 0, NULL); // an old token: nobody waits
	pen_submission_done(f.s, f.token[2], -EIO, NULL);
	hear(a, "451 4.3.0 ");
	hear(a, "250 ");
	envelope(a);
	say(a, "Subject: 4\r\n\r\n.\r\n");
	wait_kept(&f, 4);
	pen_submission_done(f.s, f.token[3], -EIO, "554 5.6.0 no such thing");
	hear(a, "554 5.6.0 no such thing");
	close(a);
	close(b);
	stop(&f);
}

static void a_client_that_leaves_does_not_take_its_message_along(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, NULL);
	f.at_once = false;
	int a = greet(&f);
	envelope(a);
	say(a, "Subject: 1\r\n\r\n.\r\n");
	wait_kept(&f, 1);
	struct linger hard = {1, 0};
	setsockopt(a, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(a); // a reset
	int b = greet(&f);
	envelope(b);
	say(b, "Subject: 2\r\n\r\n.\r\n");
	wait_kept(&f, 2);
	shutdown(b, SHUT_WR);
	pen_submission_done(f.s, f.token[0], 0, NULL);
	pen_submission_done(f.s, f.token[1], 0, NULL);
	hear(b, "250 2.0.0 Ok: queued as ");
	hear(b, "");
	close(b);
	int c = greet(&f);
	envelope(c);
	say(c, "Subject: 3\r\n\r\n"); // leaves inside the content
	close(c);
	int d = greet(&f);
	ask(d, "QUIT\r\n", "221 ");
	close(d);
	assert_int_equal(f.nkept, 2);
	stop(&f);
}

static void a_full_spool_refuses_early_and_late(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, NULL);
	int fd = greet(&f);
	f.admission_err = -ENOSPC;
	ask(fd, "MAIL FROM:<a@b>\r\n", "452 4.3.1 Insufficient system storage");
	f.admission_err = 0;
	envelope(fd);
	f.intake_err = -ENOSPC;
	ask(fd, "Subject: x\r\n\r\n.\r\n", "452 4.3.1 Insufficient system storage");
	envelope(fd);
	f.intake_err = -EIO;
	ask(fd, "Subject: x\r\n\r\n.\r\n", "451 4.3.0 ");
	envelope(fd);
	f.intake_err = 0;
	ask(fd, "Subject: x\r\n\r\n.\r\n", "250 ");
	close(fd);
	assert_int_equal(f.nkept, 1);
	assert_int_equal(pen_submission_stats(f.s).in_flight, 0);
	stop(&f);
}

static void little_memory(struct pen_submission_config *cfg)
{
	cfg->max_in_flight = 12000;
}

static void contents_under_way_are_bounded_together(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, little_memory);
	f.at_once = false;
	int a = greet(&f), b = greet(&f), c = greet(&f);
	envelope(a);
	envelope(b);
	say(c, "MAIL FROM:<a@b> SIZE=9000\r\nRCPT TO:<c@d>\r\nDATA\r\n");
	hear(c, "250 ");
	hear(c, "250 ");
	hear(c, "452 4.3.1 Insufficient system storage");
	say(a, "Subject: x\r\n\r\n.\r\n");
	wait_kept(&f, 1);
	pen_submission_done(f.s, f.token[0], 0, NULL);
	hear(a, "250 ");
	say(b, "Subject: x\r\n\r\n.\r\n");
	wait_kept(&f, 2);
	pen_submission_done(f.s, f.token[1], 0, NULL);
	hear(b, "250 ");
	assert_int_equal(pen_submission_stats(f.s).in_flight, 0);
	ask(c, "DATA\r\n", "354 ");
	assert_true(pen_submission_stats(f.s).in_flight > 9000);
	close(a);
	close(b);
	close(c);
	stop(&f);
}

static void header_checks_decide(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, NULL);
	int fd = greet(&f);
	envelope(fd);
	f.action = PEN_SUBMISSION_REJECT;
	f.text = "550 5.7.1 no spam";
	ask(fd, "Subject: x\r\n\r\n.\r\n", "550 5.7.1 no spam");
	envelope(fd);
	f.action = PEN_SUBMISSION_DISCARD;
	ask(fd, "Subject: x\r\n\r\n.\r\n", "250 2.0.0 Ok: queued as ");
	assert_int_equal(f.nkept, 0);
	envelope(fd);
	f.action = PEN_SUBMISSION_HOLD;
	ask(fd, "Subject: x\r\n\r\n.\r\n", "250 2.0.0 Ok: queued as ");
	assert_int_equal(f.kept[0]->flags, PEN_MESSAGE_HOLD);
	envelope(fd);
	f.action = PEN_SUBMISSION_ACCEPT;
	f.headers = "X-New: yes\r\n";
	ask(fd, "Subject: x\r\n\r\nbody\r\n.\r\n", "250 2.0.0 Ok: queued as ");
	assert_int_equal(f.kept[1]->content_len, 20);
	assert_memory_equal(f.kept[1]->content, "X-New: yes\r\n\r\nbody\r\n", 20);
	close(fd);
	stop(&f);
}

static void tls_features(struct pen_submission_config *cfg)
{
	cfg->requiretls = cfg->requiretls_header = cfg->tls_required = true;
}

static void no_requiretls(struct pen_submission_config *cfg)
{
	tls_features(cfg);
	cfg->requiretls = false;
}

static void no_header(struct pen_submission_config *cfg)
{
	tls_features(cfg);
	cfg->requiretls_header = false;
}

static void no_tls_required(struct pen_submission_config *cfg)
{
	tls_features(cfg);
	cfg->tls_required = false;
}

static void fields_of_the_header_decide_how_a_message_may_travel(void **state)
{
	(void)state;
	static const struct {
		const char *content;
		void (*cfg)(struct pen_submission_config *);
		uint32_t flags;
	} cases[] = {
		{"a: b\r\n", tls_features, 0},
		{"Require-TLS-ESMTP: yes\r\n", tls_features, PEN_MESSAGE_REQUIRETLS},
		{"REQUIRE-tls-esmtp:\r\n Yes\r\n", tls_features, PEN_MESSAGE_REQUIRETLS},
		{"Require-TLS-ESMTP: no\r\n", tls_features, 0},
		{"Require-TLS-ESMTP: yes\r\n", no_requiretls, 0},
		{"Require-TLS-ESMTP: yes\r\n", no_header, 0},
		{"TLS-Required: No\r\n", tls_features, PEN_MESSAGE_TLS_OPTIONAL},
		{"TLS-Required: yes\r\n", tls_features, 0},
		{"TLS-Required: no\r\n", no_tls_required, 0},
		{"TLS-Required: no\r\nRequire-TLS-ESMTP: yes\r\n", tls_features,
			PEN_MESSAGE_REQUIRETLS},
		{"TLS-Required: no\r\nRequire-TLS-ESMTP: yes\r\n", no_requiretls,
			PEN_MESSAGE_TLS_OPTIONAL},
		{"a: b\r\n\r\nTLS-Required: no\r\nRequire-TLS-ESMTP: yes\r\n", tls_features, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;

		start(&f, cases[i].cfg);
		int fd = greet(&f);
		envelope(fd);
		say(fd, cases[i].content);
		ask(fd, "\r\n.\r\n", "250 ");
		close(fd);
		if (f.kept[0]->flags != cases[i].flags)
			fail_msg("case %zu: flags %u", i, f.kept[0]->flags);
		// What the client wrote stays as it is, and stays once.
		const char *first = memmem(f.kept[0]->content, f.kept[0]->content_len,
			cases[i].content, strcspn(cases[i].content, "\r"));
		assert_non_null(first);
		stop(&f);
	}
}

static void header_checks_come_before_the_fields_about_tls(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, tls_features);
	int fd = greet(&f);
	f.headers = "Received: x\r\nRequire-TLS-ESMTP: yes\r\n";
	envelope(fd);
	ask(fd, "TLS-Required: no\r\n\r\nbody\r\n.\r\n", "250 ");
	close(fd);
	assert_int_equal(f.kept[0]->flags, PEN_MESSAGE_REQUIRETLS);
	stop(&f);
}

static void notification_requests_are_taken_without_tls(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, tls_features);
	int fd = greet(&f);
	ask(fd, "MAIL FROM:<a@b> REQUIRETLS\r\n", "555 5.5.4 Unsupported option: REQUIRETLS");
	ask(fd, "MAIL FROM:<a@b> ENVID=1 RET=FULL\r\n", "250 ");
	ask(fd, "RSET\r\n", "250 ");
	ask(fd, "MAIL FROM:<a@b> RET=FULL\r\n", "250 ");
	ask(fd, "RCPT TO:<c@d> NOTIFY=FAILURE ORCPT=rfc822;c@d\r\n", "250 ");
	ask(fd, "RCPT TO:<e@f> NOTIFY=SOMETIMES\r\n",
		"501 5.5.4 Error: Bad NOTIFY parameter syntax");
	ask(fd, "DATA\r\n", "354 ");
	ask(fd, "\r\n.\r\n", "250 ");
	envelope(fd); // nothing is left of it
	ask(fd, "\r\n.\r\n", "250 ");
	close(fd);
	assert_int_equal(f.kept[0]->flags, PEN_MESSAGE_RET_FULL);
	assert_int_equal(pen_message_envid(f.kept[0]).n, 0);
	assert_int_equal(f.kept[0]->nrcpt, 1);
	assert_true(
		pen_span_eq(pen_recipient_orcpt(&f.kept[0]->rcpt[0]), PEN_SPAN_LIT("rfc822;c@d")));
	assert_int_equal(f.kept[0]->rcpt[0].notify, PEN_NOTIFY_FAILURE);
	assert_int_equal(f.kept[1]->flags, 0);
	assert_int_equal(f.kept[1]->rcpt[0].notify, 0);
	assert_int_equal(f.kept[1]->rcpt[0].orcpt_len, 0);
	stop(&f);
}

static void one_token(struct pen_submission_config *cfg)
{
	cfg->in_flow_delay = 300000;
	cfg->in_flow_tokens = 1;
}

static uint64_t pauses(const struct fixture *f)
{
	return pen_counter_read(&pen_submission_counters(f->s, 0)->in_flow_pauses);
}

static void without_a_token_a_message_waits_and_others_do_not(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, one_token);
	int a = greet(&f), b = greet(&f);
	envelope(a);
	ask(a, "\r\n.\r\n", "250 "); // takes the token, and the queue keeps it
	assert_int_equal(pauses(&f), 0);
	envelope(a);
	say(a, "\r\n.\r\nNOOP\r\n");
	ask(b, "NOOP\r\n", "250 ");
	while (pauses(&f) == 0)
		ask(b, "NOOP\r\n", "250 ");
	assert_int_equal(f.nkept, 1);
	hear(a, "250 2.0.0 Ok: queued as "); // it goes on without a token
	hear(a, "250 2.0.0 Ok");
	assert_int_equal(f.nkept, 2);
	pen_submission_token_back(f.s);
	envelope(b);
	ask(b, "\r\n.\r\n", "250 ");
	assert_int_equal(pauses(&f), 1);
	close(a);
	close(b);
	stop(&f);
}

static void tokens_of_held_and_refused_mail_come_back(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, one_token);
	int fd = greet(&f);
	f.action = PEN_SUBMISSION_HOLD;
	for (int i = 0; i < 3; i++) {
		envelope(fd);
		ask(fd, "\r\n.\r\n", "250 ");
	}
	f.action = PEN_SUBMISSION_ACCEPT;
	f.intake_err = -ENOSPC;
	envelope(fd);
	ask(fd, "\r\n.\r\n", "452 ");
	f.intake_err = 0;
	f.at_once = false;
	envelope(fd);
	say(fd, "\r\n.\r\n");
	wait_kept(&f, 4);
	pen_submission_done(f.s, f.token[3], -EIO, NULL);
	hear(fd, "451 ");
	f.at_once = true;
	envelope(fd);
	ask(fd, "\r\n.\r\n", "250 ");
	assert_int_equal(pauses(&f), 0);
	close(fd);
	stop(&f);
}

static void long_pause(struct pen_submission_config *cfg)
{
	one_token(cfg);
	cfg->in_flow_delay = 600 * PEN_US_PER_S;
}

static void a_pause_ends_with_the_client_or_the_daemon(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, long_pause);
	int fd[3];
	for (int i = 0; i < 3; i++) {
		fd[i] = greet(&f);
		envelope(fd[i]);
		say(fd[i], "\r\n.\r\n");
		if (i == 0)
			hear(fd[i], "250 ");
	}
	ask(fd[0], "NOOP\r\n", "250 ");
	while (pauses(&f) < 2)
		ask(fd[0], "RSET\r\n", "250 ");
	struct linger hard = {1, 0};
	setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd[1]);
	pen_submission_stop(f.s, 20 * PEN_US_PER_S);
	hear(fd[2], "421 4.3.2 gw.example Service shutting down");
	hear(fd[2], "");
	close(fd[2]);
	close(fd[0]);
	assert_int_equal(f.nkept, 1);
	assert_int_equal(pen_submission_stats(f.s).in_flight, 0);
	stop(&f);
}

static void short_time(struct pen_submission_config *cfg)
{
	cfg->timeout = 1;
	cfg->max_connections = 1;
}

static void silent_clients_and_too_many_of_them_are_sent_away(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, short_time);
	int a = dial(&f);
	hear(a, "220 ");
	int b = dial(&f);
	hear(b, "421 4.7.0 gw.example Error: too many connections");
	hear(a, "421 4.4.2 gw.example Error: timeout exceeded");
	hear(a, "");
	close(a);
	close(b);
	stop(&f);
}

static void many_errors_end_the_session(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, NULL);
	int fd = greet(&f);
	for (int i = 0; i < 20; i++)
		ask(fd, "NONSENSE\r\n", "5");
	hear(fd, "421 4.7.0 ");
	hear(fd, "");
	close(fd);
	stop(&f);
}

static void *stop_thread(void *arg)
{
	struct fixture *f = arg;

	pen_submission_stop(f->s, 20 * PEN_US_PER_S);
	return NULL;
}

static void stopping_waits_for_what_was_handed_over(void **state)
{
	(void)state;
	struct fixture f;
	pthread_t t;

	start(&f, NULL);
	f.at_once = false;
	int a = greet(&f), b = greet(&f);
	envelope(a);
	say(a, "Subject: 1\r\n\r\n.\r\n");
	wait_kept(&f, 1);
	assert_int_equal(pthread_create(&t, NULL, stop_thread, &f), 0);
	hear(b, "421 4.3.2 gw.example Service shutting down");
	hear(b, "");
	pen_submission_done(f.s, f.token[0], 0, NULL);
	hear(a, "250 2.0.0 Ok: queued as ");
	hear(a, "421 4.3.2 gw.example Service shutting down");
	hear(a, "");
	pthread_join(t, NULL);
	close(a);
	close(b);
	stop(&f);
}

static void two(struct pen_submission_config *cfg)
{
	cfg->loops = 2;
}

static void two_loops_share_a_port(void **state)
{
	(void)state;
	struct fixture f;
	int fd[8];

	start(&f, two);
	assert_int_equal(pen_submission_loops(f.s), 2);
	for (int i = 0; i < 8; i++) {
		fd[i] = dial(&f);
		hear(fd[i], "220 ");
		ask(fd[i], "QUIT\r\n", "221 ");
		hear(fd[i], "");
		close(fd[i]);
	}
	uint64_t n = 0;
	for (uint32_t i = 0; i < 2; i++)
		n += pen_counter_read(&pen_submission_counters(f.s, i)->connects);
	assert_int_equal(n, 8);
	stop(&f);
}

static void an_address_in_use_is_a_clear_error(void **state)
{
	(void)state;
	struct fixture f;
	struct pen_submission *second;
	const char *what;

	start(&f, NULL);
	struct pen_submission_listen listen = {pen_addr_ip4(INADDR_LOOPBACK), f.port};
	struct pen_submission_config cfg = {.listen = &listen, .nlisten = 1, .hostname = "h"};
	assert_int_equal(pen_submission_new(&cfg, &rig_ops, &f, &second, &what), -EADDRINUSE);
	assert_non_null(strstr(what, "cannot listen on 127.0.0.1 port "));
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_stored_canonically_with_its_trace),
		cmocka_unit_test(one_recipient_is_named_in_received_and_two_are_not),
		cmocka_unit_test(clients_outside_mynetworks_cannot_relay),
		cmocka_unit_test(size_recipients_and_hops_have_limits),
		cmocka_unit_test(the_reply_waits_for_the_commit_and_pipelined_input_for_the_reply),
		cmocka_unit_test(a_client_that_leaves_does_not_take_its_message_along),
		cmocka_unit_test(a_full_spool_refuses_early_and_late),
		cmocka_unit_test(contents_under_way_are_bounded_together),
		cmocka_unit_test(header_checks_decide),
		cmocka_unit_test(fields_of_the_header_decide_how_a_message_may_travel),
		cmocka_unit_test(header_checks_come_before_the_fields_about_tls),
		cmocka_unit_test(notification_requests_are_taken_without_tls),
		cmocka_unit_test(without_a_token_a_message_waits_and_others_do_not),
		cmocka_unit_test(tokens_of_held_and_refused_mail_come_back),
		cmocka_unit_test(a_pause_ends_with_the_client_or_the_daemon),
		cmocka_unit_test(silent_clients_and_too_many_of_them_are_sent_away),
		cmocka_unit_test(many_errors_end_the_session),
		cmocka_unit_test(stopping_waits_for_what_was_handed_over),
		cmocka_unit_test(two_loops_share_a_port),
		cmocka_unit_test(an_address_in_use_is_a_clear_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
