// SPDX-License-Identifier: BSD-3-Clause

// A delivery attempt: configuration and facts decide each host's policy, and the
// attempt goes over hosts that behave as the case says. Everything but the hosts
// is what the gateway runs.

#include "policy_case.h"
#include "policy_world.h"

#include "pen_attempt.h"
#include "pen_trouble.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOSTS 16
#define TLSA_LINES 32

// How a host behaves: the words of its line.
struct host {
	const struct case_line *line;
	const char *name;
	struct pen_tls_host_facts facts;
	struct pen_tls_policy *policy;
	char warning[512];
	uint32_t connections;
};

struct session_case {
	struct policy_case *c;
	struct policy_world w;
	struct pen_tls_site_decision site;
	struct host host[HOSTS];
	int nhosts;
	struct pen_tlsa tlsa[TLSA_LINES];
	struct pen_lease lease;
	struct pen_smtp_rules rules;
	bool sent;
};

static const char *value(const struct host *h, const char *key, const char *otherwise)
{
	const char *v = case_value(h->line, key);

	return v != NULL ? v : otherwise;
}

// The argument of the case's line `word`, or `otherwise`.
static const char *setting(const struct policy_case *c, const char *word, const char *otherwise)
{
	for (int i = 0; i < c->n; i++) {
		if (strcmp(c->line[i].word[0], word) == 0)
			return c->line[i].n > 1 ? c->line[i].rest : "";
	}
	return otherwise;
}

static bool yes(const char *v)
{
	return strcmp(v, "yes") == 0 || strcmp(v, "secure") == 0;
}

// ---- facts

static enum pen_dns_status status_of(const char *word, bool *secure)
{
	*secure = strcmp(word, "secure") == 0;
	if (strcmp(word, "servfail") == 0)
		return PEN_DNS_FAILED;
	if (strcmp(word, "bogus") == 0)
		return PEN_DNS_BOGUS;
	if (strcmp(word, "nxdomain") == 0)
		return PEN_DNS_NXDOMAIN;
	if (strcmp(word, "nodata") == 0)
		return PEN_DNS_NODATA;
	return PEN_DNS_OK;
}

static uint16_t hex_data(const char *hex, uint8_t *out, size_t cap)
{
	size_t n = 0;
	unsigned byte;

	while (n < cap && sscanf(hex + 2 * n, "%2x", &byte) == 1 && hex[2 * n + 1] != '\0')
		out[n++] = (uint8_t)byte;
	return (uint16_t)n;
}

// "tlsa BASE STATUS [USAGE SELECTOR MTYPE HEX]": the lines of one base are one
// answer.
static void look_up_tlsa(struct session_case *s, struct pen_tlsa_lookup *l, const char *base)
{
	static uint8_t data[TLSA_LINES][256];
	uint32_t first = TLSA_LINES;

	l->asked = true;
	l->status = PEN_DNS_NXDOMAIN;
	snprintf(l->base, sizeof(l->base), "%.255s", base);
	for (int i = 0; i < s->c->n; i++) {
		const struct case_line *line = &s->c->line[i];
		if (strcmp(line->word[0], "tlsa") != 0 || strcmp(line->word[1], base) != 0)
			continue;
		l->status = status_of(line->word[2], &l->secure);
		if (line->n < 7)
			continue;
		if (first == TLSA_LINES)
			first = (uint32_t)i % TLSA_LINES;
		struct pen_tlsa *t = &s->tlsa[first + l->n];
		*t = (struct pen_tlsa){.usage = (uint8_t)atoi(line->word[3]),
			.selector = (uint8_t)atoi(line->word[4]),
			.mtype = (uint8_t)atoi(line->word[5]),
			.n = hex_data(line->word[6], data[first + l->n], 256),
			.data = data[first + l->n]};
		l->n++;
	}
	l->record = l->n > 0 ? &s->tlsa[first] : NULL;
}

static void ask_tlsa(struct session_case *s, struct host *h)
{
	char base[2][256];
	uint32_t n = pen_tls_tlsa_names(s->w.settings, &s->site, &h->facts, base);

	for (uint32_t i = 0; i < n; i++) {
		struct pen_tlsa_lookup *l = &h->facts.tlsa[i];
		look_up_tlsa(s, l, base[i]);
		bool none = l->status == PEN_DNS_NXDOMAIN || l->status == PEN_DNS_NODATA ||
			    (l->status == PEN_DNS_OK && !l->secure);
		if (!none)
			return;
	}
}

static void gather_hosts(struct session_case *s)
{
	const char *mx = setting(s->c, "mx", "insecure");

	for (int i = 0; i < s->c->n && s->nhosts < HOSTS; i++) {
		if (strcmp(s->c->line[i].word[0], "host") != 0)
			continue;
		struct host *h = &s->host[s->nhosts++];
		h->line = &s->c->line[i];
		h->name = h->line->n > 1 ? h->line->word[1] : "";
		h->facts = (struct pen_tls_host_facts){
			.host = h->name,
			.canonical = value(h, "canonical", ""),
			.literal = yes(value(h, "literal", "no")),
			.from_mx = strcmp(mx, "none") != 0,
			.mx_secure = yes(mx),
			.addr_secure = yes(value(h, "addr", "insecure")),
			.alias_secure = yes(value(h, "alias", "insecure")),
			.domain_canonical = setting(s->c, "domain-canonical", ""),
			.port = (uint16_t)atoi(value(h, "port", "25")),
			.engine = yes(setting(s->c, "engine", "yes")),
			.sts = s->w.sts,
		};
	}
}

static void decide(struct session_case *s)
{
	const char *text = setting(s->c, "nexthop", "example.com"),
		   *demand = setting(s->c, "demand", "none");
	struct pen_nexthop hop;

	if (pen_nexthop_parse(&hop, pen_span_cstr(text)) != NULL)
		case_fail(s->c, "%s is no next hop", text);
	pen_tls_site_decide(s->w.settings, &hop, text,
		strcmp(demand, "requiretls") == 0     ? PEN_DEMAND_REQUIRETLS
		: strcmp(demand, "tls-optional") == 0 ? PEN_DEMAND_NOT_REQUIRED
						      : PEN_DEMAND_NONE,
		strcmp(setting(s->c, "transport", "smtp"), "lmtp") == 0, &s->site);
	for (int i = 0; i < s->nhosts; i++) {
		struct host *h = &s->host[i];
		if (s->site.want_tlsa)
			ask_tlsa(s, h);
		h->policy = pen_tls_host_decide(s->w.settings, &s->site, &h->facts, h->warning);
		h->policy->offers_credentials = yes(setting(s->c, "credentials", "no"));
	}
}

// ---- the hosts

static void failure(struct pen_dsn *d, unsigned klass, unsigned subject, unsigned detail,
	enum pen_smtp_stage stage, const char *text)
{
	pen_dsn_set(d, klass, subject, detail, PEN_SCOPE_SESSION,
		stage == PEN_STAGE_CONNECT ? PEN_ORIGIN_LOCAL : PEN_ORIGIN_PEER, stage, "%s", text);
}

// What the handshake shows under the policy: "cert=" is match, or what is wrong.
static struct pen_tls_peer certificate(const struct host *h)
{
	static const struct {
		const char *word;
		struct pen_tls_peer peer;
	} kinds[] = {
		{"match", {.certificate = true, .trusted = true, .matched = true}},
		{"selfsigned", {.certificate = true,
				       .failure = PEN_TLSRPT_VALIDATION_FAILURE,
				       .reason = "self-signed_certificate"}},
		{"untrusted", {.certificate = true, .failure = PEN_TLSRPT_CERTIFICATE_NOT_TRUSTED}},
		{"name", {.certificate = true,
				 .trusted = true,
				 .failure = PEN_TLSRPT_CERTIFICATE_HOST_MISMATCH}},
		{"expired", {.certificate = true, .failure = PEN_TLSRPT_CERTIFICATE_EXPIRED}},
		{"tlsa", {.certificate = true,
				 .failure = PEN_TLSRPT_VALIDATION_FAILURE,
				 .reason = "tlsa-mismatch"}},
		{"tlsa-unusable", {.certificate = true,
					  .tlsa_unusable = true,
					  .failure = PEN_TLSRPT_TLSA_INVALID,
					  .reason = "all-TLSA-records-unusable"}},
		{"none", {.certificate = false}},
	};
	const char *word = value(h, "cert", "match");
	struct pen_tls_peer peer = kinds[0].peer;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].word, word) == 0)
			peer = kinds[i].peer;
	}
	// Below fingerprint nothing is demanded of it.
	if (!pen_tls_must_match(h->policy->level)) {
		peer.matched = true;
		peer.failure = PEN_TLSRPT_NONE;
	}
	return peer;
}

struct talk {
	struct session_case *s;
	struct pen_attempt *a;
	const struct host *h;
	const char *peer;
	struct pen_tls_verdict v;
};

static void leave(struct talk *t, enum pen_attempt_end how, const struct pen_dsn *why)
{
	pen_attempt_ended(t->a, how, why);
}

// After STARTTLS was answered with 220. False: the host was left.
static bool shake_hands(struct talk *t)
{
	struct pen_lease *l = &t->s->lease;
	struct pen_tls_rules r = pen_attempt_rules(l);
	const char *how = value(t->h, "handshake", "ok");
	struct pen_dsn lost;

	failure(&lost, 4, 4, 2, PEN_STAGE_TLS, "lost connection");
	if (strcmp(how, "ok") != 0) {
		pen_tls_handshake_failed(t->h->policy, &r, "bad record",
			strcmp(how, "lost") == 0 ? &lost : NULL, t->peer, &l->tls_field, &t->v);
	} else {
		struct pen_tls_peer peer = certificate(t->h);
		l->tls = true;
		pen_tls_established(t->h->policy, &peer, t->peer, &l->tls_field, &t->v);
	}
	pen_attempt_note(l, &t->v);
	if (t->v.action == PEN_TLS_GO_ON)
		return true;
	l->tls = false;
	leave(t,
		t->v.action == PEN_TLS_RETRY_PLAIN ? PEN_ATTEMPT_RETRY_PLAIN
						   : PEN_ATTEMPT_NO_SESSION,
		&t->v.why);
	return false;
}

static bool refused(struct talk *t, int reply)
{
	struct pen_lease *l = &t->s->lease;
	struct pen_dsn said;

	failure(&said, (unsigned)reply / 100, reply == 502 ? 5 : 7, reply == 502 ? 1 : 0,
		PEN_STAGE_STARTTLS, "no TLS now");
	said.reply = (uint16_t)reply;
	pen_tls_refused(t->h->policy, &said, t->peer, &l->tls_field, &t->v);
	pen_attempt_note(l, &t->v);
	if (t->v.action == PEN_TLS_GO_ON)
		return true;
	leave(t, PEN_ATTEMPT_NO_SESSION, &t->v.why);
	return false;
}

// From the greeting to the point where MAIL could be sent.
static bool talk(struct talk *t)
{
	struct pen_lease *l = &t->s->lease;
	const char *starttls = value(t->h, "starttls", "yes");
	int greeting = atoi(value(t->h, "greeting", "220"));
	struct pen_dsn why;

	if (greeting != 220) {
		failure(&why, greeting >= 500 && !l->rules->skip_5xx_greeting ? 5 : 4, 0, 0,
			PEN_STAGE_GREETING, "refused to talk to me");
		leave(t, PEN_ATTEMPT_NO_SESSION, &why);
		return false;
	}
	pen_tls_offer(t->h->policy, t->a->plain, strcmp(starttls, "no") != 0, t->h->facts.engine,
		t->peer, &l->tls_field, &t->v);
	pen_attempt_note(l, &t->v);
	if (t->v.action == PEN_TLS_LEAVE) {
		leave(t, PEN_ATTEMPT_NO_SESSION, &t->v.why);
		return false;
	}
	if (t->v.action == PEN_TLS_START) {
		bool fine = atoi(starttls) >= 400 ? refused(t, atoi(starttls)) : shake_hands(t);
		if (!fine)
			return false;
	}
	pen_tls_ready(t->h->policy, l->tls, yes(value(t->h, "requiretls", "no")), t->peer,
		&l->tls_field, &t->v);
	pen_attempt_note(l, &t->v);
	if (t->v.action != PEN_TLS_LEAVE)
		return true;
	l->tls = false;
	leave(t, PEN_ATTEMPT_PASSED, &t->v.why);
	return false;
}

static void attempt(struct session_case *s)
{
	struct pen_lease *l = &s->lease;
	struct pen_attempt a;

	pen_attempt_init(&a, l);
	while (pen_attempt_next(&a)) {
		struct host *h = &s->host[l->host_used];
		struct talk t = {.s = s, .a = &a, .h = h, .peer = h->name};
		h->connections++;
		if (strcmp(value(h, "connect", "ok"), "ok") != 0) {
			pen_attempt_no_connection(
				&a, l->host_used, PEN_HOST_REFUSED, value(h, "connect", "ok"));
			continue;
		}
		if (!talk(&t))
			continue;
		l->requiretls = t.v.send_requiretls;
		l->headers_only = t.v.headers_only;
		pen_attempt_ready(&a);
		s->sent = true;
		return;
	}
}

static void make_lease(struct session_case *s)
{
	const struct pen_params *p = &s->w.config->params;
	int64_t limit = p->smtp_mx_address_limit > 0 ? p->smtp_mx_address_limit : HOSTS;

	s->rules = (struct pen_smtp_rules){
		.session_limit = (uint32_t)p->smtp_mx_session_limit,
		.last_error_wins = p->smtp_last_error_wins,
		.refused_is_final = p->smtp_tls_refused_is_final,
		.skip_5xx_greeting = true,
	};
	s->lease.rules = &s->rules;
	s->lease.plain_retry =
		atol(setting(s->c, "age", "0")) * PEN_US_PER_S >= p->smtp_tls_fallback_delay;
	for (int i = 0; i < s->nhosts && i < limit; i++) {
		struct pen_lease_host *h = &s->lease.host[s->lease.nhosts++];
		h->name = s->host[i].policy->host;
		h->tls = s->host[i].policy;
		h->addr = pen_addr_ip4(0xc0000201 + (uint32_t)i);
		h->port = s->host[i].facts.port;
		h->tls_remembered = yes(value(&s->host[i], "remembered", "no"));
	}
}

// ---- expectations

static void check_outcome(struct session_case *s, const struct case_line *e)
{
	const struct pen_dsn *d = &s->lease.result;
	const char *got = "sent";
	char status[32] = "";

	if (!s->sent) {
		enum pen_verdict v = pen_trouble_judge(d, PEN_TROUBLE_LEASE, false);
		got = v == PEN_VERDICT_BOUNCE ? "bounced" : "deferred";
		snprintf(status, sizeof(status), "%u.%u.%u", d->klass, d->subject, d->detail);
	}
	case_expect_text(s->c, "the outcome", got, e->word[1]);
	if (e->n > 2 && strchr(e->word[2], '=') == NULL)
		case_expect_text(s->c, "the status", status, e->word[2]);
	const char *text = case_value(e, "text");
	if (text != NULL && strstr(d->text, text) == NULL)
		case_fail(s->c, "the text is \"%s\", expected \"%s\" in it", d->text, text);
}

static void check_values(struct session_case *s, const struct case_line *e)
{
	const struct pen_lease *l = &s->lease;
	char field[PEN_TLS_FIELD_MAX], number[16];
	const char *want;

	pen_tls_field_str(&l->tls_field, field);
	if ((want = case_value(e, "tls")) != NULL)
		case_expect_text(s->c, "tls=", field, want);
	if ((want = case_value(e, "level")) != NULL)
		case_expect_text(s->c, "the level",
			pen_tls_level_name(l->host[l->host_used].tls->level), want);
	if ((want = case_value(e, "via")) != NULL)
		case_expect_text(s->c, "the host", l->host[l->host_used].name, want);
	if ((want = case_value(e, "event")) != NULL)
		case_expect_text(s->c, "the TLSRPT event",
			pen_tlsrpt_result_name(
				(enum pen_tlsrpt_result)l->host[l->host_used].tls_event),
			want);
	if ((want = case_value(e, "mail")) != NULL)
		case_expect_text(
			s->c, "MAIL's parameter", l->requiretls ? "requiretls" : "plain", want);
	if ((want = case_value(e, "ret")) != NULL)
		case_expect_text(s->c, "RET", l->headers_only ? "hdrs" : "unset", want);
	if ((want = case_value(e, "encrypted")) != NULL)
		case_expect_text(s->c, "encryption", l->tls ? "yes" : "no", want);
	if ((want = case_value(e, "connections")) != NULL) {
		uint32_t n = 0;
		for (int i = 0; i < s->nhosts; i++)
			n += s->host[i].connections;
		snprintf(number, sizeof(number), "%u", n);
		case_expect_text(s->c, "the number of connections", number, want);
	}
	const struct pen_tls_policy *p = l->host[l->host_used].tls;
	if ((want = case_value(e, "sni")) != NULL)
		case_expect_text(
			s->c, "the server name", p->servername != NULL ? p->servername : "", want);
	if ((want = case_value(e, "word")) != NULL) {
		struct pen_tls_peer peer = certificate(&s->host[l->host_used]);
		case_expect_text(s->c, "the log's word", pen_tls_word(p, &peer), want);
	}
}

// "untried=HOST", and the warnings of the decisions.
static void check_rest(struct session_case *s, const struct case_line *e)
{
	const char *want = case_value(e, "untried");
	bool warned = s->site.warning[0] != '\0';

	for (int i = 0; i < s->nhosts; i++) {
		if (want != NULL && strcmp(want, s->host[i].name) == 0 &&
			s->host[i].connections > 0)
			case_fail(s->c, "%s was connected to", want);
		warned |= s->host[i].warning[0] != '\0';
	}
	want = case_value(e, "warning");
	if (want != NULL && yes(want) != (warned || s->w.warnings > 0))
		case_fail(s->c, "%s warning was given", warned ? "a" : "no");
	want = case_value(e, "requiretls");
	if (want != NULL && s->nhosts > 0) {
		static const char *const names[] = {
			"disable", "opportunistic", "opportunistic+starttls", "enforce"};
		case_expect_text(
			s->c, "the REQUIRETLS level", names[s->host[0].policy->requiretls], want);
	}
	want = case_value(e, "reuse");
	if (want != NULL && s->nhosts > 0 && yes(want) == s->host[0].policy->one_use)
		case_fail(s->c, "connections are %sreused", yes(want) ? "not " : "");
	want = case_value(e, "tlsa");
	if (want != NULL && s->nhosts > 0) {
		char got[256] = "";
		const struct pen_tls_policy *p = s->host[0].policy;
		for (uint32_t i = 0; i < p->ntlsa; i++)
			snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%u%u%u",
				i > 0 ? "," : "", p->tlsa[i].usage, p->tlsa[i].selector,
				p->tlsa[i].mtype);
		case_expect_text(s->c, "the TLSA records in use", got, want);
	}
	want = case_value(e, "names");
	if (want != NULL && s->nhosts > 0) {
		char got[1024] = "";
		const struct pen_tls_policy *p = s->host[0].policy;
		for (uint32_t i = 0; i < p->nnames; i++)
			snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s%s",
				i > 0 ? "," : "", p->name[i].domain ? "." : "", p->name[i].name);
		case_expect_text(s->c, "the names", got, want);
	}
}

bool case_session(struct policy_case *c)
{
	static struct session_case s;
	const struct case_line *e = NULL;
	bool hosts = false;

	for (int i = 0; i < c->n; i++) {
		hosts |= strcmp(c->line[i].word[0], "host") == 0;
		if (strcmp(c->line[i].word[0], "expect") == 0)
			e = &c->line[i];
	}
	if (!hosts)
		return false;
	memset(&s, 0, sizeof(s));
	s.c = c;
	if (e == NULL || e->n < 2) {
		case_fail(c, "it expects nothing");
		return true;
	}
	if (policy_world_make(&s.w, c)) {
		gather_hosts(&s);
		decide(&s);
		make_lease(&s);
		attempt(&s);
		check_outcome(&s, e);
		check_values(&s, e);
		check_rest(&s, e);
		for (int i = 0; i < s.nhosts; i++)
			pen_tls_policy_unref(s.host[i].policy);
		pen_tls_site_decision_fini(&s.site);
	}
	policy_world_free(&s.w);
	return true;
}
