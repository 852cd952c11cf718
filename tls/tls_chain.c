// SPDX-License-Identifier: BSD-3-Clause

#include "tls_chain.h"

#include "tls_signature.h"

#include <wolfssl/options.h>

#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

struct search {
	const struct tls_chain *chain;
	const struct tls_anchors *anchors;
	uint32_t intermediates;
	uint32_t steps, paths;
	enum tls_chain_error worst;
	uint32_t n; // of the path: indices into chain, the peer's first
	uint8_t path[TLS_CHAIN_MAX];
};

static enum tls_chain_error error_of(int rc)
{
	switch (rc) {
	case 0:
		return TLS_CHAIN_OK;
	case ASN_AFTER_DATE_E:
		return TLS_CHAIN_EXPIRED;
	case ASN_BEFORE_DATE_E:
		return TLS_CHAIN_NOT_YET_VALID;
	case ASN_NO_SIGNER_E:
	case ASN_SELF_SIGNED_E:
		return TLS_CHAIN_UNKNOWN_ISSUER;
	case ASN_PATHLEN_INV_E:
	case ASN_PATHLEN_SIZE_E:
		return TLS_CHAIN_PATH_LENGTH;
	case ASN_NAME_INVALID_E:
		return TLS_CHAIN_NAME_CONSTRAINT;
	case ASN_CRIT_EXT_E:
		return TLS_CHAIN_CRITICAL;
	case NOT_CA_ERROR:
	case KEYUSAGE_E:
	case RSA_KEY_SIZE_E:
	case ECC_KEY_SIZE_E:
		return TLS_CHAIN_BAD_CA;
	default:
		return TLS_CHAIN_BAD_SIGNATURE;
	}
}

static int load(WOLFSSL_CERT_MANAGER *cm, const struct tls_cert *c)
{
	int rc = wolfSSL_CertManagerLoadCABuffer(
		cm, c->der.p, (long)c->der.n, WOLFSSL_FILETYPE_ASN1);

	return rc == WOLFSSL_SUCCESS ? 0 : rc == 0 ? WOLFSSL_FATAL_ERROR : rc;
}

// wolfSSL checks the signature, the dates, path length and name constraints.
static int check(WOLFSSL_CERT_MANAGER *cm, const struct tls_cert *c, bool leaf)
{
	DecodedCert d;

	wc_InitDecodedCert(&d, c->der.p, (word32)c->der.n, NULL);
	int rc = wc_ParseCert(&d, leaf ? CERT_TYPE : CHAIN_CERT_TYPE, VERIFY, cm);
	wc_FreeDecodedCert(&d);
	return rc;
}

// wolfSSL holds an issuer's name constraints against what it signs directly, and no
// further down: a CA in between would take them off. Such a path is refused, since
// what the constraints allow is not ours to compute. `at`: place in the path.
static bool escapes(const struct tls_cert *issuer, uint32_t at)
{
	return issuer->constrained && at > 1;
}

// From the top of the path down, each becoming an issuer for the next. `top` is
// how many of its upper end need no check: they are an anchor themselves.
static enum tls_chain_error check_path(
	const struct search *s, WOLFSSL_CERT_MANAGER *cm, uint32_t top)
{
	for (uint32_t i = s->n - top; i-- > 0;) {
		const struct tls_cert *c = &s->chain->cert[s->path[i]];

		if (i > 0 && !c->issues)
			return TLS_CHAIN_BAD_CA;
		if (escapes(c, i))
			return TLS_CHAIN_NAME_CONSTRAINT;
		int rc = check(cm, c, i == 0);
		if (rc == 0 && i > 0)
			rc = load(cm, c);
		if (rc != 0)
			return error_of(rc);
	}
	return TLS_CHAIN_OK;
}

static bool note(struct search *s, enum tls_chain_error e)
{
	if (e > s->worst)
		s->worst = e;
	return e == TLS_CHAIN_OK;
}

// The peer's own certificate as an anchor needs not issue anything.
static int load_anchor(const struct search *s, WOLFSSL_CERT_MANAGER *cm,
	const struct tls_cert *anchor, uint32_t top)
{
	if (s->n > top && !anchor->root)
		return NOT_CA_ERROR;
	if (escapes(anchor, s->n - top))
		return ASN_NAME_INVALID_E;
	return load(cm, anchor);
}

static bool try_path(struct search *s, const struct tls_cert *anchor, uint32_t n, uint32_t top)
{
	enum tls_chain_error e = TLS_CHAIN_UNKNOWN_ISSUER;
	uint32_t usable = 0;

	if (s->paths++ >= TLS_PATHS_MAX)
		return note(s, TLS_CHAIN_TOO_LONG);
	WOLFSSL_CERT_MANAGER *cm = wolfSSL_CertManagerNew();
	if (cm == NULL)
		return note(s, TLS_CHAIN_UNKNOWN_ISSUER);
	for (uint32_t i = 0; i < n; i++) {
		int rc = load_anchor(s, cm, &anchor[i], top);

		if (rc == 0)
			usable++;
		else
			e = error_of(rc);
	}
	if (usable > 0)
		e = check_path(s, cm, top);
	wolfSSL_CertManagerFree(cm);
	return note(s, e);
}

static bool under_key(struct search *s, const struct tls_cert *c)
{
	for (uint32_t i = 0; i < s->anchors->nkeys; i++) {
		if (pen_span_eq(s->anchors->key[i], c->spki) ||
			tls_key_signed(s->anchors->key[i], c->der))
			return try_path(s, c, 1, 1);
	}
	return false;
}

static bool used(const struct search *s, uint32_t at)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->path[i] == at)
			return true;
	}
	return false;
}

// The path ends in chain->cert[at], which is in it already.
static bool climb(struct search *s, uint32_t at)
{
	const struct tls_cert *c = &s->chain->cert[at];
	uint32_t n;

	if (tls_anchors_has(s->anchors, c) && try_path(s, c, 1, 1))
		return true;
	const struct tls_cert *anchor = tls_anchors_find(s->anchors, c->issuer, &n);
	if (n > 0 && try_path(s, anchor, n, 0))
		return true;
	if (s->anchors->nkeys > 0 && under_key(s, c))
		return true;
	if (c->self_issued)
		return note(s, s->n == 1 ? TLS_CHAIN_SELF_SIGNED : TLS_CHAIN_UNKNOWN_ROOT);
	note(s, TLS_CHAIN_UNKNOWN_ISSUER);
	for (uint32_t i = 0; i < s->chain->n; i++) {
		const struct tls_cert *up = &s->chain->cert[i];

		if (used(s, i) || memcmp(up->subject, c->issuer, TLS_NAME_HASH) != 0)
			continue;
		// A self-signed one is no intermediate: it is the root, sent along.
		if (s->n > s->intermediates && !up->self_issued)
			return note(s, TLS_CHAIN_TOO_LONG);
		if (s->steps++ >= TLS_STEPS_MAX)
			return note(s, TLS_CHAIN_TOO_LONG);
		s->path[s->n++] = (uint8_t)i;
		if (climb(s, i))
			return true;
		s->n--;
	}
	return false;
}

enum tls_chain_error tls_chain_verify(
	const struct tls_chain *chain, const struct tls_anchors *anchors, uint32_t intermediates)
{
	struct search s = {.chain = chain, .anchors = anchors, .intermediates = intermediates};

	if (chain->n == 0)
		return TLS_CHAIN_UNREADABLE;
	s.n = 1;
	if (!climb(&s, 0))
		return s.worst;
	return chain->cert[0].server ? TLS_CHAIN_OK : TLS_CHAIN_PURPOSE;
}

const char *tls_chain_reason(enum tls_chain_error e)
{
	static const char *const words[TLS_CHAIN_ERRORS] = {
		[TLS_CHAIN_UNREADABLE] = "unreadable_certificate",
		[TLS_CHAIN_UNKNOWN_ISSUER] = "unable_to_get_local_issuer_certificate",
		[TLS_CHAIN_SELF_SIGNED] = "self-signed_certificate",
		[TLS_CHAIN_UNKNOWN_ROOT] = "self-signed_certificate_in_certificate_chain",
		[TLS_CHAIN_TOO_LONG] = "certificate_chain_too_long",
		[TLS_CHAIN_BAD_SIGNATURE] = "certificate_signature_failure",
		[TLS_CHAIN_BAD_CA] = "invalid_CA_certificate",
		[TLS_CHAIN_PATH_LENGTH] = "path_length_constraint_exceeded",
		[TLS_CHAIN_NAME_CONSTRAINT] = "name_constraint_violation",
		[TLS_CHAIN_CRITICAL] = "unhandled_critical_extension",
		[TLS_CHAIN_PURPOSE] = "unsupported_certificate_purpose",
		[TLS_CHAIN_NOT_YET_VALID] = "certificate_is_not_yet_valid",
		[TLS_CHAIN_EXPIRED] = "certificate_has_expired",
	};

	return words[e];
}

enum pen_tlsrpt_result tls_chain_result(enum tls_chain_error e)
{
	if (e == TLS_CHAIN_OK)
		return PEN_TLSRPT_NONE;
	return e == TLS_CHAIN_EXPIRED ? PEN_TLSRPT_CERTIFICATE_EXPIRED
				      : PEN_TLSRPT_VALIDATION_FAILURE;
}
