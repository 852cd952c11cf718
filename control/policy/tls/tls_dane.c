// SPDX-License-Identifier: BSD-3-Clause

// DANE for SMTP: whether a host's TLSA records are asked for, under which names,
// and what level and records come of the answer. RFC 7672; RFC 7671 for digest
// agility.

#include "tls_private.h"

#include <stdio.h>
#include <strings.h>

uint32_t tls_dane_names(const struct pen_tls_settings *s, enum pen_tls_level level,
	const struct pen_tls_host_facts *facts, const char *name[2])
{
	bool alias = facts->canonical[0] != '\0' && strcasecmp(facts->canonical, facts->host) != 0;
	bool insecure_mx = facts->from_mx && !facts->mx_secure;

	if ((level != PEN_TLS_DANE && level != PEN_TLS_DANE_ONLY) || !s->dane_possible ||
		facts->literal)
		return 0;
	if (insecure_mx && (level == PEN_TLS_DANE_ONLY || s->insecure_mx <= PEN_TLS_MAY))
		return 0;
	if (!alias) {
		name[0] = facts->host;
		return facts->addr_secure || s->force_tlsa ? 1 : 0;
	}
	if (facts->addr_secure) {
		name[0] = facts->canonical;
		name[1] = facts->host;
		return 2;
	}
	name[0] = facts->host;
	return facts->alias_secure ? 1 : 0;
}

// What one record is good for.
enum fitness {
	UNFIT,   // not for SMTP, or nothing that could be compared
	REFUSED, // well formed, but the engine cannot or must not use it
	FIT,
};

static enum fitness fitness(const struct tls_digest_order *order, const struct pen_tlsa *r)
{
	// PKIX-TA and PKIX-EE are not for SMTP (RFC 7672 3.1.3).
	if ((r->usage != 2 && r->usage != 3) || r->mtype == 255 || r->n == 0 ||
		r->n > PEN_TLSA_DATA_MAX)
		return UNFIT;
	if (r->selector > 1 || r->mtype > 2)
		return REFUSED;
	if (r->mtype == 0)
		return FIT;
	return r->n == (r->mtype == 1 ? 32 : 64) && order->rank[r->mtype] > 0 ? FIT : REFUSED;
}

uint32_t tls_tlsa_select(const struct tls_digest_order *order, const struct pen_tlsa *record,
	uint32_t n, const struct pen_tlsa *use[PEN_TLSA_MAX], bool *engine_refuses)
{
	uint8_t best[2][2] = {{0}}; // by usage - 2 and selector
	uint32_t used = 0, refused = 0;

	n = n < PEN_TLSA_MAX ? n : PEN_TLSA_MAX;
	for (uint32_t i = 0; i < n; i++) {
		const struct pen_tlsa *r = &record[i];
		enum fitness fit = fitness(order, r);
		refused += fit == REFUSED;
		if (fit == FIT && order->rank[r->mtype] > best[r->usage - 2][r->selector])
			best[r->usage - 2][r->selector] = order->rank[r->mtype];
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct pen_tlsa *r = &record[i];
		if (fitness(order, r) == FIT &&
			(r->mtype == 0 || order->rank[r->mtype] == best[r->usage - 2][r->selector]))
			use[used++] = r;
	}
	*engine_refuses = used == 0 && refused > 0;
	for (uint32_t i = 0; i < n && *engine_refuses; i++) {
		if (fitness(order, &record[i]) == REFUSED)
			use[used++] = &record[i];
	}
	return used;
}

static void skip(struct tls_dane *out, enum pen_tlsrpt_result failure, const char *text)
{
	out->skip = true;
	out->failure = failure;
	out->decides = true;
	pen_dsn_set(&out->why, 4, 7, 5, PEN_SCOPE_SESSION, PEN_ORIGIN_POLICY, PEN_STAGE_NONE, "%s",
		text);
}

// No DANE for this host: what the level then is.
static void without(struct tls_dane *out, enum pen_tls_level level, enum pen_tlsrpt_result failure,
	const char *text)
{
	if (level == PEN_TLS_DANE_ONLY)
		skip(out, failure, text);
	else
		out->level = PEN_TLS_MAY;
}

static bool lookup_failed(const struct pen_tlsa_lookup *l)
{
	return !l->asked || l->status == PEN_DNS_FAILED || l->status == PEN_DNS_BOGUS ||
	       l->status == PEN_DNS_MALFORMED;
}

static void use_records(const struct pen_tls_settings *s, enum pen_tls_level level,
	const struct pen_tls_host_facts *facts, struct tls_dane *out)
{
	const struct pen_tlsa_lookup *l = out->lookup;
	bool insecure_mx = facts->from_mx && !facts->mx_secure, refused;

	out->n = tls_tlsa_select(&s->digests, l->record, l->n, out->use, &refused);
	if (l->n > PEN_TLSA_MAX)
		out->warning = "more TLSA records than are looked at";
	if (out->n == 0) {
		out->failure = PEN_TLSRPT_TLSA_INVALID;
		if (level == PEN_TLS_DANE_ONLY)
			skip(out, PEN_TLSRPT_TLSA_INVALID, "TLSA records unusable");
		else
			out->level = PEN_TLS_ENCRYPT;
	} else if (!insecure_mx) {
		out->level = level;
		// Records that only the engine refuses secure nothing (D11).
		out->decides = !refused || level == PEN_TLS_DANE_ONLY;
	} else {
		out->level = s->insecure_mx == PEN_TLS_ENCRYPT ? PEN_TLS_ENCRYPT : PEN_TLS_HALFDANE;
	}
	if (!pen_tls_is_dane(out->level))
		out->n = 0;
}

void tls_dane_decide(const struct pen_tls_settings *s, enum pen_tls_level level,
	const struct pen_tls_host_facts *facts, struct tls_dane *out)
{
	const char *name[2];
	bool insecure_mx = facts->from_mx && !facts->mx_secure;
	char text[320];

	out->level = level;
	out->skip = out->decides = false;
	out->failure = PEN_TLSRPT_NONE;
	out->lookup = NULL;
	out->base = facts->host;
	out->n = 0;
	out->warning = NULL;
	if (level != PEN_TLS_DANE && level != PEN_TLS_DANE_ONLY)
		return;
	if (!s->dane_possible) {
		out->warning = "DANE is not possible without DNSSEC lookups "
			       "(smtp_dns_support_level, smtp_host_lookup)";
		without(out, level, PEN_TLSRPT_NONE, "client TLS configuration problem");
		return;
	}
	if (insecure_mx && (level == PEN_TLS_DANE_ONLY || s->insecure_mx <= PEN_TLS_MAY)) {
		without(out, level, PEN_TLSRPT_DANE_REQUIRED, "non DNSSEC destination");
		return;
	}
	uint32_t n = tls_dane_names(s, level, facts, name);
	for (uint32_t i = 0; i < n; i++) {
		const struct pen_tlsa_lookup *l = &facts->tlsa[i];
		out->base = name[i];
		if (lookup_failed(l)) {
			snprintf(text, sizeof(text), "TLSA lookup error for %.255s:%u", facts->host,
				facts->port);
			out->lookup = l;
			skip(out, PEN_TLSRPT_DNSSEC_INVALID, text);
			return;
		}
		if (l->status == PEN_DNS_OK && l->secure && l->n > 0) {
			out->lookup = l;
			use_records(s, level, facts, out);
			return;
		}
	}
	out->base = facts->host;
	without(out, level, PEN_TLSRPT_DANE_REQUIRED, "no TLSA records found");
}
