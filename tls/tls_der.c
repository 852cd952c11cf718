// SPDX-License-Identifier: BSD-3-Clause

#include "tls_der.h"

#define TAG_SEQUENCE 0x30
#define TAG_VERSION 0xa0

static bool length(struct pen_span *in, size_t *n)
{
	if (in->n == 0)
		return false;
	uint8_t first = in->p[0];
	*in = pen_span_from(*in, 1);
	*n = first;
	if (first < 0x80)
		return true;
	unsigned bytes = first & 0x7f;
	if (bytes == 0 || bytes > 3 || in->n < bytes)
		return false;
	*n = 0;
	for (unsigned i = 0; i < bytes; i++)
		*n = *n << 8 | in->p[i];
	*in = pen_span_from(*in, bytes);
	return true;
}

bool tls_der_next(
	struct pen_span *in, uint8_t *tag, struct pen_span *content, struct pen_span *whole)
{
	struct pen_span at = *in;
	size_t n;

	if (at.n == 0 || (at.p[0] & 0x1f) == 0x1f)
		return false;
	if (tag != NULL)
		*tag = at.p[0];
	at = pen_span_from(at, 1);
	if (!length(&at, &n) || n > at.n)
		return false;
	if (content != NULL)
		*content = pen_span(at.p, n);
	at = pen_span_from(at, n);
	if (whole != NULL)
		*whole = pen_span(in->p, in->n - at.n);
	*in = at;
	return true;
}

// Leaves *in behind `skip` fields of the body that follow the version.
static bool body(struct pen_span certificate, unsigned skip, struct pen_span *in)
{
	struct pen_span outer;
	uint8_t tag;

	if (!tls_der_next(&certificate, &tag, &outer, NULL) || tag != TAG_SEQUENCE ||
		!tls_der_next(&outer, &tag, in, NULL) || tag != TAG_SEQUENCE)
		return false;
	if (in->n > 0 && in->p[0] == TAG_VERSION && !tls_der_next(in, NULL, NULL, NULL))
		return false;
	while (skip-- > 0) {
		if (!tls_der_next(in, NULL, NULL, NULL))
			return false;
	}
	return true;
}

// serial, signature, issuer, validity, subject, key
bool tls_der_spki(struct pen_span certificate, struct pen_span *spki)
{
	struct pen_span in;
	uint8_t tag;

	return body(certificate, 5, &in) && tls_der_next(&in, &tag, NULL, spki) &&
	       tag == TAG_SEQUENCE;
}
