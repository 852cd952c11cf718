// SPDX-License-Identifier: BSD-3-Clause

// The authentication client against a peer that says what the test has it say, in the
// test's time.

#include "auth_client.h"

#include "pen_test.h"

#include <stdlib.h>

#define HELLO                                                                                      \
	"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\n"                          \
	"MECH\tSCRAM-SHA-1\tmutual-auth\nMECH\tANONYMOUS\tanonymous\nMECH\tEXTERNAL\n"             \
	"MECH\tDOVECOT-TOKEN\tprivate\nSPID\t7\nCUID\t1\nCOOKIE\tabc\nDONE\n"

static const struct pen_sasl_options any = {0};

struct user {
	struct auth_request r; // first
	unsigned answers;
	enum auth_verdict verdict;
	char text[300];
};

static struct auth_client client;
static pen_time_us now;
static const char *lost_because;

static int begin(void **state)
{
	(void)state;
	auth_client_init(&client);
	now = 1000;
	lost_because = NULL;
	return 0;
}

static int end(void **state)
{
	(void)state;
	auth_client_fini(&client);
	return 0;
}

// Each piece in memory of its own, so that ASan sees what reads beyond it.
static void peer_says_n(const char *text, size_t n, size_t step)
{
	for (size_t at = 0; at < n && lost_because == NULL; at += step) {
		size_t piece = n - at < step ? n - at : step;
		uint8_t *copy = malloc(piece);
		memcpy(copy, text + at, piece);
		lost_because = auth_client_feed(&client, copy, piece);
		free(copy);
	}
}

static void peer_says(const char *text)
{
	peer_says_n(text, strlen(text), SIZE_MAX);
}

#define assert_sent(want)                                                                          \
	do {                                                                                       \
		pen_buf_add(&client.out, "", 1);                                                   \
		assert_string_equal((const char *)client.out.p, want);                             \
		auth_client_sent(&client, client.out.n);                                           \
	} while (0)

static void connect_to_peer(void)
{
	auth_client_connected(&client, 42, now);
	assert_sent("VERSION\t1\t1\nCPID\t42\n");
	peer_says(HELLO);
	assert_null(lost_because);
	assert_int_equal(client.state, AUTH_READY);
}

static void answer(struct auth_request *r, const struct auth_answer *a)
{
	struct user *u = (struct user *)r;

	u->answers++;
	u->verdict = a->verdict;
	if (a->verdict == AUTH_CHALLENGE)
		snprintf(u->text, sizeof(u->text), "%.*s", PEN_SPAN_ARG(a->challenge));
	else
		snprintf(u->text, sizeof(u->text), "%s/%s", a->user, a->reason);
}

static bool start(struct user *u, const char *mechanism, const char *response)
{
	struct pen_span initial = pen_span_cstr(response);
	const struct auth_start s = {.mechanism = pen_span_cstr(mechanism),
		.response = response != NULL ? &initial : NULL,
		.client = pen_addr_ip4(0x7f000001),
		.server = pen_addr_ip4(0x7f000002),
		.client_port = 1000,
		.server_port = 25,
		.secured = response != NULL};

	*u = (struct user){.r.answer = answer};
	return auth_client_begin(&client, &u->r, &s, now);
}

static void the_handshake_brings_the_mechanisms_in_any_pieces(void **state)
{
	(void)state;
	char list[200];

	for (size_t step = 1; step < 40; step++) {
		end(NULL);
		begin(NULL);
		auth_client_connected(&client, 42, now);
		peer_says_n(HELLO, strlen(HELLO), step);
		assert_null(lost_because);
		assert_int_equal(client.state, AUTH_READY);
		auth_client_list(&client, any, list, sizeof(list));
		assert_string_equal(list, "PLAIN LOGIN SCRAM-SHA-1 ANONYMOUS");
	}
}

static void options_choose_among_the_mechanisms(void **state)
{
	(void)state;
	static const struct {
		struct pen_sasl_options o;
		const char *list;
	} cases[] = {{{PEN_SASL_ANONYMOUS, 0}, "PLAIN LOGIN SCRAM-SHA-1"},
		{{PEN_SASL_ANONYMOUS | PEN_SASL_PLAINTEXT, 0}, "SCRAM-SHA-1"},
		{{0, PEN_SASL_MUTUAL_AUTH}, "SCRAM-SHA-1"}, {{0, PEN_SASL_FORWARD_SECRECY}, ""}};
	char list[200];

	connect_to_peer();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		auth_client_list(&client, cases[i].o, list, sizeof(list));
		assert_string_equal(list, cases[i].list);
		assert_int_equal(
			auth_client_offers(&client, cases[i].o, PEN_SPAN_LIT("login")), i == 0);
	}
	assert_false(auth_client_offers(&client, any, PEN_SPAN_LIT("EXTERNAL")));
	assert_false(auth_client_offers(&client, any, PEN_SPAN_LIT("DOVECOT-TOKEN")));
	assert_false(auth_client_offers(&client, any, PEN_SPAN_LIT("GSSAPI")));
	assert_int_equal(
		auth_client_list(&client, any, list, 12), 11); // what does not fit is left out
	assert_string_equal(list, "PLAIN LOGIN");
}

static void a_peer_that_does_not_keep_to_the_protocol_is_left(void **state)
{
	(void)state;
	static const char *const bad[] = {"VERSION\t2\t0\nDONE\n", "VERSION\n", "VERSION\tx\t1\n",
		"DONE\n", "MECH\n", "MECH\t\n", "MECH\ta b\n", "MECH\tABCDEFGHIJKLMNOPQRSTU\n",
		HELLO "OK\n", HELLO "OK\tx\n", HELLO "FAIL\t99999999999\n", HELLO "CONT\t1\n",
		HELLO "CONT\t1\ta\rb\n", HELLO "CONT\t4294967296\tQQ==\n"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		end(NULL);
		begin(NULL);
		auth_client_connected(&client, 42, now);
		peer_says(bad[i]);
		if (lost_because == NULL)
			fail_msg("accepted: %s", bad[i]);
	}
	end(NULL);
	begin(NULL);
	auth_client_connected(&client, 42, now);
	for (int i = 0; i < 17; i++)
		peer_says_n((char[1024]){"COOKIE"}, 1024, SIZE_MAX);
	assert_string_equal(lost_because, "a line is too long");
}

static void right_and_wrong_passwords_get_their_answers(void **state)
{
	(void)state;
	struct user a, b;

	connect_to_peer();
	assert_true(start(&a, "PLAIN", "AGEAYg=="));
	assert_sent(
		"AUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=127.0.0.2\trip=127.0.0.1\tlport=25\t"
		"rport=1000\tsecured\tresp=AGEAYg==\n");
	assert_true(start(&b, "LOGIN", NULL));
	assert_sent(
		"AUTH\t2\tLOGIN\tservice=smtp\tnologin\tlip=127.0.0.2\trip=127.0.0.1\tlport=25\t"
		"rport=1000\n");
	peer_says("FAIL\t2\tuser=bob\treason=no such\001tthing\nOK\t1\tuser=alice\toriginal=x\n");
	assert_int_equal(a.answers, 1);
	assert_int_equal(a.verdict, AUTH_GRANTED);
	assert_string_equal(a.text, "alice/");
	assert_int_equal(b.verdict, AUTH_DENIED);
	assert_string_equal(b.text, "bob/no such?thing");
	assert_true(a.r.id == 0 && b.r.id == 0);
	peer_says("OK\t1\tuser=alice\n"); // twice
	assert_int_equal(a.answers, 1);
}

static void challenges_are_answered_until_the_end(void **state)
{
	(void)state;
	struct user u;

	connect_to_peer();
	start(&u, "LOGIN", NULL);
	auth_client_sent(&client, client.out.n);
	peer_says("CONT\t1\tVXNlcm5hbWU6\n");
	assert_int_equal(u.verdict, AUTH_CHALLENGE);
	assert_string_equal(u.text, "VXNlcm5hbWU6");
	peer_says("CONT\t1\tVXNlcm5hbWU6\n"); // out of turn
	assert_int_equal(u.answers, 1);
	assert_true(auth_client_continue(&client, &u.r, PEN_SPAN_LIT("YQ=="), now));
	assert_sent("CONT\t1\tYQ==\n");
	peer_says("CONT\t1\t\n");
	assert_string_equal(u.text, "");
	assert_true(auth_client_continue(&client, &u.r, PEN_SPAN_LIT(""), now));
	assert_sent("CONT\t1\t\n");
	peer_says("OK\t1\tuser=a\n");
	assert_int_equal(u.verdict, AUTH_GRANTED);
}

static void trouble_of_the_server_is_not_a_wrong_password(void **state)
{
	(void)state;
	static const struct {
		const char *line, *text;
	} cases[] = {
		{"FAIL\t1\tuser=a\ttemp\treason=the database is away\n", "a/the database is away"},
		{"FAIL\t1\tcode=temp_fail\n", "/"},
		{"OK\t1\n", "/the authentication server names no user"},
		{"OK\t1\tuser=\n", "/the authentication server names no user"},
		{"OK\t1\tuser=a\001nb\n", "/the authentication server names no user"}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct user u;
		end(NULL);
		begin(NULL);
		connect_to_peer();
		start(&u, "PLAIN", "");
		peer_says(cases[i].line);
		assert_int_equal(u.verdict, AUTH_UNAVAILABLE);
		assert_string_equal(u.text, cases[i].text);
	}
}

static void a_name_too_long_is_refused_and_a_reason_is_cut(void **state)
{
	(void)state;
	struct user u;
	char line[700], name[257];

	connect_to_peer();
	memset(name, 'x', 256);
	name[256] = '\0';
	for (int cut = 0; cut < 2; cut++) {
		name[256 - cut] = '\0';
		start(&u, "PLAIN", "");
		snprintf(line, sizeof(line), "OK\t%u\tuser=%s\n", u.r.id, name);
		peer_says(line);
		assert_int_equal(u.verdict, cut == 0 ? AUTH_UNAVAILABLE : AUTH_GRANTED);
	}
	start(&u, "PLAIN", "");
	snprintf(line, sizeof(line), "FAIL\t%u\treason=%s\n", u.r.id, name);
	peer_says(line);
	assert_int_equal(strlen(u.text), 1 + AUTH_REASON_MAX);
}

static void a_silent_server_is_given_up_and_its_late_answer_is_nobodys(void **state)
{
	(void)state;
	struct user a, b, c;

	connect_to_peer();
	start(&a, "PLAIN", "AAAA");
	start(&c, "LOGIN", NULL);
	peer_says("CONT\t2\tQQ==\n"); // c's client takes its time
	now += AUTH_TIME - 1;
	start(&b, "PLAIN", "AAAA");
	auth_client_sent(&client, client.out.n);
	assert_null(auth_client_tick(&client, now));
	assert_int_equal(a.answers, 0);
	assert_null(auth_client_tick(&client, ++now));
	assert_int_equal(a.verdict, AUTH_UNAVAILABLE);
	assert_string_equal(a.text, "/the authentication server does not answer");
	assert_true(b.answers == 0 && c.answers == 1);
	assert_sent("CANCEL\t1\n");
	peer_says("OK\t1\tuser=a\nOK\t3\tuser=b\n");
	assert_int_equal(a.answers, 1);
	assert_int_equal(b.verdict, AUTH_GRANTED);
	auth_client_cancel(&client, &c.r);
}

static void a_handshake_that_does_not_end_is_given_up(void **state)
{
	(void)state;
	auth_client_connected(&client, 42, now);
	peer_says("VERSION\t1\t2\n");
	assert_null(auth_client_tick(&client, now + AUTH_TIME - 1));
	assert_non_null(auth_client_tick(&client, now + AUTH_TIME));
}

static void whoever_waits_hears_of_a_lost_connection(void **state)
{
	(void)state;
	struct user a, b;
	char list[100];

	connect_to_peer();
	start(&a, "PLAIN", "AAAA");
	start(&b, "LOGIN", NULL);
	peer_says("CONT\t2\tQQ==\nOK\t"); // and half a line
	auth_client_lost(&client);
	assert_int_equal(a.verdict, AUTH_UNAVAILABLE);
	assert_int_equal(b.answers, 1); // its client is to speak, and hears then
	assert_false(auth_client_continue(&client, &b.r, PEN_SPAN_LIT("YQ=="), now));
	assert_false(start(&a, "PLAIN", "AAAA"));
	assert_int_equal(client.out.n, 0);
	auth_client_list(&client, any, list, sizeof(list)); // kept for those who come meanwhile
	assert_string_equal(list, "PLAIN LOGIN SCRAM-SHA-1 ANONYMOUS");
	connect_to_peer();
	assert_true(start(&a, "PLAIN", "AAAA"));
	peer_says("OK\t3\tuser=a\n");
	assert_int_equal(a.verdict, AUTH_GRANTED);
}

static void what_the_server_ends_by_itself_is_over_when_its_client_speaks(void **state)
{
	(void)state;
	struct user u;

	connect_to_peer();
	start(&u, "LOGIN", NULL);
	peer_says("CONT\t1\tQQ==\nFAIL\t1\treason=timeout\n");
	assert_int_equal(u.answers, 1);
	assert_false(auth_client_continue(&client, &u.r, PEN_SPAN_LIT("YQ=="), now));
}

static void a_server_that_does_not_read_gets_no_more_than_a_megabyte(void **state)
{
	(void)state;
	struct user *u = calloc(100000, sizeof(*u));
	char *response = calloc(1, 12289);
	uint32_t n = 0;

	assert_non_null(u);
	assert_non_null(response);
	memset(response, 'A', 12288);
	connect_to_peer();
	while (start(&u[n], "PLAIN", response))
		n++;
	assert_true(n > 80 && client.out.n <= AUTH_OUT_MAX && !client.out.failed);
	auth_client_lost(&client);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(u[i].verdict, AUTH_UNAVAILABLE);
	free(response);
	free(u);
}

static void responses_are_overwritten_when_they_are_sent(void **state)
{
	(void)state;
	struct user u;

	connect_to_peer();
	start(&u, "PLAIN", "c2VjcmV0");
	uint8_t *at = memmem(client.out.p, client.out.n, "c2VjcmV0", 8);
	assert_non_null(at);
	size_t n = client.out.n;
	auth_client_sent(&client, n - 9);
	assert_memory_equal(client.out.p, "c2VjcmV0\n", 9);
	assert_null(memmem(client.out.p + 9, n - 9, "resp", 4));
	auth_client_cancel(&client, &u.r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_handshake_brings_the_mechanisms_in_any_pieces),
		TEST(options_choose_among_the_mechanisms),
		TEST(a_peer_that_does_not_keep_to_the_protocol_is_left),
		TEST(right_and_wrong_passwords_get_their_answers),
		TEST(challenges_are_answered_until_the_end),
		TEST(trouble_of_the_server_is_not_a_wrong_password),
		TEST(a_name_too_long_is_refused_and_a_reason_is_cut),
		TEST(a_silent_server_is_given_up_and_its_late_answer_is_nobodys),
		TEST(a_handshake_that_does_not_end_is_given_up),
		TEST(whoever_waits_hears_of_a_lost_connection),
		TEST(what_the_server_ends_by_itself_is_over_when_its_client_speaks),
		TEST(a_server_that_does_not_read_gets_no_more_than_a_megabyte),
		TEST(responses_are_overwritten_when_they_are_sent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
