// SPDX-License-Identifier: BSD-3-Clause

// What a server can do with certificates: names, encodings, chains.
//
// Input: byte 0 chooses. Bit 0 clear: the rest is a chain, each certificate with
// two bytes of length before it. Bit 0 set: groups of 4 bytes (offset, offset,
// which, value) change a real chain, which then goes through all policies. Bit 1:
// what follows is first read as a name and as the data of TLSA records.

#include "tls_alabel.h"
#include "tls_client.h"
#include "tls_der.h"
#include "tls_name_match.h"
#include "tls_signature.h"
#include "tls_tlsa.h"

#include "pen_err.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pen_tls_profile *profile;
static struct tls_anchors real; // deep-chain.pem in its order

static void setup(void)
{
	char err[200];

	if (profile != NULL)
		return;
	PEN_ASSERT(pen_tls_global_init() == 0);
	profile =
		pen_tls_profile_new(&(struct pen_tls_profile_config){.trust = PEN_TLS_PROFILE_PKIX,
					    .workers = 1,
					    .ca_file = PEN_TEST_CERTS "/ca.pem",
					    .verify_depth = 9},
			err, sizeof(err));
	PEN_ASSERT(profile != NULL);
	PEN_ASSERT(tls_anchors_add_file(&real, PEN_TEST_CERTS "/deep-chain.pem") == 4);
}

static void try_name(struct pen_span s)
{
	struct pen_tls_name names[] = {
		{.name = (char *)(uintptr_t) "mx.test"},
		{.domain = true, .name = (char *)(uintptr_t) "test"},
	};
	char out[TLS_NAME_MAX + 1];

	if (!tls_alabel(s, out))
		return;
	PEN_ASSERT(strlen(out) <= TLS_NAME_MAX);
	for (const char *p = out; *p != '\0'; p++)
		PEN_ASSERT(*p > ' ' && *p < 127 && (*p < 'A' || *p > 'Z'));
	for (int i = 0; i < 2; i++)
		tls_name_match(&names[i], out);
}

static void try_policies(const struct tls_chain *chain, struct pen_span tlsa)
{
	static const enum pen_tls_level levels[] = {
		PEN_TLS_MAY, PEN_TLS_FINGERPRINT, PEN_TLS_DANE, PEN_TLS_SECURE};
	struct pen_tls_name name = {.domain = true, .name = (char *)(uintptr_t) "test"};
	struct pen_tls_fingerprint f = {.n = 32};
	struct pen_tlsa record[12];
	struct pen_tls_counters ctr = {0};
	struct pen_tls_peer peer;

	for (uint32_t i = 0; i < 12; i++)
		record[i] = (struct pen_tlsa){.usage = (uint8_t)(2 + i % 2),
			.selector = (uint8_t)(i / 2 % 2),
			.mtype = (uint8_t)(i / 4),
			.n = (uint16_t)(tlsa.n < PEN_TLSA_DATA_MAX ? tlsa.n : PEN_TLSA_DATA_MAX),
			.data = tlsa.p};
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		struct pen_tls_policy policy = {.level = levels[i],
			.name = &name,
			.nnames = 1,
			.digest = PEN_DIGEST_SHA256,
			.fingerprint = &f,
			.nfingerprints = 1,
			.tlsa = record,
			.ntlsa = 12};

		tls_verify(profile, &policy, chain, &peer, &ctr);
		// An empty chain is worth nothing, and a verdict has one side only.
		PEN_ASSERT(chain->n > 0 || !peer.trusted);
		PEN_ASSERT(!pen_tls_must_match(levels[i]) || !peer.matched ||
			   (chain->n > 0 && peer.failure == PEN_TLSRPT_NONE));
		PEN_ASSERT(levels[i] < PEN_TLS_VERIFY || peer.matched ||
			   peer.failure != PEN_TLSRPT_NONE);
	}
}

static void changed_chain(const uint8_t *op, size_t n)
{
	struct tls_chain chain = {.n = 0};
	uint8_t *der[4];

	for (int i = 0; i < 4; i++) {
		der[i] = malloc(real.cert[i].der.n);
		PEN_ASSERT(der[i] != NULL);
		memcpy(der[i], real.cert[i].der.p, real.cert[i].der.n);
	}
	for (; n >= 4; op += 4, n -= 4)
		der[op[2] % 4][((size_t)op[0] << 8 | op[1]) % real.cert[op[2] % 4].der.n] ^= op[3];
	for (int i = 0; i < 4; i++) {
		if (tls_cert_read(&chain.cert[chain.n], pen_span(der[i], real.cert[i].der.n)))
			chain.n++;
		else if (i == 0)
			break;
	}
	try_policies(&chain, real.cert[1].der);
	for (int i = 0; i < 4; i++)
		free(der[i]);
}

static void whole_chain(struct pen_span in)
{
	struct tls_chain chain = {.n = 0};

	while (in.n >= 2 && chain.n < TLS_CHAIN_MAX) {
		size_t n = (size_t)in.p[0] << 8 | in.p[1];

		in = pen_span_from(in, 2);
		if (n > in.n)
			n = in.n;
		if (tls_cert_read(&chain.cert[chain.n], pen_span(in.p, n)))
			chain.n++;
		in = pen_span_from(in, n);
	}
	try_policies(&chain, in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	setup();
	// A copy of the exact size: the sanitizer sees a read behind the end.
	uint8_t *copy = malloc(size);
	PEN_ASSERT(copy != NULL);
	memcpy(copy, data, size);
	struct pen_span rest = pen_span(copy + 1, size - 1);
	if ((copy[0] & 2) != 0) {
		struct pen_span spki;

		try_name(rest);
		tls_der_spki(rest, &spki);
		tls_key_usable(rest);
	}
	if ((copy[0] & 1) != 0)
		changed_chain(rest.p, rest.n);
	else
		whole_chain(rest);
	free(copy);
	return 0;
}
