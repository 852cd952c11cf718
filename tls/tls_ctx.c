// SPDX-License-Identifier: BSD-3-Clause

// Contexts: what every connection of one kind has in common. All choices are
// explicit, because wolfSSL's defaults depend on how it was built.

#include "tls_internal.h"

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
	WOLFSSL_CTX *wolf, const struct pen_tls_ctx_config *cfg, char *err, size_t cap)
{
	if (!readable("certificate file", cfg->cert_file, err, cap) ||
		!readable("key file", cfg->key_file, err, cap))
		return false;
	int rc = wolfSSL_CTX_use_certificate_chain_file(wolf, cfg->cert_file);
	if (rc != WOLFSSL_SUCCESS) {
		say(err, cap, "TLS certificate file %s: %s", cfg->cert_file, reason(rc));
		return false;
	}
	rc = wolfSSL_CTX_use_PrivateKey_file(wolf, cfg->key_file, WOLFSSL_FILETYPE_PEM);
	if (rc != WOLFSSL_SUCCESS) {
		say(err, cap, "TLS key file %s: %s", cfg->key_file, reason(rc));
		return false;
	}
	if (wolfSSL_CTX_check_private_key(wolf) != WOLFSSL_SUCCESS) {
		say(err, cap, "TLS key file %s does not belong to the certificate in %s",
			cfg->key_file, cfg->cert_file);
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

// A list without any TLS 1.3 suite must not offer TLS 1.3: a server would choose
// it and then find no common suite.
static bool only_tls12(const struct pen_tls_ctx_config *cfg)
{
	return cfg->ciphers != NULL && strstr(cfg->ciphers, "TLS13-") == NULL;
}

static bool set_groups(WOLFSSL_CTX *wolf, bool tls12)
{
	int n = (int)(sizeof(default_groups) / sizeof(default_groups[0]));

	if (!tls12)
		return wolfSSL_CTX_set_groups(wolf, default_groups, n) == WOLFSSL_SUCCESS;
	for (int i = 0; i < n; i++) {
		if (wolfSSL_CTX_UseSupportedCurve(wolf, (word16)default_groups[i]) !=
			WOLFSSL_SUCCESS)
			return false;
	}
	return true;
}

static bool set_protocol(
	WOLFSSL_CTX *wolf, const struct pen_tls_ctx_config *cfg, char *err, size_t cap)
{
	const char *ciphers = cfg->ciphers != NULL ? cfg->ciphers : default_ciphers;

	if (wolfSSL_CTX_SetMinVersion(wolf, WOLFSSL_TLSV1_2) != WOLFSSL_SUCCESS) {
		say(err, cap, "TLS: this wolfSSL cannot be held to TLS 1.2 and above");
		return false;
	}
	if (wolfSSL_CTX_set_cipher_list(wolf, ciphers) != WOLFSSL_SUCCESS) {
		say(err, cap, "TLS cipher list \"%s\" names no cipher that this build has",
			ciphers);
		return false;
	}
	if (!set_groups(wolf, only_tls12(cfg))) {
		say(err, cap, "TLS: this wolfSSL lacks P-256 or X25519");
		return false;
	}
	// No stored sessions: a resumed session skips the certificate, so nothing
	// is resumed unless the policy that accepted it is known.
	wolfSSL_CTX_set_session_cache_mode(wolf, WOLFSSL_SESS_CACHE_OFF);
	if (cfg->server) {
		wolfSSL_CTX_no_ticket_TLSv13(wolf);
		wolfSSL_CTX_NoTicketTLSv12(wolf);
	}
	// One flight, one write: fewer and fuller TCP segments.
	wolfSSL_CTX_set_group_messages(wolf);
	wolfSSL_CTX_SetIORecv(wolf, io_recv);
	wolfSSL_CTX_SetIOSend(wolf, io_send);
	return true;
}

static WOLFSSL_METHOD *method(const struct pen_tls_ctx_config *cfg)
{
	if (only_tls12(cfg))
		return cfg->server ? wolfTLSv1_2_server_method() : wolfTLSv1_2_client_method();
	return cfg->server ? wolfSSLv23_server_method() : wolfSSLv23_client_method();
}

struct pen_tls_ctx *pen_tls_ctx_new(const struct pen_tls_ctx_config *cfg, char *err, size_t err_cap)
{
	struct pen_tls_ctx *ctx = calloc(1, sizeof(*ctx));

	if (ctx == NULL) {
		say(err, err_cap, "TLS: out of memory");
		return NULL;
	}
	ctx->server = cfg->server;
	ctx->wolf = wolfSSL_CTX_new(method(cfg));
	if (ctx->wolf == NULL) {
		say(err, err_cap, "TLS: wolfSSL could not make a context (out of memory?)");
		free(ctx);
		return NULL;
	}
	if (!set_protocol(ctx->wolf, cfg, err, err_cap) ||
		!set_trust(ctx->wolf, cfg, err, err_cap) ||
		(cfg->server && !set_identity(ctx->wolf, cfg, err, err_cap))) {
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
