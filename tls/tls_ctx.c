// SPDX-License-Identifier: BSD-3-Clause

// Contexts: what every connection of one kind has in common. All choices are
// explicit, because wolfSSL's defaults depend on how it was built.

#include "tls_client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// AES-128-GCM first: it is the fastest with AES-NI and good enough for mail.
// The CBC suites at the end are for old servers that would otherwise get
// plaintext. No static RSA, anonymous, NULL, RC4 or 3DES suite is in the build.
static const char default_ciphers[] = "TLS13-AES128-GCM-SHA256:"
				      "TLS13-AES256-GCM-SHA384:"
				      "TLS13-CHACHA20-POLY1305-SHA256:"
				      "ECDHE-ECDSA-AES128-GCM-SHA256:"
				      "ECDHE-RSA-AES128-GCM-SHA256:"
				      "ECDHE-ECDSA-AES256-GCM-SHA384:"
				      "ECDHE-RSA-AES256-GCM-SHA384:"
				      "ECDHE-ECDSA-CHACHA20-POLY1305:"
				      "ECDHE-RSA-CHACHA20-POLY1305:"
				      "DHE-RSA-AES128-GCM-SHA256:"
				      "DHE-RSA-AES256-GCM-SHA384:"
				      "ECDHE-ECDSA-AES128-SHA256:"
				      "ECDHE-RSA-AES128-SHA256:"
				      "ECDHE-RSA-AES256-SHA384:"
				      "ECDHE-ECDSA-AES128-SHA:"
				      "ECDHE-RSA-AES128-SHA:"
				      "ECDHE-RSA-AES256-SHA";

// P-256 first: its assembly is faster here than X25519's and has no open
// advisory; X25519 second for servers that have nothing else.
static int default_groups[] = {WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP384R1};

__attribute__((format(printf, 3, 4))) static void say(char *err, size_t cap, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, cap, fmt, ap);
	va_end(ap);
}

int pen_tls_global_init(void)
{
	return wolfSSL_Init() == WOLFSSL_SUCCESS ? 0 : -EIO;
}

// wolfSSL answers some bad files with a plain 0.
static const char *reason(int rc)
{
	return rc < 0 ? wolfSSL_ERR_reason_error_string((unsigned long)rc) : "unusable content";
}

static bool readable(const char *what, const char *file, char *err, size_t cap)
{
	if (file == NULL) {
		say(err, cap, "TLS: no %s is configured", what);
		return false;
	}
	if (access(file, R_OK) != 0) {
		say(err, cap, "TLS %s %s: %s", what, file, strerror(errno));
		return false;
	}
	return true;
}

static bool set_trust(
	WOLFSSL_CTX *wolf, const struct pen_tls_ctx_config *cfg, char *err, size_t cap)
{
	if (cfg->trust == PEN_TLS_TRUST_NONE) {
		wolfSSL_CTX_set_verify(wolf, WOLFSSL_VERIFY_NONE, NULL);
		return true;
	}
	if (cfg->server) {
		say(err, cap, "TLS: verification of client certificates is not offered");
		return false;
	}
	if (!readable("CA file", cfg->ca_file, err, cap))
		return false;
	// A bundle may hold a root that has expired or uses an algorithm that we
	// lack; the rest of it stays usable. A file without any CA is an error.
	int rc = wolfSSL_CTX_load_verify_locations_ex(wolf, cfg->ca_file, NULL,
		WOLFSSL_LOAD_FLAG_IGNORE_ERR | WOLFSSL_LOAD_FLAG_DATE_ERR_OKAY);
	if (rc != WOLFSSL_SUCCESS) {
		say(err, cap, "TLS CA file %s: %s", cfg->ca_file, reason(rc));
		return false;
	}
	wolfSSL_CTX_set_verify(wolf, WOLFSSL_VERIFY_PEER, tls_on_verify);
	return true;
}

static bool set_identity(
	WOLFSSL_CTX *wolf, const char *cert_file, const char *key_file, char *err, size_t cap)
{
	if (!readable("certificate file", cert_file, err, cap) ||
		!readable("key file", key_file, err, cap))
		return false;
	int rc = wolfSSL_CTX_use_certificate_chain_file(wolf, cert_file);
	if (rc != WOLFSSL_SUCCESS) {
		say(err, cap, "TLS certificate file %s: %s", cert_file, reason(rc));
		return false;
	}
	rc = wolfSSL_CTX_use_PrivateKey_file(wolf, key_file, WOLFSSL_FILETYPE_PEM);
	if (rc != WOLFSSL_SUCCESS) {
		say(err, cap, "TLS key file %s: %s", key_file, reason(rc));
		return false;
	}
	if (wolfSSL_CTX_check_private_key(wolf) != WOLFSSL_SUCCESS) {
		say(err, cap, "TLS key file %s does not belong to the certificate in %s", key_file,
			cert_file);
		return false;
	}
	return true;
}

static int io_recv(WOLFSSL *wolf, char *p, int cap, void *arg)
{
	struct pen_tls *t = arg;

	(void)wolf;
	if (t->in.n == 0)
		return WOLFSSL_CBIO_ERR_WANT_READ;
	size_t n = t->in.n < (size_t)cap ? t->in.n : (size_t)cap;
	memcpy(p, t->in.p, n);
	t->in = pen_span_from(t->in, n);
	return (int)n;
}

// More than any handshake flight; only a peer that floods us with requests to
// answer while it reads nothing gets here.
#define OUT_MAX 65536

static int io_send(WOLFSSL *wolf, char *p, int n, void *arg)
{
	struct pen_tls *t = arg;

	(void)wolf;
	if (t->out_n == 0 && t->send(t->send_ctx, (const uint8_t *)p, (size_t)n) == 0)
		return n;
	if (t->out_n + (size_t)n > OUT_MAX)
		return WOLFSSL_CBIO_ERR_GENERAL;
	uint8_t *out = realloc(t->out, t->out_n + (size_t)n);
	if (out == NULL)
		return WOLFSSL_CBIO_ERR_GENERAL;
	memcpy(out + t->out_n, p, (size_t)n);
	t->out = out;
	t->out_n += (size_t)n;
	return n;
}

// Which versions are spoken: those that are not excluded and that the list has a
// suite for. A version without a suite must not be offered: a server would choose
// it and then find nothing in common.
struct versions {
	bool tls12, tls13;
};

static struct versions versions(const char *ciphers, uint32_t excluded)
{
	struct versions v = {false, false};

	for (const char *p = ciphers; *p != '\0';) {
		size_t n = strcspn(p, ":");

		if (strncmp(p, "TLS13-", 6) == 0)
			v.tls13 = true;
		else
			v.tls12 = true;
		p += n + (p[n] == ':');
	}
	v.tls12 &= (excluded & PEN_TLS_NO_TLS12) == 0;
	v.tls13 &= (excluded & PEN_TLS_NO_TLS13) == 0;
	return v;
}

static bool set_groups(WOLFSSL_CTX *wolf, bool tls13)
{
	int n = (int)(sizeof(default_groups) / sizeof(default_groups[0]));

	if (tls13)
		return wolfSSL_CTX_set_groups(wolf, default_groups, n) == WOLFSSL_SUCCESS;
	for (int i = 0; i < n; i++) {
		if (wolfSSL_CTX_UseSupportedCurve(wolf, (word16)default_groups[i]) !=
			WOLFSSL_SUCCESS)
			return false;
	}
	return true;
}

static bool set_protocol(
	WOLFSSL_CTX *wolf, const char *ciphers, struct versions v, char *err, size_t cap)
{
	if (v.tls12 && wolfSSL_CTX_SetMinVersion(wolf, WOLFSSL_TLSV1_2) != WOLFSSL_SUCCESS) {
		say(err, cap, "TLS: this wolfSSL cannot be held to TLS 1.2 and above");
		return false;
	}
	if (wolfSSL_CTX_set_cipher_list(wolf, ciphers) != WOLFSSL_SUCCESS) {
		say(err, cap, "TLS cipher list \"%s\" names no cipher that this build has",
			ciphers);
		return false;
	}
	if (!set_groups(wolf, v.tls13)) {
		say(err, cap, "TLS: this wolfSSL lacks P-256 or X25519");
		return false;
	}
	// One flight, one write: fewer and fuller TCP segments.
	wolfSSL_CTX_set_group_messages(wolf);
	wolfSSL_CTX_SetIORecv(wolf, io_recv);
	wolfSSL_CTX_SetIOSend(wolf, io_send);
	return true;
}

static WOLFSSL_METHOD *method(bool server, struct versions v)
{
	if (v.tls12 && v.tls13)
		return server ? wolfSSLv23_server_method() : wolfSSLv23_client_method();
	if (v.tls12)
		return server ? wolfTLSv1_2_server_method() : wolfTLSv1_2_client_method();
	return server ? wolfTLSv1_3_server_method() : wolfTLSv1_3_client_method();
}

static struct pen_tls_ctx *make(
	bool server, const char *ciphers, uint32_t excluded, char *err, size_t cap)
{
	struct versions v;
	struct pen_tls_ctx *ctx;

	ciphers = ciphers != NULL ? ciphers : default_ciphers;
	v = versions(ciphers, excluded);
	if (!v.tls12 && !v.tls13) {
		say(err, cap, "TLS: no protocol is left for the cipher list \"%s\"", ciphers);
		return NULL;
	}
	ctx = calloc(1, sizeof(*ctx));
	if (ctx == NULL || (ctx->wolf = wolfSSL_CTX_new(method(server, v))) == NULL) {
		say(err, cap, "TLS: wolfSSL could not make a context (out of memory?)");
		free(ctx);
		return NULL;
	}
	ctx->server = server;
	if (!set_protocol(ctx->wolf, ciphers, v, err, cap)) {
		pen_tls_ctx_free(ctx);
		return NULL;
	}
	return ctx;
}

// wolfSSL's own store of sessions is one table for the process, behind locks,
// and knows nothing of policies: it is always off.
static bool set_sessions(WOLFSSL_CTX *wolf, const struct pen_tls_ctx_config *cfg)
{
	wolfSSL_CTX_set_session_cache_mode(wolf, WOLFSSL_SESS_CACHE_OFF);
	if (!cfg->server)
		return true;
	// Its tickets are sealed with a key of this context, which it changes itself.
	if (cfg->session_tickets)
		return wolfSSL_CTX_UseSessionTicket(wolf) == WOLFSSL_SUCCESS;
	wolfSSL_CTX_no_ticket_TLSv13(wolf);
	wolfSSL_CTX_NoTicketTLSv12(wolf);
	return true;
}

struct pen_tls_ctx *pen_tls_ctx_new(const struct pen_tls_ctx_config *cfg, char *err, size_t err_cap)
{
	struct pen_tls_ctx *ctx = make(cfg->server, cfg->ciphers, 0, err, err_cap);

	if (ctx == NULL)
		return NULL;
	if (!set_trust(ctx->wolf, cfg, err, err_cap) ||
		(cfg->server &&
			!set_identity(ctx->wolf, cfg->cert_file, cfg->key_file, err, err_cap))) {
		pen_tls_ctx_free(ctx);
		return NULL;
	}
	if (!set_sessions(ctx->wolf, cfg)) {
		say(err, err_cap, "TLS: this wolfSSL cannot make session tickets");
		pen_tls_ctx_free(ctx);
		return NULL;
	}
	return ctx;
}

struct pen_tls_ctx *tls_client_ctx_new(
	const struct tls_client_spec *spec, char *err, size_t err_cap)
{
	struct pen_tls_ctx *ctx = make(false, spec->ciphers, spec->exclude_protocols, err, err_cap);

	if (ctx == NULL)
		return NULL;
	if (spec->cert_file != NULL &&
		!set_identity(ctx->wolf, spec->cert_file, spec->key_file, err, err_cap)) {
		pen_tls_ctx_free(ctx);
		return NULL;
	}
	// The library judges nothing: with its own verification on, it would keep
	// the intermediates that connections bring along. tls_on_peer is asked for
	// every certificate all the same.
	wolfSSL_CTX_set_verify(ctx->wolf, WOLFSSL_VERIFY_NONE, tls_on_peer);
	if (spec->session_lifetime <= 0) {
		wolfSSL_CTX_set_session_cache_mode(ctx->wolf, WOLFSSL_SESS_CACHE_OFF);
		return ctx;
	}
	wolfSSL_CTX_set_session_cache_mode(ctx->wolf, WOLFSSL_SESS_CACHE_NO_INTERNAL);
	wolfSSL_CTX_sess_set_new_cb(ctx->wolf, tls_on_session);
	wolfSSL_CTX_set_timeout(ctx->wolf, (unsigned)spec->session_lifetime);
	if (wolfSSL_CTX_UseSessionTicket(ctx->wolf) != WOLFSSL_SUCCESS) {
		say(err, err_cap, "TLS: this wolfSSL cannot use session tickets");
		pen_tls_ctx_free(ctx);
		return NULL;
	}
	return ctx;
}

void pen_tls_ctx_free(struct pen_tls_ctx *ctx)
{
	if (ctx == NULL)
		return;
	wolfSSL_CTX_free(ctx->wolf);
	free(ctx);
}
