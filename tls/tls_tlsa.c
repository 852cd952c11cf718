// SPDX-License-Identifier: BSD-3-Clause

#include "tls_tlsa.h"

#include "tls_signature.h"

bool tls_tlsa_usable(const struct pen_tlsa *r)
{
	struct tls_cert c;

	if ((r->usage != TLSA_TA && r->usage != TLSA_EE) || r->selector > TLSA_KEY || r->n == 0 ||
		r->n > PEN_TLSA_DATA_MAX)
		return false;
	if (r->mtype == TLSA_SHA256)
		return r->n == 32;
	if (r->mtype == TLSA_SHA512)
		return r->n == 64;
	if (r->mtype != TLSA_FULL)
		return false;
	return r->selector == TLSA_CERT ? tls_cert_read(&c, pen_span(r->data, r->n))
					: tls_key_usable(pen_span(r->data, r->n));
}

bool tls_tlsa_match(const struct pen_tlsa *r, const struct tls_cert *c)
{
	struct pen_span what = r->selector == TLSA_CERT ? c->der : c->spki;
	uint8_t digest[64];

	if (r->mtype == TLSA_FULL)
		return pen_span_eq(what, pen_span(r->data, r->n));
	uint32_t n = tls_digest(
		r->mtype == TLSA_SHA256 ? PEN_DIGEST_SHA256 : PEN_DIGEST_SHA512, what, digest);
	return n > 0 && n == r->n && memcmp(digest, r->data, n) == 0;
}
