// SPDX-License-Identifier: BSD-3-Clause
#include "pen_hop_json.h"

#include <stdio.h>

static json_t *text(const char *s)
{
	json_t *t = json_string(s);

	return t != NULL ? t : json_string("?"); // not UTF-8
}

static void set_text(json_t *o, const char *key, const char *s)
{
	if (s != NULL && s[0] != '\0')
		json_object_set_new(o, key, text(s));
}

static const char *security(bool secure)
{
	return secure ? "secure" : "insecure";
}

static json_t *dsn_json(const struct pen_dsn *d)
{
	char status[32];

	snprintf(status, sizeof(status), "%u.%u.%u", d->klass, d->subject, d->detail);
	return json_pack("{s:s,s:s,s:o}", "result",
		d->klass == 2   ? "ok"
		: d->klass == 5 ? "bounced"
				: "deferred",
		"status", status, "text", text(d->text));
}

// ---- what was looked up

static json_t *mx_json(const struct pen_hop_answer *a)
{
	const struct pen_dns_hosts *h = a->hosts;
	json_t *list = json_array();
	char addr[PEN_ADDR_STR_MAX];

	for (uint32_t i = 0; i < h->nhosts; i++) {
		const struct pen_dns_host *d = &h->host[i];
		json_t *o = json_pack("{s:o,s:i,s:s,s:i,s:s}", "host", text(d->name), "preference",
			d->preference, "address", pen_addr_str(&d->addr, addr), "port", d->port,
			"dnssec", security(d->secure));
		set_text(o, "canonical", d->canonical);
		json_array_append_new(list, o);
	}
	json_t *o = json_pack("{s:b,s:o}", "from_mx", h->from_mx, "hosts", list);
	if (h->from_mx)
		json_object_set_new(o, "dnssec", json_string(security(h->mx_secure)));
	set_text(o, "domain_canonical", h->domain_canonical);
	set_text(o, "warning", h->warning);
	return o;
}

static json_t *sts_json(const struct pen_hop_answer *a)
{
	static const char *const modes[] = {[PEN_STS_NONE] = "none",
		[PEN_STS_TESTING] = "testing",
		[PEN_STS_ENFORCE] = "enforce"};
	const struct pen_sts_policy *p = a->sts;

	if (!a->sts_asked)
		return json_pack("{s:b}", "asked", 0);
	if (p == NULL)
		return json_pack("{s:b,s:s}", "asked", 1, "mode", "no policy");
	json_t *mx = json_array();
	for (uint32_t i = 0; i < p->nmx; i++)
		json_array_append_new(mx, text(p->mx[i]));
	json_t *o = json_pack("{s:b,s:s,s:s,s:i,s:o}", "asked", 1, "mode", modes[p->mode], "id",
		p->id, "max_age", (int)p->max_age_s, "mx", mx);
	if (p->failure != PEN_TLSRPT_NONE)
		set_text(o, "failure", pen_tlsrpt_result_name(p->failure));
	return o;
}

static json_t *tlsrpt_json(const struct pen_hop_answer *a)
{
	json_t *to = json_array();

	for (uint32_t i = 0; a->tlsrpt && i < a->rua.n; i++)
		json_array_append_new(to, text(a->rua.to[i].uri));
	return json_pack("{s:b,s:o}", "asked", a->tlsrpt_asked, "rua", to);
}

static json_t *tlsa_json(const struct pen_tlsa_lookup *l)
{
	json_t *list = json_array();
	char line[64];

	for (uint32_t i = 0; i < l->n; i++) {
		const struct pen_tlsa *r = &l->record[i];
		snprintf(line, sizeof(line), "%u %u %u (%u bytes)", r->usage, r->selector, r->mtype,
			r->n);
		json_array_append_new(list, json_string(line));
	}
	return json_pack("{s:o,s:s,s:s,s:o}", "base", text(l->base), "answer",
		pen_dns_status_name(l->status), "dnssec", security(l->secure), "records", list);
}

// ---- what would follow

static json_t *verdict_json(const struct pen_tls_verdict *v, const struct pen_tls_field *st)
{
	static const char *const actions[] = {
		[PEN_TLS_GO_ON] = "deliver",
		[PEN_TLS_START] = "start TLS",
		[PEN_TLS_RETRY_PLAIN] = "retry without TLS on a new connection",
		[PEN_TLS_LEAVE] = "try the next host",
	};
	char field[PEN_TLS_FIELD_MAX];

	pen_tls_field_str(st, field);
	json_t *o = json_pack("{s:s,s:s}", "action", actions[v->action], "tls", field);
	if (v->action == PEN_TLS_LEAVE)
		json_object_set_new(o, "at_the_last_host", dsn_json(&v->why));
	return o;
}

struct what_if {
	const struct pen_tls_policy *p;
	const struct pen_tls_rules *rules;
	const char *peer;
	struct pen_tls_field begun;
};

static json_t *if_not_offered(const struct what_if *w)
{
	struct pen_tls_field st = w->begun;
	struct pen_tls_verdict v;

	pen_tls_offer(w->p, false, false, true, w->peer, &st, &v);
	if (v.action == PEN_TLS_GO_ON)
		pen_tls_ready(w->p, false, false, w->peer, &st, &v);
	return verdict_json(&v, &st);
}

static json_t *if_refused(const struct what_if *w)
{
	struct pen_tls_field st = w->begun;
	struct pen_tls_verdict v;
	struct pen_dsn said;

	pen_dsn_set(&said, 5, 5, 1, PEN_SCOPE_SESSION, PEN_ORIGIN_PEER, PEN_STAGE_STARTTLS,
		"502 5.5.1 command not implemented");
	said.reply = 502;
	pen_tls_refused(w->p, &said, w->peer, &st, &v);
	if (v.action == PEN_TLS_GO_ON)
		pen_tls_ready(w->p, false, false, w->peer, &st, &v);
	return verdict_json(&v, &st);
}

static json_t *if_handshake_fails(const struct what_if *w)
{
	struct pen_tls_field st = w->begun;
	struct pen_tls_verdict v;

	pen_tls_handshake_failed(w->p, w->rules, "", NULL, w->peer, &st, &v);
	return verdict_json(&v, &st);
}

static json_t *if_mismatch(const struct what_if *w)
{
	struct pen_tls_peer peer = {.certificate = true,
		.trusted = true,
		.matched = !pen_tls_must_match(w->p->level),
		.failure = pen_tls_must_match(w->p->level) ? PEN_TLSRPT_CERTIFICATE_HOST_MISMATCH
							   : PEN_TLSRPT_NONE};
	struct pen_tls_field st = w->begun;
	struct pen_tls_verdict v;

	pen_tls_established(w->p, &peer, w->peer, &st, &v);
	if (v.action == PEN_TLS_GO_ON)
		pen_tls_ready(w->p, true, true, w->peer, &st, &v);
	return verdict_json(&v, &st);
}

static json_t *if_no_requiretls(const struct what_if *w)
{
	struct pen_tls_peer peer = {.certificate = true, .trusted = true, .matched = true};
	struct pen_tls_field st = w->begun;
	struct pen_tls_verdict v;

	pen_tls_established(w->p, &peer, w->peer, &st, &v);
	pen_tls_ready(w->p, true, false, w->peer, &st, &v);
	return verdict_json(&v, &st);
}

static json_t *names_json(const struct pen_tls_policy *p)
{
	json_t *names = json_array();
	char dotted[260];

	for (uint32_t i = 0; i < p->nnames; i++) {
		snprintf(dotted, sizeof(dotted), "%s%s", p->name[i].domain ? "." : "",
			p->name[i].name);
		json_array_append_new(names, text(dotted));
	}
	return names;
}

static void add_what_if(
	json_t *o, const struct pen_tls_policy *p, const struct pen_tls_rules *rules)
{
	struct what_if w = {.p = p, .rules = rules, .peer = p->host};
	struct pen_tls_verdict v;

	pen_tls_begin(p, false, &w.begun, &v);
	if (v.action == PEN_TLS_LEAVE) {
		json_object_set_new(o, "connect", verdict_json(&v, &w.begun));
		return;
	}
	if (p->level == PEN_TLS_NONE)
		return;
	json_object_set_new(o, "if_starttls_not_offered", if_not_offered(&w));
	json_object_set_new(o, "if_starttls_refused", if_refused(&w));
	json_object_set_new(o, "if_handshake_fails", if_handshake_fails(&w));
	json_object_set_new(o, "if_certificate_differs", if_mismatch(&w));
	if (p->requiretls > PEN_REQUIRETLS_DISABLE)
		json_object_set_new(o, "if_requiretls_not_offered", if_no_requiretls(&w));
}

static json_t *policy_json(const struct pen_hop_name *n, const struct pen_tls_rules *rules)
{
	static const char *const requiretls[] = {
		[PEN_REQUIRETLS_DISABLE] = "",
		[PEN_REQUIRETLS_OPPORTUNISTIC] = "opportunistic",
		[PEN_REQUIRETLS_STARTTLS] = "opportunistic+starttls",
		[PEN_REQUIRETLS_ENFORCE] = "enforce",
	};
	const struct pen_tls_policy *p = n->policy;
	json_t *o = json_pack("{s:o,s:s}", "host", text(n->facts.host), "level",
		pen_tls_level_name(p->skipped ? p->skip_level : p->level));

	set_text(o, "rule", p->rule);
	set_text(o, "requiretls", requiretls[p->requiretls]);
	set_text(o, "servername", p->servername);
	if (p->nnames > 0)
		json_object_set_new(o, "match", names_json(p));
	if (p->nfingerprints > 0)
		json_object_set_new(o, "fingerprints", json_integer(p->nfingerprints));
	json_t *tlsa = json_array();
	for (int i = 0; i < 2; i++) {
		if (n->facts.tlsa[i].asked)
			json_array_append_new(tlsa, tlsa_json(&n->facts.tlsa[i]));
	}
	json_object_set_new(o, "tlsa", tlsa);
	set_text(o, "warning", n->warning);
	add_what_if(o, p, rules);
	return o;
}

json_t *pen_hop_json(const struct pen_hop_answer *a, const struct pen_tls_rules *rules)
{
	static const char *const demands[] = {[PEN_DEMAND_NONE] = "none",
		[PEN_DEMAND_REQUIRETLS] = "requiretls",
		[PEN_DEMAND_NOT_REQUIRED] = "tls not required"};
	json_t *o = json_pack("{s:o,s:s,s:o}", "nexthop", text(a->text), "demand",
		demands[a->demand], "lookup", dsn_json(&a->status));

	if (!pen_dsn_ok(&a->status))
		return o;
	json_t *tls = json_array();
	for (uint32_t i = 0; i < a->nnames; i++)
		json_array_append_new(tls, policy_json(&a->name[i], rules));
	json_object_set_new(o, "mx", mx_json(a));
	json_object_set_new(o, "sts", sts_json(a));
	json_object_set_new(o, "tlsrpt", tlsrpt_json(a));
	set_text(o, "rule", a->site.rule.text);
	set_text(o, "warning", a->site.warning);
	json_object_set_new(o, "tls", tls);
	set_text(o, "site", a->site_key);
	json_object_set_new(o, "ttl", json_integer(a->ttl_s));
	return o;
}
