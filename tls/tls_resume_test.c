// SPDX-License-Identifier: BSD-3-Clause

// Sessions: that they are resumed, for whom, and for how long.

#include "pen_test.h"

#include "tls_client.h"
#include "tls_pair.h"

static int64_t now = 1000000;

static int64_t test_clock(void)
{
	return now;
}

static struct pen_tls_ctx *server, *no_tickets;
static struct pen_tls_name mx_test = {.name = (char *)(uintptr_t) "mx.test"};

static int setup(void **state)
{
	struct pen_tls_ctx_config cfg = {.server = true,
		.cert_file = CERT("server.pem"),
		.key_file = CERT("server.key"),
		.session_tickets = true};

	(void)state;
	assert_int_equal(pen_tls_global_init(), 0);
	server = pair_ctx(&cfg);
	no_tickets = pair_server_ctx(CERT("server.pem"), CERT("server.key"));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pen_tls_ctx_free(server);
	pen_tls_ctx_free(no_tickets);
	return 0;
}

static struct pen_tls_profile *profile_of(
	enum pen_tls_profile_trust trust, uint32_t exclude, uint32_t sessions)
{
	struct pen_tls_profile *p = pair_profile(&(struct pen_tls_profile_config){.trust = trust,
		.exclude_protocols = exclude,
		.ca_file = CERT("ca.pem"),
		.verify_depth = 9,
		.sessions = sessions,
		.session_lifetime = 3600,
		.workers = 2});

	p->clock = test_clock;
	return p;
}

static struct pen_tls_policy secure_policy(struct pen_tls_profile *p, uint64_t identity)
{
	return (struct pen_tls_policy){.level = PEN_TLS_SECURE,
		.name = &mx_test,
		.nnames = 1,
		.profile = p,
		.identity = identity};
}

// One connection with an exchange of data, in which TLS 1.3 delivers its ticket.
static struct pen_tls_peer talk(
	const struct pen_tls_policy *policy, uint64_t key, struct pen_tls_ctx *with)
{
	struct pen_tls_client_config cfg = {.policy = policy, .session_key = {key, ~key}};
	struct pen_buf seen = PEN_BUF_INIT;
	struct pen_tls_peer peer;
	enum pen_tls_status c, s;
	struct tls_pair p;
	size_t took;

	pair_init_policy(&p, &cfg, with);
	pair_handshake(&p, &c, &s);
	if (c != PEN_TLS_OK || s != PEN_TLS_OK)
		print_message(
			"%s | %s\n", pen_tls_error(p.client.tls), pen_tls_error(p.server.tls));
	assert_int_equal(c, PEN_TLS_OK);
	assert_int_equal(s, PEN_TLS_OK);
	assert_int_equal(pen_tls_write(p.server.tls, (const uint8_t *)"250 ok", 6, &took), 0);
	assert_int_equal(pair_read_all(&p, &p.client, &seen), PEN_TLS_WANT_INPUT);
	assert_int_equal(seen.n, 6);
	assert_int_equal(pen_tls_write(p.client.tls, (const uint8_t *)"QUIT", 4, &took), 0);
	assert_int_equal(pair_read_all(&p, &p.server, &seen), PEN_TLS_WANT_INPUT);
	assert_int_equal(seen.n, 10);
	pen_tls_peer_result(p.client.tls, &peer);
	pair_fini(&p);
	pen_buf_fini(&seen);
	return peer;
}

static const uint32_t versions[] = {PEN_TLS_NO_TLS12, PEN_TLS_NO_TLS13};

static void a_second_connection_resumes_with_the_verdict_of_the_first(void **state)
{
	(void)state;
	for (int v = 0; v < 2; v++) {
		struct pen_tls_profile *p = profile_of(PEN_TLS_PROFILE_PKIX, versions[v], 10);
		struct pen_tls_policy policy = secure_policy(p, 7);
		struct pen_tls_peer first = talk(&policy, 1, server);

		assert_true(first.trusted && first.matched && !first.resumed);
		for (int i = 0; i < 5; i++) {
			struct pen_tls_peer next = talk(&policy, 1, server);

			assert_true(next.resumed && next.certificate);
			assert_true(next.trusted && next.matched);
			assert_int_equal(next.failure, PEN_TLSRPT_NONE);
		}
		pen_tls_profile_free(p);
	}
}

static void a_session_is_never_offered_under_another_policy_key_or_worker(void **state)
{
	(void)state;
	for (int v = 0; v < 2; v++) {
		struct pen_tls_profile *p = profile_of(PEN_TLS_PROFILE_ANY, versions[v], 10);
		struct pen_tls_policy one = {.level = PEN_TLS_MAY, .profile = p, .identity = 1};
		struct pen_tls_policy two = {.level = PEN_TLS_MAY, .profile = p, .identity = 2};

		assert_false(talk(&one, 1, server).resumed);
		assert_false(talk(&two, 1, server).resumed);
		assert_false(talk(&one, 2, server).resumed);
		assert_true(talk(&one, 1, server).resumed);
		assert_int_equal(tls_sessions_count(p->worker[0].sessions), 3);
		assert_int_equal(tls_sessions_count(p->worker[1].sessions), 0);
		pen_tls_profile_free(p);
	}
}

static void a_session_ends_an_hour_after_its_certificate_was_seen(void **state)
{
	(void)state;
	for (int v = 0; v < 2; v++) {
		struct pen_tls_profile *p = profile_of(PEN_TLS_PROFILE_PKIX, versions[v], 10);
		struct pen_tls_policy policy = secure_policy(p, 7);

		assert_false(talk(&policy, 1, server).resumed);
		now += 1800;
		assert_true(talk(&policy, 1, server).resumed); // its ticket is renewed,
		now += 1799;
		assert_true(talk(&policy, 1, server).resumed); // but not its age
		now += 1;
		assert_false(talk(&policy, 1, server).resumed);
		assert_true(talk(&policy, 1, server).resumed);
		pen_tls_profile_free(p);
	}
}

static void what_did_not_match_is_not_stored(void **state)
{
	struct pen_tls_profile *p = profile_of(PEN_TLS_PROFILE_DANE, 0, 10);
	static const uint8_t no[32];
	struct pen_tlsa record = {3, 1, 1, 32, no};
	struct pen_tls_policy policy = {
		.level = PEN_TLS_DANE, .tlsa = &record, .ntlsa = 1, .profile = p, .identity = 3};

	(void)state;
	assert_false(talk(&policy, 1, server).matched);
	assert_int_equal(tls_sessions_count(p->worker[0].sessions), 0);
	record.n = 31; // unusable: encrypted only
	assert_true(talk(&policy, 1, server).tlsa_unusable);
	assert_int_equal(tls_sessions_count(p->worker[0].sessions), 0);
	pen_tls_profile_free(p);
}

static void a_stored_result_that_no_longer_satisfies_is_dropped(void **state)
{
	struct pen_tls_profile *p = profile_of(PEN_TLS_PROFILE_PKIX, 0, 10);
	struct pen_tls_policy policy = secure_policy(p, 7);
	uint64_t dropped = tls_counters(0)->sessions_dropped;
	struct tls_session_key key = {{7, 1, ~(uint64_t)1}};

	(void)state;
	talk(&policy, 1, server);
	const struct tls_session *s = tls_sessions_find(p->worker[0].sessions, &key, now);
	assert_non_null(s);
	((struct tls_session *)(uintptr_t)s)->matched = false;
	struct pen_tls_peer peer = talk(&policy, 1, server);
	assert_false(peer.resumed);
	assert_true(peer.matched);
	assert_int_equal(tls_counters(0)->sessions_dropped, dropped + 1);
	pen_tls_profile_free(p);
}

static void a_server_that_lost_its_keys_gets_a_full_handshake(void **state)
{
	(void)state;
	for (int v = 0; v < 2; v++) {
		struct pen_tls_profile *p = profile_of(PEN_TLS_PROFILE_PKIX, versions[v], 10);
		struct pen_tls_policy policy = secure_policy(p, 7);
		struct pen_tls_ctx *other = pair_ctx(&(struct pen_tls_ctx_config){.server = true,
			.cert_file = CERT("server.pem"),
			.key_file = CERT("server.key"),
			.session_tickets = true});

		assert_false(talk(&policy, 1, server).resumed);
		struct pen_tls_peer peer = talk(&policy, 1, other);
		assert_false(peer.resumed);
		assert_true(peer.matched && peer.trusted);
		// Under TLS 1.2 this server gives no ticket to whom it refused one.
		assert_int_equal(talk(&policy, 1, other).resumed, v == 0);
		pen_tls_ctx_free(other);
		pen_tls_profile_free(p);
	}
}

static void a_session_that_breaks_a_handshake_is_not_offered_again(void **state)
{
	struct pen_tls_profile *p = profile_of(PEN_TLS_PROFILE_PKIX, PEN_TLS_NO_TLS13, 10);
	struct pen_tls_policy policy = secure_policy(p, 7);
	struct pen_tls_client_config cfg = {.policy = &policy, .session_key = {1, ~(uint64_t)1}};
	struct tls_pair pair;

	(void)state;
	talk(&policy, 1, server);
	assert_int_equal(tls_sessions_count(p->worker[0].sessions), 1);
	pair_init_policy(&pair, &cfg, server);
	assert_int_equal(pen_tls_handshake(pair.client.tls), PEN_TLS_WANT_INPUT);
	pen_tls_feed(pair.client.tls, (const uint8_t *)"no TLS at all", 13);
	assert_int_equal(pen_tls_handshake(pair.client.tls), PEN_TLS_FAILED);
	struct pen_tls_peer peer;
	pen_tls_peer_result(pair.client.tls, &peer);
	assert_false(peer.certificate || peer.matched || peer.trusted || peer.resumed);
	assert_int_equal(tls_sessions_count(p->worker[0].sessions), 0);
	pair_fini(&pair);
	assert_false(talk(&policy, 1, server).resumed);
	pen_tls_profile_free(p);
}

static void a_certificate_that_changed_is_looked_at(void **state)
{
	struct pen_tls_profile *p = profile_of(PEN_TLS_PROFILE_PKIX, 0, 10);
	struct pen_tls_policy policy = secure_policy(p, 7);
	struct pen_tls_ctx *wrong = pair_ctx(&(struct pen_tls_ctx_config){.server = true,
		.cert_file = CERT("wrong-name.pem"),
		.key_file = CERT("wrong-name.key"),
		.session_tickets = true});

	(void)state;
	assert_true(talk(&policy, 1, server).matched);
	struct pen_tls_peer peer = talk(&policy, 1, wrong);
	assert_false(peer.resumed || peer.matched);
	assert_int_equal(peer.failure, PEN_TLSRPT_CERTIFICATE_HOST_MISMATCH);
	pen_tls_ctx_free(wrong);
	pen_tls_profile_free(p);
}

static void without_tickets_or_sessions_nothing_is_resumed(void **state)
{
	struct pen_tls_profile *with = profile_of(PEN_TLS_PROFILE_ANY, 0, 10);
	struct pen_tls_profile *without = profile_of(PEN_TLS_PROFILE_ANY, 0, 0);
	struct pen_tls_policy a = {.level = PEN_TLS_MAY, .profile = with};
	struct pen_tls_policy b = {.level = PEN_TLS_MAY, .profile = without};

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_false(talk(&a, 1, no_tickets).resumed);
		assert_false(talk(&b, 1, server).resumed);
	}
	pen_tls_profile_free(with);
	pen_tls_profile_free(without);
}

static void parallel_connections_each_have_their_own_session(void **state)
{
	struct pen_tls_profile *p = profile_of(PEN_TLS_PROFILE_PKIX, 0, 10);
	struct pen_tls_policy policy = secure_policy(p, 7);
	struct pen_tls_client_config cfg = {.policy = &policy, .session_key = {1, ~(uint64_t)1}};
	struct tls_pair pair[8];

	(void)state;
	talk(&policy, 1, server);
	for (int i = 0; i < 8; i++) {
		pair_init_policy(&pair[i], &cfg, server);
		pen_tls_handshake(pair[i].client.tls);
	}
	for (int i = 8; i-- > 0;) {
		struct pen_tls_peer peer;
		enum pen_tls_status c, s;

		pair_handshake(&pair[i], &c, &s);
		assert_int_equal(c, PEN_TLS_OK);
		pen_tls_peer_result(pair[i].client.tls, &peer);
		assert_true(peer.resumed);
		pair_fini(&pair[i]);
	}
	pen_tls_profile_free(p);
}

static void more_than_95_of_100_connections_to_repeated_sites_resume(void **state)
{
	struct pen_tls_profile *p = profile_of(PEN_TLS_PROFILE_PKIX, 0, 100);
	struct pen_tls_policy policy = secure_policy(p, 7);
	unsigned resumed = 0, n = 0;

	(void)state;
	for (int round = 0; round < 40; round++) {
		for (uint64_t site = 0; site < 5; site++, n++)
			resumed += talk(&policy, site, server).resumed;
	}
	print_message("%u of %u resumed\n", resumed, n);
	assert_true(resumed * 100 > n * 95);
	pen_tls_profile_free(p);
}

// ---- the store by itself

static bool put(struct tls_sessions *s, uint64_t key)
{
	uint8_t bytes[300];

	memset(bytes, (int)key, sizeof(bytes));
	return tls_sessions_put(s, &(struct tls_session_key){{1, key, 0}}, now,
		pen_span(bytes, sizeof(bytes)), &(struct pen_tls_peer){.matched = true});
}

static const struct tls_session *find(struct tls_sessions *s, uint64_t key)
{
	return tls_sessions_find(s, &(struct tls_session_key){{1, key, 0}}, now);
}

static void a_full_store_keeps_what_is_asked_for(void **state)
{
	struct tls_sessions *s = tls_sessions_new(100, 3600);

	(void)state;
	for (uint64_t i = 0; i < 10000; i++) {
		assert_true(put(s, i));
		assert_non_null(find(s, i % 10 == 0 ? i : 3 < i ? 3 : i));
		assert_true(tls_sessions_count(s) <= 100);
	}
	const struct tls_session *e = find(s, 3);
	assert_non_null(e);
	assert_int_equal(e->bytes[299], 3);
	assert_int_equal(tls_sessions_count(s), 100);
	assert_int_equal(tls_sessions_dropped(s), 9900);
	assert_null(find(s, 500));
	tls_sessions_free(s);
}

static void a_store_finds_replaces_and_drops(void **state)
{
	struct tls_sessions *s = tls_sessions_new(1000, 3600);
	static uint8_t big[TLS_SESSION_MAX + 1];

	(void)state;
	for (uint64_t i = 0; i < 900; i++)
		assert_true(put(s, i));
	for (uint64_t i = 0; i < 900; i += 2)
		assert_true(tls_sessions_drop(s, &(struct tls_session_key){{1, i, 0}}));
	assert_false(tls_sessions_drop(s, &(struct tls_session_key){{1, 0, 0}}));
	for (uint64_t i = 0; i < 900; i++)
		assert_int_equal(find(s, i) != NULL, i % 2);
	assert_true(put(s, 1));
	assert_int_equal(tls_sessions_count(s), 450);
	assert_false(tls_sessions_put(s, &(struct tls_session_key){{1, 1, 0}}, now,
		pen_span(big, sizeof(big)), &(struct pen_tls_peer){0}));
	tls_sessions_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_second_connection_resumes_with_the_verdict_of_the_first),
		cmocka_unit_test(a_session_is_never_offered_under_another_policy_key_or_worker),
		cmocka_unit_test(a_session_ends_an_hour_after_its_certificate_was_seen),
		cmocka_unit_test(what_did_not_match_is_not_stored),
		cmocka_unit_test(a_stored_result_that_no_longer_satisfies_is_dropped),
		cmocka_unit_test(a_server_that_lost_its_keys_gets_a_full_handshake),
		cmocka_unit_test(a_session_that_breaks_a_handshake_is_not_offered_again),
		cmocka_unit_test(a_certificate_that_changed_is_looked_at),
		cmocka_unit_test(without_tickets_or_sessions_nothing_is_resumed),
		cmocka_unit_test(parallel_connections_each_have_their_own_session),
		cmocka_unit_test(more_than_95_of_100_connections_to_repeated_sites_resume),
		cmocka_unit_test(a_full_store_keeps_what_is_asked_for),
		cmocka_unit_test(a_store_finds_replaces_and_drops),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
