// SPDX-License-Identifier: BSD-3-Clause

// STARTTLS in submission, with a client of tls/ on a real socket.

#include "submission_rig.h"

#include "pen_tls.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CERT(name) PEN_TEST_CERTS "/" name

static void offer(struct pen_submission_config *cfg)
{
	cfg->tls = PEN_SUBMISSION_TLS_MAY;
	cfg->tls_cert_file = CERT("server.pem");
	cfg->tls_key_file = CERT("server.key");
	cfg->requiretls = cfg->requiretls_header = cfg->tls_required = true;
}

static const struct pen_submission_counters *counters(const struct fixture *f)
{
	return pen_submission_counters(f->s, 0);
}

// A client with TLS

struct client {
	int fd;
	struct pen_tls_ctx *ctx;
	struct pen_tls *tls;
	uint8_t in[4096];
	struct pen_buf plain; // decrypted, not looked at yet
	struct pen_buf out;   // ciphertext that the socket did not take
};

static int to_buffer(void *ctx, const uint8_t *p, size_t n)
{
	struct client *c = ctx;

	pen_buf_add(&c->out, p, n);
	return 0;
}

static void client_init(struct client *c, int fd, const char *ciphers)
{
	char err[200];
	struct pen_tls_ctx_config cfg = {.ciphers = ciphers};

	*c = (struct client){.fd = fd, .ctx = pen_tls_ctx_new(&cfg, err, sizeof(err))};
	assert_non_null(c->ctx);
	c->tls = pen_tls_new(c->ctx, "server.test", to_buffer, c);
	assert_non_null(c->tls);
}

static void client_fini(struct client *c)
{
	pen_tls_free(c->tls);
	pen_tls_ctx_free(c->ctx);
	pen_buf_fini(&c->plain);
	pen_buf_fini(&c->out);
	close(c->fd);
}

static void client_push(struct client *c)
{
	assert_int_equal(send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL), c->out.n);
	pen_buf_reset(&c->out);
}

// Reads from the socket and feeds; false at its end.
static bool client_pull(struct client *c)
{
	ssize_t r = recv(c->fd, c->in, sizeof(c->in), 0);

	if (r <= 0)
		return false;
	pen_tls_feed(c->tls, c->in, (size_t)r);
	return true;
}

static enum pen_tls_status client_shake(struct client *c)
{
	enum pen_tls_status st;

	while ((st = pen_tls_handshake(c->tls)) == PEN_TLS_WANT_INPUT) {
		client_push(c);
		if (!client_pull(c))
			return PEN_TLS_EOF;
	}
	client_push(c);
	return st;
}

static void client_say(struct client *c, const char *text)
{
	size_t n = strlen(text), took;

	for (; n > 0; n -= took, text += took)
		assert_int_equal(
			pen_tls_write(c->tls, (const uint8_t *)text, n, &took), PEN_TLS_OK);
	client_push(c);
}

// One line into `line`, or the status that ended it.
static enum pen_tls_status client_line(struct client *c, char *line, size_t cap)
{
	uint8_t buf[2048];
	size_t got;
	ptrdiff_t lf;

	while ((lf = pen_span_find(pen_buf_span(&c->plain), '\n')) < 0) {
		enum pen_tls_status st = pen_tls_read(c->tls, buf, sizeof(buf), &got);
		if (st == PEN_TLS_OK)
			pen_buf_add(&c->plain, buf, got);
		else if (st != PEN_TLS_WANT_INPUT || !client_pull(c))
			return st;
	}
	snprintf(line, cap, "%.*s", (int)lf, (const char *)c->plain.p);
	pen_buf_consume(&c->plain, (size_t)lf + 1);
	return PEN_TLS_OK;
}

static void client_hear(struct client *c, const char *want)
{
	char line[2048];

	do {
		assert_int_equal(client_line(c, line, sizeof(line)), PEN_TLS_OK);
	} while (strlen(line) > 3 && line[3] == '-');
	if (strncmp(line, want, strlen(want)) != 0)
		fail_msg("wanted \"%s\", got \"%s\"", want, line);
}

static void client_ask(struct client *c, const char *question, const char *want)
{
	client_say(c, question);
	client_hear(c, want);
}

static void client_start(struct client *c, const struct fixture *f, const char *ciphers)
{
	int fd = greet(f);

	ask(fd, "STARTTLS\r\n", "220 2.0.0 Ready to start TLS");
	client_init(c, fd, ciphers);
	assert_int_equal(client_shake(c), PEN_TLS_OK);
}

// Tests

static void ehlo_in_tls_lists_requiretls_and_starttls_no_more(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	char line[200], all[1000] = "";

	start(&f, offer);
	int fd = dial(&f);
	hear(fd, "220 ");
	say(fd, "EHLO x\r\n");
	while (strstr(all, "\r\n250 ") == NULL || all[strlen(all) - 1] != '\n') {
		size_t n = strlen(all);
		assert_int_equal(recv(fd, all + n, 1, 0), 1);
		all[n + 1] = '\0';
	}
	assert_non_null(strstr(all, "STARTTLS"));
	assert_null(strstr(all, "REQUIRETLS"));
	close(fd);
	client_start(&c, &f, NULL);
	client_say(&c, "EHLO x\r\n");
	all[0] = '\0';
	do {
		assert_int_equal(client_line(&c, line, sizeof(line)), PEN_TLS_OK);
		strcat(all, line);
	} while (line[3] == '-');
	assert_null(strstr(all, "STARTTLS"));
	assert_non_null(strstr(all, "250-DSN"));
	assert_non_null(strstr(all, "250 REQUIRETLS"));
	client_fini(&c);
	stop(&f);
}

static void a_message_with_requests_arrives_with_them(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;

	start(&f, offer);
	client_start(&c, &f, NULL);
	client_ask(&c, "EHLO tls.example\r\n", "250 ");
	client_ask(&c, "MAIL FROM:<a@b> REQUIRETLS RET=HDRS ENVID=q+2B=1\r\n", "250 ");
	client_ask(&c, "RCPT TO:<c@d> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x=y@z\r\n", "250 ");
	client_ask(&c, "RCPT TO:<e> NOTIFY=NEVER\r\n", "250 ");
	client_ask(&c, "RCPT TO:<g@h>\r\n", "250 ");
	client_ask(&c, "DATA\r\n", "354 ");
	client_ask(&c, "Subject: x\r\n\r\nbody\r\n.\r\n", "250 2.0.0 Ok: queued as ");
	client_ask(&c, "QUIT\r\n", "221 ");
	char line[10];
	assert_int_equal(client_line(&c, line, sizeof(line)), PEN_TLS_EOF); // said goodbye
	client_fini(&c);

	struct pen_message *m = f.kept[0];
	assert_int_equal(m->flags, PEN_MESSAGE_REQUIRETLS | PEN_MESSAGE_RET_HDRS);
	assert_true(pen_span_eq(pen_message_envid(m), PEN_SPAN_LIT("q+2B+3D1")));
	assert_int_equal(m->nrcpt, 3);
	assert_true(pen_span_eq(pen_message_sender(m), PEN_SPAN_LIT("a@b")));
	assert_true(pen_span_eq(pen_recipient_addr(&m->rcpt[0]), PEN_SPAN_LIT("c@d")));
	assert_true(pen_span_eq(pen_recipient_orcpt(&m->rcpt[0]), PEN_SPAN_LIT("rfc822;x+3Dy@z")));
	assert_int_equal(m->rcpt[0].notify, PEN_NOTIFY_SUCCESS | PEN_NOTIFY_DELAY);
	assert_true(pen_span_eq(pen_recipient_addr(&m->rcpt[1]), PEN_SPAN_LIT("e@origin.example")));
	assert_int_equal(m->rcpt[1].orcpt_len, 0);
	assert_int_equal(m->rcpt[1].notify, PEN_NOTIFY_NEVER);
	assert_true(pen_span_eq(pen_recipient_addr(&m->rcpt[2]), PEN_SPAN_LIT("g@h")));
	assert_int_equal(m->rcpt[2].notify, 0);
	assert_true(contains(m, "Received: from tls.example (unknown [127.0.0.1])\r\n"
				"\t(using TLSv1.3 with cipher TLS_AES_128_GCM_SHA256 (128/128 "
				"bits))\r\n\t(No client certificate requested)\r\n"
				"\tby gw.example (Penstock) with ESMTPS id "));
	assert_true(contains(m, "\r\nRequire-TLS-ESMTP: yes\r\n\r\nbody\r\n"));
	assert_int_equal(pen_counter_read(&counters(&f)->tls_sessions), 1);
	assert_int_equal(pen_counter_read(&counters(&f)->requiretls), 1);
	stop(&f);
}

static void a_tls_1_2_client_is_served_too(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;

	start(&f, offer);
	client_start(&c, &f, "ECDHE-ECDSA-AES256-GCM-SHA384");
	client_ask(&c, "EHLO x\r\n" ENVELOPE, "250 ");
	client_hear(&c, "250 ");
	client_hear(&c, "250 ");
	client_hear(&c, "354 ");
	client_ask(&c, "\r\n.\r\n", "250 ");
	client_fini(&c);
	assert_true(
		contains(f.kept[0], "\t(using TLSv1.2 with cipher ECDHE-ECDSA-AES256-GCM-SHA384 "
				    "(256/256 bits))\r\n"));
	assert_int_equal(f.kept[0]->flags, 0);
	stop(&f);
}

static void plaintext_behind_starttls_and_the_old_ehlo_are_forgotten(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;

	start(&f, offer);
	int fd = greet(&f); // EHLO client.example
	say(fd, "MAIL FROM:<x@y>\r\nSTARTTLS\r\nMAIL FROM:<evil@x>\r\nRCPT TO:<evil@y>\r\n");
	hear(fd, "250 ");
	hear(fd, "220 ");
	client_init(&c, fd, NULL);
	assert_int_equal(client_shake(&c), PEN_TLS_OK);
	client_ask(&c, "RCPT TO:<c@d>\r\n", "503 5.5.1 Error: need MAIL command");
	client_ask(&c, "STARTTLS\r\n", "554 5.5.1 Error: TLS already active");
	client_ask(&c, "MAIL FROM:<a@b>\r\n", "250 ");
	client_ask(&c, "RCPT TO:<c@d>\r\n", "250 ");
	client_ask(&c, "DATA\r\n", "354 ");
	client_ask(&c, "\r\n.\r\n", "250 ");
	client_fini(&c);
	assert_int_equal(f.nkept, 1);
	assert_true(pen_span_eq(pen_message_sender(f.kept[0]), PEN_SPAN_LIT("a@b")));
	assert_true(contains(f.kept[0], "Received: from unknown (unknown [127.0.0.1])"));
	assert_true(contains(f.kept[0], " with SMTP id "));
	stop(&f);
}

static void demand(struct pen_submission_config *cfg)
{
	offer(cfg);
	cfg->tls = PEN_SUBMISSION_TLS_ENCRYPT;
}

static void where_tls_is_required_plaintext_mail_is_refused(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;

	start(&f, demand);
	int fd = greet(&f);
	ask(fd, "MAIL FROM:<a@b>\r\n", "530 5.7.0 Must issue a STARTTLS command first");
	ask(fd, "STARTTLS\r\n", "220 ");
	client_init(&c, fd, NULL);
	assert_int_equal(client_shake(&c), PEN_TLS_OK);
	client_ask(&c, "MAIL FROM:<a@b>\r\n", "250 ");
	client_fini(&c);
	stop(&f);
}

static void handshakes_that_are_none_end_the_connection(void **state)
{
	(void)state;
	struct fixture f;
	static const char plain[] = "EHLO x\r\n";
	// A record of a ClientHello that promises 16 MiB, and 100 KiB of it.
	static uint8_t endless[100 * 1024];

	start(&f, offer);
	for (size_t at = 0; at + 16389 <= sizeof(endless); at += 16389) {
		memcpy(endless + at, "\x16\x03\x01\x40\x00", 5);
		if (at == 0)
			memcpy(endless + 5, "\x01\xff\xff\xff\x03\x03", 6);
	}
	for (int what = 0; what < 2; what++) {
		int fd = greet(&f);
		ask(fd, "STARTTLS\r\n", "220 ");
		if (what == 0)
			say(fd, plain);
		else
			send(fd, endless, sizeof(endless), MSG_NOSIGNAL);
		char c;
		ssize_t r; // an alert may come, then the end
		while ((r = recv(fd, &c, 1, 0)) == 1)
			;
		assert_true(r == 0 || errno == ECONNRESET);
		close(fd);
		assert_int_equal(pen_counter_read(&counters(&f)->tls_failed), what + 1);
	}
	int fd = greet(&f);
	ask(fd, "QUIT\r\n", "221 ");
	close(fd);
	stop(&f);
}

static void hasty(struct pen_submission_config *cfg)
{
	offer(cfg);
	cfg->timeout = 600000;
}

static void a_handshake_that_does_not_come_is_not_waited_for(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, hasty);
	int fd = greet(&f);
	ask(fd, "STARTTLS\r\n", "220 ");
	send(fd, "\x16\x03\x01", 3, MSG_NOSIGNAL); // the beginning of a record
	hear(fd, "");                              // and not a word in plaintext
	close(fd);
	assert_int_equal(pen_counter_read(&counters(&f)->tls_timeouts), 1);
	stop(&f);
}

static void patient(struct pen_submission_config *cfg)
{
	offer(cfg);
	cfg->hard_error_limit = 1000000;
}

#define X200                                                                                       \
	"01234567890123456789012345678901234567890123456789"                                       \
	"01234567890123456789012345678901234567890123456789"                                       \
	"01234567890123456789012345678901234567890123456789"                                       \
	"01234567890123456789012345678901234567890123456789"
#define QUESTIONS 60000

// Sends what the socket takes at once; false when it takes nothing.
static bool client_push_some(struct client *c)
{
	ssize_t w = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (w > 0)
		pen_buf_consume(&c->out, (size_t)w);
	return w > 0;
}

// Sends all, or as much as is taken until nothing moved for a while. POLLOUT is no
// help: it may be set where send refuses.
static bool client_push_patiently(struct client *c)
{
	pen_time_us moved = pen_clock_mono();

	while (c->out.n > 0 && pen_clock_mono() - moved < 300000) {
		if (client_push_some(c))
			moved = pen_clock_mono();
		else
			poll(NULL, 0, 5);
	}
	return c->out.n == 0;
}

static void a_client_that_does_not_read_is_not_read_from_and_loses_nothing(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	unsigned asked = 0, heard = 0;
	bool stalled = false;
	char line[400];
	size_t took;

	start(&f, patient);
	client_start(&c, &f, NULL);
	static const char question[] = "VRFY " X200 "\r\n";
	while (asked < QUESTIONS && !stalled) {
		assert_int_equal(pen_tls_write(c.tls, (const uint8_t *)question,
					 sizeof(question) - 1, &took),
			PEN_TLS_OK);
		asked++;
		stalled = !client_push_patiently(&c);
	}
	// 12 MB of replies are more than the sockets and the server hold.
	assert_true(stalled);
	uint64_t sent = pen_counter_read(&counters(&f)->bytes_out);
	while (heard < asked) {
		if (c.out.n > 0)
			client_push_some(&c);
		assert_int_equal(client_line(&c, line, sizeof(line)), PEN_TLS_OK);
		assert_memory_equal(line, "252 2.0.0 " X200, 210);
		heard++;
	}
	assert_int_equal(c.out.n, 0);
	assert_true(pen_counter_read(&counters(&f)->bytes_out) > sent);
	client_ask(&c, "QUIT\r\n", "221 ");
	client_fini(&c);
	stop(&f);
}

static void what_follows_the_handshake_at_once_is_not_counted_as_its_part(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	size_t took;

	start(&f, patient);
	int fd = greet(&f);
	ask(fd, "STARTTLS\r\n", "220 ");
	client_init(&c, fd, NULL);
	enum pen_tls_status st;
	while ((st = pen_tls_handshake(c.tls)) == PEN_TLS_WANT_INPUT) {
		client_push(&c);
		assert_true(client_pull(&c));
	}
	assert_int_equal(st, PEN_TLS_OK);
	// The client's last flight and 90 KiB in one go.
	for (int i = 0; i < 400; i++)
		assert_int_equal(
			pen_tls_write(c.tls, (const uint8_t *)"NOOP " X200 "\r\n", 207, &took),
			PEN_TLS_OK);
	assert_true(c.out.n > 90000);
	client_push(&c);
	for (int i = 0; i < 400; i++)
		client_hear(&c, "250 ");
	client_fini(&c);
	assert_int_equal(pen_counter_read(&counters(&f)->tls_failed), 0);
	stop(&f);
}

static void input_waits_for_a_pending_answer_inside_tls(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;

	start(&f, offer);
	f.at_once = false;
	client_start(&c, &f, NULL);
	client_say(&c, ENVELOPE);
	client_hear(&c, "250 ");
	client_hear(&c, "250 ");
	client_hear(&c, "354 ");
	client_say(&c, "Subject: 1\r\n\r\n.\r\n" ENVELOPE);
	wait_kept(&f, 1);
	pen_submission_done(f.s, f.token[0], 0, NULL);
	client_hear(&c, "250 2.0.0 Ok: queued as ");
	client_hear(&c, "250 ");
	client_hear(&c, "250 ");
	client_hear(&c, "354 ");
	client_say(&c, "Subject: 2\r\n\r\n.\r\n");
	wait_kept(&f, 2);
	client_fini(&c); // leaves before the answer
	pen_submission_done(f.s, f.token[1], 0, NULL);
	int fd = greet(&f);
	ask(fd, "QUIT\r\n", "221 ");
	close(fd);
	stop(&f);
}

struct start_case {
	enum pen_submission_tls tls;
	const char *cert, *key;
	const char *want[3]; // in the message; all NULL: it starts
};

static void a_bad_certificate_is_an_error_at_the_start(void **state)
{
	(void)state;
	static const struct start_case cases[] = {
		{PEN_SUBMISSION_TLS_MAY, NULL, NULL,
			{"smtpd_tls_cert_file = : ", "smtpd_tls_security_level = none"}},
		{PEN_SUBMISSION_TLS_ENCRYPT, CERT("server.pem"), "",
			{"smtpd_tls_key_file = : ", "smtpd_tls_security_level = none"}},
		{PEN_SUBMISSION_TLS_MAY, "/nowhere/x.pem", CERT("server.key"),
			{"smtpd_tls_cert_file = /nowhere/x.pem", "No such file"}},
		{PEN_SUBMISSION_TLS_MAY, CERT("server.pem"), CERT("rsa.key"),
			{"smtpd_tls_key_file = ", "rsa.key", "PEM chain"}},
		{PEN_SUBMISSION_TLS_MAY, CERT("server.key"), CERT("server.key"),
			{"smtpd_tls_cert_file = ", "server.key", "PEM chain"}},
		{PEN_SUBMISSION_TLS_NONE, "/nowhere/x.pem", NULL, {NULL}},
	};
	struct pen_submission_listen listen = {.addr = pen_addr_ip4(0x7f000001)};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pen_submission_config cfg = {.listen = &listen,
			.nlisten = 1,
			.hostname = "h",
			.tls = cases[i].tls,
			.tls_cert_file = cases[i].cert,
			.tls_key_file = cases[i].key};
		struct pen_submission *s = NULL;
		const char *what = "";
		int err = pen_submission_new(&cfg, &rig_ops, NULL, &s, &what);
		assert_int_equal(err, cases[i].want[0] != NULL ? -EINVAL : 0);
		for (int k = 0; k < 3 && cases[i].want[k] != NULL; k++) {
			if (strstr(what, cases[i].want[k]) == NULL)
				fail_msg("case %zu: %s", i, what);
		}
		if (err == 0)
			pen_submission_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ehlo_in_tls_lists_requiretls_and_starttls_no_more),
		cmocka_unit_test(a_message_with_requests_arrives_with_them),
		cmocka_unit_test(a_tls_1_2_client_is_served_too),
		cmocka_unit_test(plaintext_behind_starttls_and_the_old_ehlo_are_forgotten),
		cmocka_unit_test(where_tls_is_required_plaintext_mail_is_refused),
		cmocka_unit_test(handshakes_that_are_none_end_the_connection),
		cmocka_unit_test(a_handshake_that_does_not_come_is_not_waited_for),
		cmocka_unit_test(a_client_that_does_not_read_is_not_read_from_and_loses_nothing),
		cmocka_unit_test(what_follows_the_handshake_at_once_is_not_counted_as_its_part),
		cmocka_unit_test(input_waits_for_a_pending_answer_inside_tls),
		cmocka_unit_test(a_bad_certificate_is_an_error_at_the_start),
	};
	pen_tls_global_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
