// SPDX-License-Identifier: BSD-3-Clause

// The adapter between sessions and TLS streams, and the profiles of the daemon.

#include "pen_test.h"

#include "pen_wire_tls.h"
#include "pen_wire_tls_profiles.h"

#include <errno.h>
#include <pthread.h>

static const struct pen_tls_ctx_config client_config = {.trust = PEN_TLS_TRUST_NONE};
static struct pen_session_tls tls;
static void *thread;

static int setup(void **state)
{
	char err[200] = "";

	(void)state;
	assert_int_equal(pen_wire_tls_init(&tls, &client_config), 0);
	thread = tls.thread_new(tls.ctx, 1, err, sizeof(err));
	assert_string_equal(err, "");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tls.thread_free(thread);
	return 0;
}

static int nowhere(void *ctx, const uint8_t *p, size_t n)
{
	(void)ctx;
	(void)p;
	(void)n;
	return 0;
}

static struct pen_wire_tls_profiles *registry(void)
{
	return pen_wire_tls_profiles_new(&(struct pen_wire_tls_globals){.workers = 2,
		.ca_file = PEN_TEST_CERTS "/ca.pem",
		.ca_path = "",
		.cert_file = "",
		.key_file = "",
		.verify_depth = 9,
		.sessions = 10,
		.session_lifetime = 60});
}

static void equal_specs_are_one_profile_and_others_are_not(void **state)
{
	struct pen_wire_tls_profiles *p = registry();
	char file[] = PEN_TEST_CERTS "/other-ca.pem";
	struct pen_tls_profile_spec specs[] = {
		{.trust = PEN_TLS_PROFILE_ANY},
		{.trust = PEN_TLS_PROFILE_PKIX},
		{.trust = PEN_TLS_PROFILE_DANE},
		{.trust = PEN_TLS_PROFILE_ANY, .exclude_protocols = PEN_TLS_NO_TLS12},
		{.trust = PEN_TLS_PROFILE_ANY, .ciphers = "TLS13-AES128-GCM-SHA256"},
		{.trust = PEN_TLS_PROFILE_PKIX, .anchor_file = file},
	};
	const void *made[6];
	char err[200];

	(void)state;
	for (int i = 0; i < 6; i++) {
		made[i] = pen_wire_tls_profile(p, &specs[i], err, sizeof(err));
		assert_non_null(made[i]);
		for (int k = 0; k < i; k++)
			assert_ptr_not_equal(made[i], made[k]);
	}
	struct pen_tls_profile_spec copy = specs[5];
	copy.anchor_file = PEN_TEST_CERTS "/other-ca.pem";
	assert_ptr_equal(pen_wire_tls_profile(p, &copy, err, sizeof(err)), made[5]);
	assert_int_equal(pen_wire_tls_profiles_count(p), 6);
	pen_wire_tls_profiles_free(p);
}

static void a_spec_without_ciphers_is_a_set_up_failure(void **state)
{
	struct pen_wire_tls_profiles *p = registry();
	char err[200] = "";

	(void)state;
	assert_null(pen_wire_tls_profile(
		p, &(struct pen_tls_profile_spec){.ciphers = ""}, err, sizeof(err)));
	assert_true(err[0] != '\0');
	assert_int_equal(pen_wire_tls_profiles_count(p), 0);
	pen_wire_tls_profiles_free(p);
}

static void there_are_at_most_256_profiles(void **state)
{
	struct pen_wire_tls_profiles *p = registry();
	char err[200] = "", list[PEN_WIRE_PROFILES_MAX + 64];

	(void)state;
	for (int i = 0; i <= PEN_WIRE_PROFILES_MAX; i++) {
		// Different lists with the same meaning: a suite, then colons.
		int n = snprintf(list, sizeof(list), "TLS13-AES128-GCM-SHA256");

		memset(list + n, ':', (size_t)i);
		list[n + i] = '\0';
		const void *made = pen_wire_tls_profile(
			p, &(struct pen_tls_profile_spec){.ciphers = list}, err, sizeof(err));
		assert_int_equal(made != NULL, i < PEN_WIRE_PROFILES_MAX);
	}
	assert_non_null(strstr(err, "256"));
	pen_wire_tls_profiles_free(p);
}

struct race {
	struct pen_wire_tls_profiles *p;
	const void *made[3];
};

static void *racer(void *arg)
{
	struct race *r = arg;
	char err[200];

	for (int i = 0; i < 3; i++)
		r->made[i] = pen_wire_tls_profile(r->p,
			&(struct pen_tls_profile_spec){.trust = (uint8_t)i}, err, sizeof(err));
	return NULL;
}

static void threads_that_ask_for_the_same_get_the_same(void **state)
{
	struct pen_wire_tls_profiles *p = registry();
	struct race r[4];
	pthread_t t[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		r[i].p = p;
		assert_int_equal(pthread_create(&t[i], NULL, racer, &r[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	for (int i = 1; i < 4; i++)
		assert_memory_equal(r[i].made, r[0].made, sizeof(r[0].made));
	assert_int_equal(pen_wire_tls_profiles_count(p), 3);
	pen_wire_tls_profiles_free(p);
}

static void a_policy_that_wants_a_certificate_gets_no_stream_without_a_profile(void **state)
{
	(void)state;
	for (int level = PEN_TLS_MAY; level < PEN_TLS_LEVELS; level++) {
		struct pen_tls_policy policy = {.level = (enum pen_tls_level)level};
		struct pen_lease_host host = {.name = "mx.test", .tls = &policy};
		void *stream = tls.stream_new(thread, &host, NULL, "helo.test", nowhere, NULL);

		assert_int_equal(stream != NULL, level <= PEN_TLS_ENCRYPT);
		if (stream != NULL)
			tls.stream_free(stream);
	}
}

static void a_stream_comes_from_the_profile_of_the_host(void **state)
{
	struct pen_wire_tls_profiles *p = registry();
	char err[200];
	struct pen_tls_policy policy = {.level = PEN_TLS_SECURE,
		.profile = pen_wire_tls_profile(p,
			&(struct pen_tls_profile_spec){.trust = PEN_TLS_PROFILE_PKIX}, err,
			sizeof(err))};
	struct pen_lease_host host = {.name = "mx.test", .tls = &policy};
	struct pen_addr source = pen_addr_ip4(0x0a000001);
	void *stream = tls.stream_new(thread, &host, &source, "helo.test", nowhere, NULL);
	struct pen_tls_peer peer;

	(void)state;
	assert_non_null(stream);
	assert_int_equal(tls.handshake(stream), PEN_SESSION_TLS_WANT_INPUT);
	tls.peer(stream, &peer); // not of the profile: it would be matched
	assert_false(peer.certificate || peer.matched);
	assert_int_equal(tls.bits(stream), 0);
	tls.stream_free(stream);
	pen_wire_tls_profiles_free(p);
}

static void a_session_key_depends_on_each_of_its_parts(void **state)
{
	struct pen_addr a = pen_addr_ip4(0x0a000001), b = pen_addr_ip4(0x0a000002);
	struct pen_lease_host hosts[] = {
		{.name = "mx.test", .addr = a, .port = 25},
		{.name = "mx2.test", .addr = a, .port = 25},
		{.name = "mx.test", .addr = b, .port = 25},
		{.name = "mx.test", .addr = a, .port = 26},
	};
	uint64_t key[6][2], again[2];

	(void)state;
	for (int i = 0; i < 4; i++)
		pen_wire_tls_session_key(&hosts[i], &a, "helo", key[i]);
	pen_wire_tls_session_key(&hosts[0], &b, "helo", key[4]);
	pen_wire_tls_session_key(&hosts[0], &a, "olleh", key[5]);
	for (int i = 0; i < 6; i++) {
		for (int k = 0; k < i; k++)
			assert_memory_not_equal(key[i], key[k], sizeof(key[i]));
	}
	pen_wire_tls_session_key(&hosts[0], &a, "helo", again);
	assert_memory_equal(again, key[0], sizeof(again));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_specs_are_one_profile_and_others_are_not),
		cmocka_unit_test(a_spec_without_ciphers_is_a_set_up_failure),
		cmocka_unit_test(there_are_at_most_256_profiles),
		cmocka_unit_test(threads_that_ask_for_the_same_get_the_same),
		cmocka_unit_test(
			a_policy_that_wants_a_certificate_gets_no_stream_without_a_profile),
		cmocka_unit_test(a_stream_comes_from_the_profile_of_the_host),
		cmocka_unit_test(a_session_key_depends_on_each_of_its_parts),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
