// SPDX-License-Identifier: BSD-3-Clause

// AUTH in submission: real sockets, and an authentication server played by the test.

#include "submission_rig.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HELLO                                                                                      \
	"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\n"                          \
	"MECH\tCRAM-MD5\tdictionary\tactive\nMECH\tANONYMOUS\tanonymous\nSPID\t1\nCUID\t1\n"       \
	"COOKIE\tc\nDONE\n"

static struct pen_sasl_server server;
static int listener = -1, peer = -1; // the authentication server's
static struct fixture f;

static int begin(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	(void)state;
	memset(&server, 0, sizeof(server));
	snprintf(server.path, sizeof(server.path), "auth_test.%d", (int)getpid());
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", server.path);
	unlink(server.path);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return listen(listener, 5);
}

static int end(void **state)
{
	(void)state;
	if (peer >= 0)
		close(peer);
	if (listener >= 0)
		close(listener);
	peer = listener = -1;
	return unlink(server.path);
}

static const struct pen_submission_counters *counters(void)
{
	return pen_submission_counters(f.s, 0);
}

static void wait_count(const uint64_t *counter, uint64_t n)
{
	for (int i = 0; i < 20000 && __atomic_load_n(counter, __ATOMIC_RELAXED) < n; i++)
		poll(NULL, 0, 1);
	assert_int_equal(__atomic_load_n(counter, __ATOMIC_RELAXED), n);
}

// The lines that the gateway says to the authentication server begin like this.
static void peer_hears(const char *want)
{
	char line[16500];
	size_t n = 0;

	do {
		assert_true(n < sizeof(line) - 1);
		if (recv(peer, line + n, 1, 0) != 1)
			break;
	} while (line[n++] != '\n');
	line[n] = '\0';
	if (strncmp(line, want, strlen(want)) != 0)
		fail_msg("the server wanted \"%s\", got \"%s\"", want, line);
}

static void peer_accepts(unsigned times)
{
	struct timeval tv = {.tv_sec = 20};

	peer = accept(listener, NULL, NULL);
	assert_true(peer >= 0);
	setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	peer_hears("VERSION\t1\t");
	peer_hears("CPID\t");
	say(peer, HELLO);
	wait_count(&counters()->auth_connects, times);
}

static void outside(struct pen_submission_config *cfg)
{
	cfg->auth_server = &server;
	cfg->auth_options.refused = PEN_SASL_ANONYMOUS;
	cfg->nmynetworks = 0;
	cfg->auth_header = true;
}

static void inside(struct pen_submission_config *cfg)
{
	outside(cfg);
	cfg->nmynetworks = 1;
}

static void only_challenges(struct pen_submission_config *cfg)
{
	outside(cfg);
	cfg->auth_options.refused |= PEN_SASL_PLAINTEXT;
}

static int log_in(const char *user)
{
	char text[200];
	int fd = greet(&f);

	say(fd, "AUTH PLAIN AGEAYg==\r\n");
	peer_hears("AUTH\t");
	snprintf(text, sizeof(text), "OK\t%u\tuser=%s\n", (unsigned)f.nkept + 1, user);
	say(peer, text);
	hear(fd, "235 2.7.0 Authentication successful");
	return fd;
}

static void bye(int fd)
{
	close(fd);
	stop(&f);
}

static void who_has_authenticated_may_relay_from_anywhere(void **state)
{
	(void)state;
	start(&f, outside);
	peer_accepts(1);
	int fd = greet(&f);
	ask(fd, "MAIL FROM:<a@b>\r\n", "250 ");
	ask(fd, "RCPT TO:<c@d>\r\n", "554 5.7.1 <c@d>: Relay access denied");
	ask(fd, "RSET\r\n", "250 ");
	say(fd, "AUTH PLAIN AGEAYg==\r\n");
	peer_hears("AUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=127.0.0.1\trip=127.0.0.1\tlport=");
	say(peer, "OK\t1\tuser=alice(x)\n");
	hear(fd, "235 2.7.0 Authentication successful");
	ask(fd, "AUTH PLAIN AGEAYg==\r\n", "503 5.5.1 Error: already authenticated");
	ask(fd, "MAIL FROM:<a@b> AUTH=e+3Dmc2@b\r\nRCPT TO:<c@d>\r\nDATA\r\n", "250 ");
	hear(fd, "250 ");
	hear(fd, "354 ");
	ask(fd, "Subject: x\r\n\r\n.\r\n", "250 2.0.0 Ok: queued as ");
	assert_string_equal(f.user, "alice(x)");
	assert_true(contains(f.kept[0], "\r\n\t(Authenticated sender: alice?x?)\r\n"));
	assert_true(contains(f.kept[0], " with ESMTPA id "));
	assert_int_equal(counters()->auth_ok, 1);
	bye(fd);
}

static void a_wrong_password_is_no_right_to_relay(void **state)
{
	(void)state;
	start(&f, outside);
	peer_accepts(1);
	int fd = greet(&f);
	say(fd, "AUTH PLAIN AGEAYg==\r\n");
	peer_hears("AUTH\t1\tPLAIN\t");
	say(peer, "FAIL\t1\tuser=alice\n");
	hear(fd, "535 5.7.8 Error: authentication failed: (reason unavailable)");
	ask(fd, "MAIL FROM:<a@b>\r\n", "250 ");
	ask(fd, "RCPT TO:<c@d>\r\n", "554 5.7.1 ");
	assert_int_equal(counters()->auth_failed, 1);
	bye(fd);
}

static void login_asks_for_name_and_password(void **state)
{
	(void)state;
	start(&f, outside);
	peer_accepts(1);
	int fd = greet(&f);
	// Ahead of the challenges, with a command behind.
	say(fd, "AUTH LOGIN\r\ndXNlcg==\r\ncGFzcw==\r\nNOOP\r\n");
	peer_hears("AUTH\t1\tLOGIN\t");
	say(peer, "CONT\t1\tVXNlcm5hbWU6\n");
	hear(fd, "334 VXNlcm5hbWU6");
	peer_hears("CONT\t1\tdXNlcg==\n");
	say(peer, "CONT\t1\tUGFzc3dvcmQ6\n");
	hear(fd, "334 UGFzc3dvcmQ6");
	peer_hears("CONT\t1\tcGFzcw==\n");
	say(peer, "OK\t1\tuser=user\n");
	hear(fd, "235 ");
	hear(fd, "250 ");
	bye(fd);
}

static void a_client_that_gives_up_is_taken_back_from_the_server(void **state)
{
	(void)state;
	start(&f, outside);
	peer_accepts(1);
	int fd = greet(&f);
	say(fd, "AUTH LOGIN\r\n");
	peer_hears("AUTH\t1\t");
	say(peer, "CONT\t1\tQQ==\n");
	hear(fd, "334 QQ==");
	ask(fd, "*\r\n", "501 5.7.0 Authentication aborted");
	peer_hears("CANCEL\t1\n");
	say(fd, "AUTH LOGIN\r\n");
	peer_hears("AUTH\t2\t");
	close(fd); // and one that leaves
	peer_hears("CANCEL\t2\n");
	say(peer, "OK\t2\tuser=late\n");
	fd = greet(&f);
	bye(fd);
}

static void mechanisms_are_those_that_the_options_leave(void **state)
{
	(void)state;
	start(&f, only_challenges);
	peer_accepts(1);
	int fd = dial(&f);
	char text[600] = "";
	hear(fd, "220 ");
	say(fd, "EHLO c\r\n");
	for (size_t n = 0; strstr(text, "250 DSN") == NULL;)
		n += (size_t)recv(fd, text + n, sizeof(text) - 1 - n, 0);
	assert_non_null(strstr(text, "250-AUTH CRAM-MD5\r\n"));
	ask(fd, "AUTH PLAIN AGEAYg==\r\n", "504 5.5.4 Error: invalid authentication mechanism");
	bye(fd);
}

static void without_its_server_authentication_is_for_later_and_mail_goes_on(void **state)
{
	(void)state;
	start(&f, inside);
	peer_accepts(1);
	int fd = greet(&f), other = greet(&f);
	say(fd, "AUTH PLAIN AGEAYg==\r\n");
	peer_hears("AUTH\t1\t"); // and says nothing
	ask(other, "NOOP\r\n", "250 ");
	envelope(other);
	ask(other, "Subject: x\r\n\r\n.\r\n", "250 2.0.0 Ok");
	close(peer);
	hear(fd, "454 4.7.0 Temporary authentication failure: Connection lost to ");
	peer_accepts(2); // it comes back
	say(fd, "AUTH PLAIN AGEAYg==\r\n");
	peer_hears("AUTH\t2\t");
	say(peer, "OK\t2\tuser=a\n");
	hear(fd, "235 ");
	close(listener);
	close(peer);
	listener = peer = -1;
	wait_count(&counters()->auth_lost, 2);
	say(other, "EHLO c\r\n");
	hear(other, "250 ");
	ask(other, "AUTH LOGIN\r\n",
		"454 4.7.0 Temporary authentication failure: Connection lost to ");
	assert_int_equal(counters()->auth_unavailable, 2);
	close(other);
	bye(fd);
}

static void a_server_that_was_never_there_is_waited_for(void **state)
{
	(void)state;
	close(listener);
	listener = -1;
	start(&f, inside);
	int fd = greet(&f);
	ask(fd, "AUTH PLAIN AGEAYg==\r\n", "454 4.7.0 ");
	envelope(fd);
	ask(fd, "Subject: x\r\n\r\n.\r\n", "250 2.0.0 Ok");
	bye(fd);
}

static void garbage_of_the_server_ends_its_connection(void **state)
{
	(void)state;
	start(&f, outside);
	peer_accepts(1);
	int fd = greet(&f);
	say(fd, "AUTH PLAIN AGEAYg==\r\n");
	peer_hears("AUTH\t1\t");
	say(peer, "OK\tnonsense\n");
	hear(fd, "454 4.7.0 ");
	assert_int_equal(counters()->auth_protocol_errors, 1);
	bye(fd);
}

static const char *const two_users[] = {"alice acme", "bob acme/news", "eve unknown", NULL};

static void submit(int fd, const char *fields, const char *want)
{
	envelope(fd);
	say(fd, fields);
	ask(fd, "Subject: x\r\n\r\n.\r\n", want);
}

static void assert_class(const char *tenant, const char *campaign, const char *pool)
{
	const struct pen_mail_class *k = f.kept[f.nkept - 1]->klass;

	assert_true(pen_span_eq(k->tenant, pen_span_cstr(tenant)));
	assert_true(pen_span_eq(k->campaign, pen_span_cstr(campaign)));
	assert_true(pen_span_eq(k->pool, pen_span_cstr(pool)));
}

static void a_user_cannot_leave_its_tenant_by_a_field(void **state)
{
	(void)state;
	for (int where = 0; where < 2; where++) { // outside of mynetworks, and inside
		start(&f, where == 0 ? outside : inside);
		f.users = two_users;
		peer_accepts(1);
		int fd = log_in("alice");
		submit(fd, "X-Penstock-Tenant: globex\r\n",
			"554 5.7.1 X-Penstock-Tenant: globex: not the tenant of this user");
		assert_int_equal(counters()->tenant_refused, 1);
		submit(fd, "", "250 ");
		assert_class("acme", "", "");
		submit(fd, "X-Penstock-Tenant: acme\r\nX-Penstock-Campaign: xmas\r\n", "250 ");
		assert_class("acme", "xmas", "");
		// Pools and priorities are for clients in mynetworks.
		submit(fd, "X-Penstock-Pool: best\r\nX-Penstock-Priority: high\r\n", "250 ");
		assert_class("acme", "", where == 0 ? "" : "best");
		assert_int_equal(f.kept[2]->klass->priority,
			where == 0 ? PEN_PRIORITY_NORMAL : PEN_PRIORITY_HIGH);
		assert_false(contains(f.kept[2], "X-Penstock"));
		close(peer);
		bye(fd);
	}
}

static void a_users_tenant_goes_before_the_senders(void **state)
{
	static const char *const senders[] = {"a@b globex/sale", NULL};

	(void)state;
	start(&f, inside);
	f.users = two_users;
	f.senders = senders;
	peer_accepts(1);
	int fd = log_in("bob");
	submit(fd, "", "250 ");
	assert_class("acme", "news", "");
	close(fd);
	fd = log_in("carol"); // of no tenant: the sender's, as without AUTH
	submit(fd, "", "250 ");
	assert_class("globex", "sale", "");
	bye(fd);
}

static void a_user_without_a_tenant_outside_of_mynetworks_chooses_none(void **state)
{
	static const char *const senders[] = {"a@b globex", NULL};

	(void)state;
	start(&f, outside);
	f.users = two_users;
	f.senders = senders;
	peer_accepts(1);
	int fd = log_in("carol");
	submit(fd, "X-Penstock-Tenant: acme\r\nX-Penstock-Pool: best\r\n", "250 ");
	assert_class("", "", "");
	bye(fd);
}

static void when_nobody_knows_the_tenant_mail_waits_at_the_client(void **state)
{
	(void)state;
	start(&f, outside);
	f.users = two_users;
	peer_accepts(1);
	int fd = log_in("eve");
	ask(fd, "MAIL FROM:<a@b>\r\n", "451 4.3.0 ");
	bye(fd);
}

static void the_list_of_the_users_tenant_counts_at_rcpt(void **state)
{
	static const char *const list[] = {"acme c@d", NULL};

	(void)state;
	start(&f, outside);
	f.users = two_users;
	f.suppressed = list;
	peer_accepts(1);
	int fd = log_in("alice");
	ask(fd, "MAIL FROM:<a@b>\r\n", "250 ");
	ask(fd, "RCPT TO:<c@d>\r\n",
		"550 5.7.1 <c@d>: Recipient address suppressed (bounce: acme)");
	bye(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_has_authenticated_may_relay_from_anywhere),
		TEST(a_wrong_password_is_no_right_to_relay),
		TEST(login_asks_for_name_and_password),
		TEST(a_client_that_gives_up_is_taken_back_from_the_server),
		TEST(mechanisms_are_those_that_the_options_leave),
		TEST(without_its_server_authentication_is_for_later_and_mail_goes_on),
		TEST(a_server_that_was_never_there_is_waited_for),
		TEST(garbage_of_the_server_ends_its_connection),
		TEST(a_user_cannot_leave_its_tenant_by_a_field),
		TEST(a_users_tenant_goes_before_the_senders),
		TEST(a_user_without_a_tenant_outside_of_mynetworks_chooses_none),
		TEST(when_nobody_knows_the_tenant_mail_waits_at_the_client),
		TEST(the_list_of_the_users_tenant_counts_at_rcpt),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
