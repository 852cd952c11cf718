// SPDX-License-Identifier: BSD-3-Clause

// What a session teaches besides its deliveries: the TLS lines of the mail log,
// TLSRPT events, and which hosts TLS works with.
//
// Queue thread. smtp_tls_loglevel: 1 a line for each new TLS session; from 2 on
// also what a certificate lacked. Levels 3 and 4 add nothing: contents of TLS
// records do not belong into a log.

#include "pen_gateway.h"

#include <stdio.h>
#include <stdlib.h>

static const char *peer_text(const struct pen_lease_host *h, char *out, size_t cap)
{
	char addr[PEN_ADDR_STR_MAX];

	snprintf(out, cap, "%s[%s]:%u", h->name, pen_addr_str(&h->addr, addr), h->port);
	return out;
}

// "Verified TLS connection established to mx[192.0.2.1]:25: TLSv1.3 with cipher X (128/128 bits)"
static void log_established(struct pen_gateway *g, const struct pen_lease *l)
{
	const struct pen_lease_host *h = &l->host[l->host_used];
	char peer[512];

	pen_maillog_line(g->maillog, "smtp",
		"%s TLS connection %s to %s: %s with cipher %s (%u/%u bits)",
		pen_tls_word(h->tls, &l->tls_peer), l->tls_peer.resumed ? "reused" : "established",
		peer_text(h, peer, sizeof(peer)), l->tls_protocol, l->tls_cipher, l->tls_bits,
		l->tls_bits);
}

static void log_failing(struct pen_gateway *g, const struct pen_lease_host *h, const char *reason)
{
	char peer[512];

	pen_maillog_line(g->maillog, "smtp", "certificate verification failed for %s: %s",
		peer_text(h, peer, sizeof(peer)), reason);
}

// What was wrong with it, also where the level does not mind.
static void log_certificate(struct pen_gateway *g, const struct pen_lease *l)
{
	const struct pen_lease_host *h = &l->host[l->host_used];

	if (g->config->params.smtp_tls_loglevel < 2 || !l->tls_peer.certificate)
		return;
	if (l->tls_peer.reason != NULL)
		log_failing(g, h, l->tls_peer.reason);
	else if (l->tls_peer.failure != PEN_TLSRPT_NONE)
		log_failing(g, h, pen_tlsrpt_result_name(l->tls_peer.failure));
	else if (!l->tls_peer.trusted && !l->tls_peer.matched)
		log_failing(g, h, "untrusted issuer");
}

static void came_up(struct pen_gateway *g, const struct pen_lease *l)
{
	const struct pen_params *p = &g->config->params;
	const struct pen_lease_host *h = &l->host[l->host_used];

	if (l->tls) {
		if (p->smtp_tls_loglevel >= 1)
			log_established(g, l);
		log_certificate(g, l);
		tls_hosts_note(g->tls_hosts, h->name, pen_clock_mono());
	} else if (p->smtp_tls_note_starttls_offer && l->starttls_offered) {
		pen_maillog_line(g->maillog, "smtp", "Host offered STARTTLS: [%s]", h->name);
	}
}

// "TLSRPT: status=failure, domain=d, receiving_mx=h[a], failure_type=t, failure_reason=r"
static void report(struct pen_gateway *g, const struct pen_lease *l, uint32_t i)
{
	const struct pen_lease_host *h = &l->host[i];
	bool ok = h->tls_event == PEN_TLSRPT_SUCCESS;
	char addr[PEN_ADDR_STR_MAX];

	if (h->tls_event == PEN_TLSRPT_NONE || h->tls->report.domain == NULL)
		return;
	if (ok && l->tls_peer.resumed && g->config->params.tlsrpt_skip_reused_handshakes)
		return;
	pen_maillog_line(g->maillog, "smtp",
		"TLSRPT: status=%s, domain=%s, receiving_mx=%s[%s]%s%s%s%s",
		ok ? "success" : "failure", h->tls->report.domain, h->name,
		pen_addr_str(&h->addr, addr), ok ? "" : ", failure_type=",
		ok ? "" : pen_tlsrpt_result_name((enum pen_tlsrpt_result)h->tls_event),
		!ok && h->tls_reason != NULL ? ", failure_reason=" : "",
		!ok && h->tls_reason != NULL ? h->tls_reason : "");
	if (g->tlsrpt != NULL)
		pen_tlsrpt_session(g->tlsrpt, l, i);
}

// An MTA-STS policy may be behind the failure: whether there is a newer one is
// known before the next try (RFC 8461 5.1).
struct refresh {
	struct pen_sts_service *sts;
	char domain[256];
};

static void refresh_elsewhere(void *ctx)
{
	struct refresh *r = ctx;

	pen_sts_refresh(r->sts, r->domain, NULL, NULL);
	free(r);
}

static void refresh_policy(struct pen_gateway *g, const struct pen_lease *l)
{
	const struct pen_tls_policy *p = l->nhosts > 0 ? l->host[0].tls : NULL;

	if (g->sts == NULL || p == NULL || p->report.type != PEN_TLSRPT_STS)
		return;
	struct refresh *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return;
	r->sts = g->sts;
	snprintf(r->domain, sizeof(r->domain), "%s", p->nexthop);
	if (pen_dns_post(g->dns, refresh_elsewhere, r) != 0)
		free(r);
}

void pen_session_op(void *ctx, const struct pen_lease *l, bool ended)
{
	struct pen_gateway *g = ctx;

	// All that reports tell happens before the first mail, and a session may
	// stay up for long.
	for (uint32_t i = 0; i < l->nhosts && !(ended && l->ready); i++)
		report(g, l, i);
	if (!ended) {
		came_up(g, l);
		return;
	}
	if (!l->ready)
		refresh_policy(g, l);
	// A session that was refused because of its certificate is worth a line, too.
	if (!l->ready && l->host_tried && l->tls_peer.certificate) {
		if (l->tls && g->config->params.smtp_tls_loglevel >= 1)
			log_established(g, l);
		log_certificate(g, l);
	}
}

void pen_prepare_op(void *ctx, struct pen_lease *l)
{
	struct pen_gateway *g = ctx;
	pen_time_us now = pen_clock_mono();

	for (uint32_t i = 0; i < l->nhosts; i++)
		l->host[i].tls_remembered = tls_hosts_seen(g->tls_hosts, l->host[i].name, now);
}
