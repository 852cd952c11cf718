// SPDX-License-Identifier: BSD-3-Clause

// The value of a policy table, and the lists of protocols, ciphers, names and
// fingerprints inside it.

#include "pen_err.h"
#include "tls_private.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_good(const struct pen_tls_attributes *a)
{
	PEN_ASSERT(a->level != PEN_TLS_HALFDANE && a->why[0] == '\0');
	PEN_ASSERT(a->match.n == 0 || a->level >= PEN_TLS_VERIFY);
	PEN_ASSERT(a->fingerprint.n == 0 || a->level == PEN_TLS_FINGERPRINT);
	PEN_ASSERT(a->anchors == NULL || a->level >= PEN_TLS_VERIFY);
	PEN_ASSERT(a->reported || (a->mx == NULL && a->policy_domain == NULL && !a->has_ttl));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pen_span text = {data, size};
	struct pen_tls_attributes *a = tls_attributes_parse(text, PEN_DIGEST_MD5);
	char out[TLS_CIPHERS_MAX];
	uint32_t exclude = 0;

	if (a == NULL)
		return 0;
	if (a->level == PEN_TLS_INVALID)
		PEN_ASSERT(a->why[0] != '\0');
	else
		check_good(a);
	if (a->protocols != NULL)
		tls_protocols_parse(pen_span_cstr(a->protocols), &exclude);
	tls_protocols_parse(text, &exclude);
	if (tls_ciphers_resolve(PEN_SPAN_LIT("medium"), exclude, &text, 1, out))
		PEN_ASSERT(strlen(out) < sizeof(out));
	tls_attributes_free(a);
	return 0;
}
