// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// For tests: a policy meets a server that has a certificate of make-test-certs.

#include "pen_test.h"

#include "tls_client.h"
#include "tls_pair.h"

#define POLICY(...) ((struct pen_tls_policy){.identity = 1, __VA_ARGS__})
#define NAMES(...)                                                                                 \
	.name = (struct pen_tls_name[]){__VA_ARGS__},                                              \
	.nnames = sizeof((struct pen_tls_name[]){__VA_ARGS__}) / sizeof(struct pen_tls_name)
#define NAME(text)                                                                                 \
	{                                                                                          \
		.name = (char *)(uintptr_t)(text)                                                  \
	}
#define TLSA(...)                                                                                  \
	.tlsa = (struct pen_tlsa[]){__VA_ARGS__},                                                  \
	.ntlsa = sizeof((struct pen_tlsa[]){__VA_ARGS__}) / sizeof(struct pen_tlsa)

struct seen {
	enum pen_tls_status status;
	struct pen_tls_peer peer;
	char error[200];
};

static inline struct seen meet(struct pen_tls_profile *profile, struct pen_tls_policy policy,
	const char *cert, const char *key)
{
	char file[2][300];
	struct pen_tls_ctx *server;
	enum pen_tls_status other;
	struct tls_pair p;
	struct seen s;

	policy.profile = profile;
	snprintf(file[0], sizeof(file[0]), CERT("%s.pem"), cert);
	snprintf(file[1], sizeof(file[1]), CERT("%s.key"), key);
	server = pair_server_ctx(file[0], file[1]);
	pair_init_policy(&p, &(struct pen_tls_client_config){.policy = &policy}, server);
	pair_handshake(&p, &s.status, &other);
	pen_tls_peer_result(p.client.tls, &s.peer);
	snprintf(s.error, sizeof(s.error), "%s", pen_tls_error(p.client.tls));
	print_message("%s: status %d trusted %d matched %d failure %s reason %s %s\n", cert,
		s.status, s.peer.trusted, s.peer.matched, pen_tlsrpt_result_name(s.peer.failure),
		s.peer.reason != NULL ? s.peer.reason : "-", s.error);
	pair_fini(&p);
	pen_tls_ctx_free(server);
	return s;
}

static inline void assert_good(struct seen s)
{
	assert_int_equal(s.status, PEN_TLS_OK);
	assert_true(s.peer.certificate && s.peer.trusted && s.peer.matched);
	assert_int_equal(s.peer.failure, PEN_TLSRPT_NONE);
	assert_null(s.peer.reason);
}

// `reason` NULL: none.
static inline void assert_bad(
	struct seen s, bool trusted, enum pen_tlsrpt_result failure, const char *reason)
{
	assert_true(s.peer.certificate);
	assert_int_equal(s.peer.trusted, trusted);
	assert_false(s.peer.matched);
	assert_int_equal(s.peer.failure, failure);
	if (reason == NULL)
		assert_null(s.peer.reason);
	else
		assert_string_equal(s.peer.reason, reason);
}

static inline void assert_refused(struct seen s, enum pen_tlsrpt_result failure, const char *reason)
{
	assert_int_equal(s.status, PEN_TLS_FAILED);
	assert_non_null(strstr(s.error, "sent alert"));
	assert_bad(s, false, failure, reason);
}

static inline struct pen_span read_der(const char *cert, struct tls_cert *c)
{
	struct tls_anchors a = {0};
	static uint8_t der[4096];
	char file[300];

	snprintf(file, sizeof(file), CERT("%s.pem"), cert);
	assert_true(tls_anchors_add_file(&a, file) >= 1);
	memcpy(der, a.cert[0].der.p, a.cert[0].der.n);
	struct pen_span s = pen_span(der, a.cert[0].der.n);
	tls_anchors_fini(&a);
	assert_true(tls_cert_read(c, s));
	return s;
}
