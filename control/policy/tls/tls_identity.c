// SPDX-License-Identifier: BSD-3-Clause

// One number for all of a policy that decides what a session under it is worth.
// The same on every run, so that it may be compared across restarts.

#include "tls_private.h"

#include "pen_rand.h"

static const struct pen_siphash_key hash_key = {0x70656e73746f636bULL, 0x6964656e74697479ULL};

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
	struct pen_siphash_key key = {hash_key.k0 ^ h, hash_key.k1};

	return pen_siphash(&key, p, n);
}

static uint64_t mix_str(uint64_t h, const char *s)
{
	return mix(h, s != NULL ? s : "", s != NULL ? strlen(s) + 1 : 0);
}

uint64_t tls_identity(const struct pen_tls_policy *p, uint64_t profile_hash)
{
	uint64_t fixed[] = {(uint64_t)(int64_t)p->level, p->skipped,
		(uint64_t)(int64_t)p->skip_level, p->failure, p->demand, p->requiretls,
		p->requiretls_strict, p->wrapper, p->one_use, p->offers_credentials,
		p->no_common_name, p->digest, p->nnames, p->nfingerprints, p->ntlsa, profile_hash};
	uint64_t h = mix(0, fixed, sizeof(fixed));

	h = mix_str(h, p->host);
	// What the sender is told must be about their own domain.
	h = mix_str(h, p->skipped ? p->skip.text : "");
	h = mix_str(h, p->servername);
	for (uint32_t i = 0; i < p->nnames; i++) {
		h = mix_str(h, p->name[i].name);
		h ^= p->name[i].domain;
	}
	for (uint32_t i = 0; i < p->nfingerprints; i++)
		h = mix(h, p->fingerprint[i].digest, p->fingerprint[i].n);
	for (uint32_t i = 0; i < p->ntlsa; i++) {
		const struct pen_tlsa *t = &p->tlsa[i];
		h = mix(h ^ (uint64_t)(t->usage << 16 | t->selector << 8 | t->mtype), t->data,
			t->n);
	}
	return h;
}
