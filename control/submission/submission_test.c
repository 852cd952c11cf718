// SPDX-License-Identifier: BSD-3-Clause

// Submission over loopback sockets in one process. The queue is played by the
// test: it collects what intake gives and answers when it likes.

#include "pen_submission.h"
#include "pen_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define KEPT_MAX 64

struct fixture {
	struct pen_submission *s;
	uint16_t port;
	pthread_mutex_t lock;
	pthread_cond_t came;
	struct pen_message *kept[KEPT_MAX];
	uint64_t token[KEPT_MAX];
	unsigned nkept;
	bool at_once; // intake answers itself
	int intake_err, admission_err;
	uint64_t id;
	enum pen_submission_action action;
	const char *text, *headers;
};

static uint64_t next_id(void *ctx)
{
	struct fixture *f = ctx;

	return __atomic_add_fetch(&f->id, 1, __ATOMIC_RELAXED);
}

static int admission(void *ctx)
{
	return ((struct fixture *)ctx)->admission_err;
}

static void filter(void *ctx, uint32_t loop, const struct pen_submission_mail *mail,
	struct pen_span headers, struct pen_submission_verdict *v)
{
	struct fixture *f = ctx;

	assert_int_equal(loop, 0);
	assert_true(mail->nrcpt >= 1);
	assert_true(headers.n > 10 && memcmp(headers.p, "Received: ", 10) == 0);
	v->action = f->action;
	if (f->text != NULL)
		snprintf(v->text, sizeof(v->text), "%s", f->text);
	if (f->headers != NULL) {
		pen_buf_add_cstr(&v->headers, f->headers);
		v->replaced = true;
	}
}

static int intake(void *ctx, struct pen_message *m, uint64_t token)
{
	struct fixture *f = ctx;

	if (f->intake_err != 0)
		return f->intake_err;
	pthread_mutex_lock(&f->lock);
	assert_true(f->nkept < KEPT_MAX);
	f->kept[f->nkept] = m;
	f->token[f->nkept++] = token;
	pthread_cond_broadcast(&f->came);
	pthread_mutex_unlock(&f->lock);
	if (f->at_once)
		pen_submission_done(f->s, token, 0, NULL);
	return 0;
}

static void start(struct fixture *f, void (*change)(struct pen_submission_config *))
{
	const struct pen_submission_ops ops = {next_id, admission, filter, intake};
	struct pen_submission_listen listen = {.addr = pen_addr_ip4(INADDR_LOOPBACK)};
	struct pen_cidr net;
	const char *what;

	memset(f, 0, sizeof(*f));
	f->at_once = true;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->came, NULL);
	assert_int_equal(pen_cidr_parse(&net, PEN_SPAN_LIT("127.0.0.0/8"), true), 0);
	struct pen_submission_config cfg = {
		.listen = &listen,
		.nlisten = 1,
		.mynetworks = &net,
		.nmynetworks = 1,
		.hostname = "gw.example",
		.banner = "ESMTP Penstock",
		.myorigin = "origin.example",
		.message_size_limit = 20000,
		.recipient_limit = 3,
		.soft_error_limit = 10,
		.hard_error_limit = 20,
		.hopcount_limit = 5,
		.timeout = 20 * PEN_US_PER_S,
		.max_connections = 10,
		.max_in_flight = 1 << 20,
	};
	if (change != NULL)
		change(&cfg);
	assert_int_equal(pen_submission_new(&cfg, &ops, f, &f->s, &what), 0);
	assert_int_equal(pen_submission_start(f->s), 0);
	f->port = pen_submission_port(f->s, 0);
}

static void stop(struct fixture *f)
{
	pen_submission_stop(f->s, 0);
	assert_int_equal(pen_submission_stats(f->s).connections, 0);
	pen_submission_free(f->s);
	for (unsigned i = 0; i < f->nkept; i++)
		pen_message_free(f->kept[i]);
}

static int dial(const struct fixture *f)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
		.sin_port = htons(f->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval tv = {.tv_sec = 20};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	return fd;
}

static void say(int fd, const char *text)
{
	size_t n = strlen(text);

	assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), n);
}

// Reads one reply (all its lines) and compares the beginning of its last line.
static void hear(int fd, const char *want)
{
	char line[2048];
	size_t n;

	do {
		n = 0;
		do {
			assert_true(n < sizeof(line) - 1);
			if (recv(fd, line + n, 1, 0) != 1)
				break;
		} while (line[n++] != '\n');
		line[n] = '\0';
	} while (n > 3 && line[3] == '-');
	if (strncmp(line, want, strlen(want)) != 0 || (*want == '\0' && n > 0))
		fail_msg("wanted \"%s\", got \"%s\"", want, line);
}

static void ask(int fd, const char *question, const char *want)
{
	say(fd, question);
	hear(fd, want);
}

static int greet(const struct fixture *f)
{
	int fd = dial(f);

	hear(fd, "220 gw.example ESMTP Penstock");
	ask(fd, "EHLO client.example\r\n", "250 ");
	return fd;
}

#define ENVELOPE "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"

static void envelope(int fd)
{
	say(fd, ENVELOPE);
	hear(fd, "250 ");
	hear(fd, "250 ");
	hear(fd, "354 ");
}

static void wait_kept(struct fixture *f, unsigned n)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&f->lock);
	while (f->nkept < n && err == 0)
		err = pthread_cond_timedwait(&f->came, &f->lock, &until);
	assert_int_equal(f->nkept, n);
	pthread_mutex_unlock(&f->lock);
}

static bool contains(const struct pen_message *m, const char *text)
{
	return memmem(m->content, m->content_len, text, strlen(text)) != NULL;
}

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
	assert_true(pen_span_eq(m->sender, PEN_SPAN_LIT("a@b")));
	assert_int_equal(m->nrcpt, 1);
	assert_true(pen_span_eq(m->rcpt[0].addr, PEN_SPAN_LIT("c@d")));
	assert_int_equal(m->flags, PEN_MESSAGE_8BIT);
	assert_int_equal(m->id, 1);
	char want[400];
	int n = snprintf(want, sizeof(want),
		"Received: from client.example (unknown [127.0.0.1])\r\n"
		"\tby gw.example (Penstock) with ESMTP id %s\r\n\tfor <c@d>; ",
		m->queue_id);
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
	assert_int_equal(f.kept[0]->sender.n, 0);
	assert_true(
		pen_span_eq(f.kept[0]->rcpt[1].addr, PEN_SPAN_LIT("postmaster@origin.example")));
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
	const struct pen_submission_ops ops = {.next_id = next_id, .intake = intake};
	struct pen_submission *second;
	const char *what;

	start(&f, NULL);
	struct pen_submission_listen listen = {pen_addr_ip4(INADDR_LOOPBACK), f.port};
	struct pen_submission_config cfg = {.listen = &listen, .nlisten = 1, .hostname = "h"};
	assert_int_equal(pen_submission_new(&cfg, &ops, &f, &second, &what), -EADDRINUSE);
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
		cmocka_unit_test(silent_clients_and_too_many_of_them_are_sent_away),
		cmocka_unit_test(many_errors_end_the_session),
		cmocka_unit_test(stopping_waits_for_what_was_handed_over),
		cmocka_unit_test(two_loops_share_a_port),
		cmocka_unit_test(an_address_in_use_is_a_clear_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
