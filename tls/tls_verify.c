// SPDX-License-Identifier: BSD-3-Clause

// What a chain is worth under a policy: one function for each kind of level.

#include "tls_client.h"
#include "tls_tlsa.h"

struct judge {
	const struct pen_tls_profile *profile;
	const struct pen_tls_policy *policy;
	const struct tls_chain *chain;
	struct pen_tls_peer *out;
	struct pen_tls_counters *ctr;
};

static void fail(struct judge *j, enum pen_tlsrpt_result result, const char *reason)
{
	j->out->failure = result;
	j->out->reason = reason;
}

static bool has_anchors(const struct tls_anchors *a)
{
	return a->n > 0 || a->nkeys > 0;
}

// Without anchors nothing is trusted, and no work is done for it.
static enum tls_chain_error by_anchors(const struct judge *j)
{
	const struct pen_tls_profile *p = j->profile;

	if (!has_anchors(&p->anchors) && p->trust != PEN_TLS_PROFILE_PKIX)
		return TLS_CHAIN_UNKNOWN_ISSUER;
	return tls_chain_verify(j->chain, &p->anchors, p->intermediates);
}

static bool has_name(struct judge *j)
{
	bool odd = false;
	bool found =
		j->chain->n > 0 && tls_cert_has_name(&j->chain->cert[0], j->policy->name,
					   j->policy->nnames, !j->policy->no_common_name, &odd);

	if (odd)
		PEN_COUNT(j->ctr->certificates_odd);
	return found;
}

// The chain's verdict and the name's, as RFC 8460 wants them told apart.
static void chain_and_name(struct judge *j, enum tls_chain_error e)
{
	bool named = has_name(j);

	j->out->trusted = e == TLS_CHAIN_OK;
	j->out->matched = j->out->trusted && named;
	if (e == TLS_CHAIN_TOO_LONG)
		PEN_COUNT(j->ctr->chains_too_long);
	if (j->out->matched)
		return;
	if (e == TLS_CHAIN_OK)
		fail(j, PEN_TLSRPT_CERTIFICATE_HOST_MISMATCH, NULL);
	else if (!named && e != TLS_CHAIN_EXPIRED)
		fail(j, PEN_TLSRPT_CERTIFICATE_NOT_TRUSTED, tls_chain_reason(e));
	else
		fail(j, tls_chain_result(e), e == TLS_CHAIN_EXPIRED ? NULL : tls_chain_reason(e));
}

static void fingerprint(struct judge *j)
{
	const struct pen_tls_policy *p = j->policy;

	j->out->trusted = by_anchors(j) == TLS_CHAIN_OK;
	j->out->matched = j->chain->n > 0 && tls_cert_has_fingerprint(&j->chain->cert[0], p->digest,
						     p->fingerprint, p->nfingerprints);
	if (p->nfingerprints == 0)
		fail(j, PEN_TLSRPT_VALIDATION_FAILURE, "all-fingerprints-unusable");
	else if (!j->out->matched)
		fail(j, PEN_TLSRPT_VALIDATION_FAILURE, "fingerprint_mismatch");
}

// ---- DANE

static bool is_usage(const struct pen_tlsa *r, uint8_t usage, uint32_t usable, uint32_t i)
{
	return r[i].usage == usage && (usable >> i & 1) != 0;
}

static bool end_entity(const struct judge *j, uint32_t usable, uint32_t n)
{
	for (uint32_t i = 0; i < n && j->chain->n > 0; i++) {
		if (is_usage(j->policy->tlsa, TLSA_EE, usable, i) &&
			tls_tlsa_match(&j->policy->tlsa[i], &j->chain->cert[0]))
			return true;
	}
	return false;
}

struct dane_anchors {
	struct tls_anchors set;
	struct tls_cert cert[PEN_TLSA_MAX + TLS_CHAIN_MAX];
	struct pen_span key[PEN_TLSA_MAX];
};

// The certificates above the peer's that some record names.
static void named_in_chain(
	const struct judge *j, uint32_t usable, uint32_t n, struct dane_anchors *a)
{
	for (uint32_t at = 1; at < j->chain->n; at++) {
		for (uint32_t i = 0; i < n; i++) {
			if (!is_usage(j->policy->tlsa, TLSA_TA, usable, i) ||
				!tls_tlsa_match(&j->policy->tlsa[i], &j->chain->cert[at]))
				continue;
			a->cert[a->set.n++] = j->chain->cert[at];
			break;
		}
	}
}

// Records that hold an anchor themselves, which the server need not send.
static void held_in_records(
	const struct judge *j, uint32_t usable, uint32_t n, struct dane_anchors *a)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct pen_tlsa *r = &j->policy->tlsa[i];
		struct pen_span data = pen_span(r->data, r->n);

		if (!is_usage(j->policy->tlsa, TLSA_TA, usable, i) || r->mtype != TLSA_FULL)
			continue;
		if (r->selector == TLSA_KEY)
			a->key[a->set.nkeys++] = data;
		else if (tls_cert_read(&a->cert[a->set.n], data))
			a->set.n++;
	}
}

static void trust_anchor(struct judge *j, uint32_t usable, uint32_t n)
{
	struct dane_anchors a = {.set = {.n = 0}};

	a.set.cert = a.cert;
	a.set.key = a.key;
	named_in_chain(j, usable, n, &a);
	held_in_records(j, usable, n, &a);
	if (!has_anchors(&a.set)) {
		fail(j, PEN_TLSRPT_VALIDATION_FAILURE, "no_matching_TLSA_records");
		return;
	}
	tls_anchors_order(&a.set);
	chain_and_name(j, tls_chain_verify(j->chain, &a.set, j->profile->intermediates));
}

static void dane(struct judge *j)
{
	uint32_t usable = 0;
	uint32_t n = j->policy->ntlsa < PEN_TLSA_MAX ? j->policy->ntlsa : PEN_TLSA_MAX;

	for (uint32_t i = 0; i < n; i++)
		usable |= (uint32_t)tls_tlsa_usable(&j->policy->tlsa[i]) << i;
	if (usable == 0) {
		j->out->tlsa_unusable = true;
		j->out->trusted = by_anchors(j) == TLS_CHAIN_OK;
		fail(j, PEN_TLSRPT_TLSA_INVALID, "all-TLSA-records-unusable");
	} else if (end_entity(j, usable, n)) {
		j->out->trusted = j->out->matched = true;
	} else {
		trust_anchor(j, usable, n);
	}
}

void tls_verify(const struct pen_tls_profile *profile, const struct pen_tls_policy *policy,
	const struct tls_chain *chain, struct pen_tls_peer *out, struct pen_tls_counters *ctr)
{
	struct judge j = {
		.profile = profile, .policy = policy, .chain = chain, .out = out, .ctr = ctr};

	*out = (struct pen_tls_peer){.certificate = true};
	if (policy->level >= PEN_TLS_VERIFY) {
		chain_and_name(&j, by_anchors(&j));
	} else if (pen_tls_is_dane(policy->level)) {
		dane(&j);
	} else if (policy->level == PEN_TLS_FINGERPRINT) {
		fingerprint(&j);
	} else {
		// Names at these levels are for a report only (MTA-STS, testing).
		if (policy->nnames > 0)
			chain_and_name(&j, by_anchors(&j));
		else
			out->trusted = by_anchors(&j) == TLS_CHAIN_OK;
		out->matched = true;
	}
	if (!out->matched)
		PEN_COUNT(ctr->certificate_mismatches);
}
