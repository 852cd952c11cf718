// SPDX-License-Identifier: BSD-3-Clause

// From a site's decision and what was looked up of a host to the host's policy.

#include "tls_report.h"

#include "pen_params.h"
#include "pen_sts.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct deciding {
	const struct pen_tls_settings *s;
	const struct pen_tls_site_decision *site;
	const struct pen_tls_host_facts *facts;
	const struct pen_tls_attributes *a; // the table's, or main.cf's
	struct pen_tls_policy *p;
	struct tls_dane dane;
	bool tlsa_reported; // DANE is what a report names
	// An MTA-STS policy that is applied, or only reported (testing).
	const struct pen_sts_policy *sts;
	bool judged;    // a test under MTA-STS can be judged
	bool sts_match; // the certificate must be the host's, as RFC 8461 has it
	uint64_t profile_hash;
	char *warning;
};

bool tls_mx_allowed(char *const *pattern, uint32_t n, const char *host)
{
	for (uint32_t i = 0; i < n; i++) {
		if (pen_sts_pattern_match(pattern[i], host))
			return true;
	}
	return false;
}

static void warn(struct deciding *d, const char *what, const char *more)
{
	struct tls_text t;

	if (d->warning[0] != '\0')
		return;
	t = tls_text(d->warning, 512);
	tls_text_cstr(&t, "TLS policy lookup for ");
	tls_text_cstr(&t, d->p->nexthop);
	tls_text_cstr(&t, "/");
	tls_text_cstr(&t, d->p->host);
	tls_text_cstr(&t, ": ");
	tls_text_cstr(&t, what);
	tls_text_cstr(&t, more);
}

static void skip(struct deciding *d, enum pen_tls_level shown, const struct pen_dsn *why,
	enum pen_tlsrpt_result failure)
{
	d->p->skipped = true;
	d->p->skip_level = shown;
	d->p->skip = *why;
	d->p->failure = failure;
}

static void skip_text(struct deciding *d, enum pen_tls_level shown, enum pen_tlsrpt_result failure,
	const char *text, const char *more)
{
	struct pen_dsn why;

	pen_dsn_set(&why, 4, 7, 5, PEN_SCOPE_SESSION, PEN_ORIGIN_POLICY, PEN_STAGE_NONE, "%s%s",
		text, more);
	skip(d, shown, &why, failure);
}

// The policy cannot be used as it is written.
static void skip_config(struct deciding *d, const char *what, const char *rule)
{
	struct pen_dsn why;

	tls_dsn_config(&why);
	skip(d, PEN_TLS_INVALID, &why, PEN_TLSRPT_NONE);
	warn(d, what, rule);
}

static bool apply_base(struct deciding *d, struct tls_base *base)
{
	tls_base_decide(d->s, d->site, d->facts->host, base);
	d->p->level = base->level;
	if (base->warning[0] != '\0')
		snprintf(d->warning, 512, "%s", base->warning);
	if (!base->invalid)
		return true;
	skip(d, PEN_TLS_INVALID, &base->why, PEN_TLSRPT_NONE);
	d->p->level = PEN_TLS_INVALID;
	return false;
}

static bool apply_dane(struct deciding *d)
{
	struct tls_dane *dane = &d->dane;
	enum pen_tls_level asked = d->p->level;

	tls_dane_decide(d->s, asked, d->facts, dane);
	if (dane->warning != NULL)
		warn(d, dane->warning, "");
	d->tlsa_reported = dane->lookup != NULL || dane->failure != PEN_TLSRPT_NONE;
	if (dane->skip) {
		skip(d, asked, &dane->why, dane->failure);
		warn(d, dane->why.text, "");
		return false;
	}
	d->p->level = dane->level;
	d->p->report.note = dane->failure;
	return true;
}

static bool refuse_mx(struct deciding *d, const char *domain)
{
	skip_text(d, d->p->level, PEN_TLSRPT_VALIDATION_FAILURE,
		"MX host does not match the MTA-STS policy of ", domain);
	warn(d, "does not match STS MX pattern", "");
	return false;
}

// MTA-STS that came with the table's value (policy_type=sts).
static bool apply_table_sts(struct deciding *d)
{
	const struct pen_tls_attributes *a = d->site->attributes;
	uint32_t n = 0;

	if (a == NULL || d->p->level == PEN_TLS_NONE)
		return true;
	d->p->failure = a->failure;
	if (!a->sts)
		return true;
	d->p->no_common_name = true;
	if (!d->s->enforce_sts_mx)
		return true;
	d->sts_match = d->p->level >= PEN_TLS_VERIFY;
	while (a->mx != NULL && a->mx[n] != NULL)
		n++;
	if (n > 0 && !tls_mx_allowed(a->mx, n, d->facts->host))
		return refuse_mx(d, a->policy_domain != NULL ? a->policy_domain : d->p->nexthop);
	return true;
}

// MTA-STS that we looked up ourselves.
static bool apply_own_sts(struct deciding *d, bool local)
{
	const struct pen_sts_policy *sts = d->facts->sts;

	if (sts == NULL || local || !d->site->want_sts || d->p->level == PEN_TLS_NONE ||
		d->dane.decides)
		return true;
	if (sts->mode == PEN_STS_NONE && sts->failure == PEN_TLSRPT_NONE)
		return true;
	d->sts = sts;
	d->tlsa_reported = false;
	bool allowed =
		sts->mode == PEN_STS_NONE || tls_mx_allowed(sts->mx, sts->nmx, d->facts->host);
	if (sts->mode != PEN_STS_ENFORCE) {
		d->p->report.note = sts->failure;
		if (!allowed)
			d->p->report.note = PEN_TLSRPT_VALIDATION_FAILURE;
		return true;
	}
	d->p->report.note = PEN_TLSRPT_NONE;
	d->dane.n = 0;
	d->p->level = PEN_TLS_SECURE;
	d->p->no_common_name = true;
	d->sts_match = true;
	return allowed || !d->s->enforce_sts_mx || refuse_mx(d, sts->domain);
}

static bool apply_engine(struct deciding *d)
{
	enum pen_tls_level level = d->p->level;
	enum tls_class c = tls_class_of(level);
	char ciphers[TLS_CIPHERS_MAX];
	struct tls_profile made;

	if (d->s->wrapper && level < PEN_TLS_ENCRYPT) {
		skip_text(d, level, PEN_TLSRPT_NONE,
			"smtp_tls_wrappermode requires TLS level encrypt (or stronger)", "");
		warn(d, "smtp_tls_wrappermode needs level encrypt or stronger", "");
		return false;
	}
	if (level == PEN_TLS_NONE)
		return true;
	if (!d->facts->engine) {
		if (level > PEN_TLS_MAY)
			skip_text(d, level, PEN_TLSRPT_NONE,
				"TLS is required, but our TLS engine is unavailable", "");
		return level <= PEN_TLS_MAY;
	}
	bool testing = c == TLS_CLASS_MAY && d->sts != NULL && d->sts->mode == PEN_STS_TESTING;
	const struct tls_profile *profile =
		testing ? d->a->profile[TLS_CLASS_TESTING] : d->a->profile[c];
	// Without anything to judge by, a test must not change how mail goes out.
	if (testing && (profile == NULL || !profile->usable)) {
		d->judged = false;
		profile = d->a->profile[c];
	}
	if (profile == NULL) {
		tls_profile_make(d->s, d->a, c, ciphers, &made);
		profile = &made;
	}
	d->p->profile = profile->profile;
	d->profile_hash = profile->hash;
	if (profile->usable)
		return true;
	warn(d, "TLS cannot be set up: ", profile->why);
	if (level <= PEN_TLS_MAY)
		return true; // no profile: as if the engine were not there
	struct pen_dsn why;
	tls_dsn_config(&why);
	skip(d, level, &why, PEN_TLSRPT_NONE);
	return false;
}

// False: no memory.
static bool set_servername(struct deciding *d, const char *name)
{
	if (name == NULL || name[0] == '\0' || !pen_hostname_valid(pen_span_cstr(name)))
		return true; // an address is no SNI
	d->p->servername = strdup(name);
	return d->p->servername != NULL;
}

static bool fill_servername(struct deciding *d)
{
	const char *name = d->a->servername;

	if (pen_tls_is_dane(d->p->level))
		return set_servername(d, d->dane.base);
	if (d->sts != NULL && d->sts->mode == PEN_STS_ENFORCE)
		return set_servername(d, d->facts->host);
	if (name == NULL)
		name = d->s->defaults->servername;
	if (d->s->bad_servername && d->a->servername == NULL) {
		skip_config(d, "smtp_tls_servername is no valid host name", "");
		return true;
	}
	if (name != NULL && strcasecmp(name, "hostname") == 0)
		name = d->p->host;
	else if (name != NULL && strcasecmp(name, "nexthop") == 0)
		name = d->p->nexthop;
	return set_servername(d, name);
}

static bool fill_dane(struct deciding *d)
{
	struct pen_tls_policy *p = d->p;

	p->tlsa = calloc(d->dane.n, sizeof(*p->tlsa));
	if (p->tlsa == NULL)
		return false;
	for (uint32_t i = 0; i < d->dane.n; i++) {
		const struct pen_tlsa *from = d->dane.use[i];
		uint8_t *data = malloc(from->n);
		if (data == NULL)
			return false;
		memcpy(data, from->data, from->n);
		p->tlsa[p->ntlsa] = *from;
		p->tlsa[p->ntlsa++].data = data;
	}
	// Reference names of DANE-TA (RFC 7672 3.2.2); match= has no say here.
	if (!tls_name_add(p, d->dane.base, false))
		return false;
	if (!d->facts->from_mx)
		return true;
	const char *end = d->facts->domain_canonical;
	return tls_name_add(p, p->nexthop, false) &&
	       (end == NULL || end[0] == '\0' || tls_name_add(p, end, false));
}

static bool fill_fingerprints(struct deciding *d)
{
	const struct tls_fingerprints *f = &d->a->fingerprint;

	if (f->n == 0)
		f = &d->s->defaults->fingerprint;
	if (f->n == 0) {
		skip_config(d,
			"level fingerprint without any fingerprint to match: ", d->site->rule.text);
		return true;
	}
	d->p->digest = d->s->digest;
	d->p->fingerprint = malloc(f->n * sizeof(*f->item));
	if (d->p->fingerprint == NULL)
		return false;
	memcpy(d->p->fingerprint, f->item, f->n * sizeof(*f->item));
	d->p->nfingerprints = f->n;
	return true;
}

static bool fill_names(struct deciding *d)
{
	const struct tls_match_list *list = &d->a->match;

	if (d->sts_match)
		return tls_name_add(d->p, d->p->host, false);
	if (list->n == 0)
		list = d->p->level == PEN_TLS_VERIFY ? &d->s->verify_match : &d->s->secure_match;
	if (list->n == 0) {
		skip_config(d, "no names to match are configured for this level", "");
		return true;
	}
	return tls_match_fill(list, d->p);
}

// What the certificate is compared with. False: no memory.
static bool fill_match(struct deciding *d)
{
	if (pen_tls_is_dane(d->p->level))
		return fill_dane(d);
	if (d->p->level == PEN_TLS_FINGERPRINT)
		return fill_fingerprints(d);
	if (d->p->level >= PEN_TLS_VERIFY)
		return fill_names(d);
	// Testing: sessions go on, but a report says what enforce would have found.
	if (d->judged && d->sts != NULL && d->sts->mode == PEN_STS_TESTING) {
		d->p->no_common_name = true;
		return tls_name_add(d->p, d->p->host, false);
	}
	return true;
}

static bool fill_rule(struct deciding *d, const struct tls_base *base)
{
	char text[1024];
	struct tls_text t = tls_text(text, sizeof(text));

	tls_text_cstr(&t, base->rule[0] != '\0' ? base->rule : d->site->rule.text);
	if (d->sts != NULL) {
		tls_text_cstr(&t, "; MTA-STS of ");
		tls_text_cstr(&t, d->sts->domain);
	} else if (d->dane.lookup != NULL) {
		tls_text_cstr(&t, "; TLSA of ");
		tls_text_cstr(&t, d->dane.base);
	}
	d->p->rule = strdup(text);
	return d->p->rule != NULL;
}

static bool fill_report(struct deciding *d)
{
	const struct pen_tls_attributes *a = d->site->attributes;
	struct tls_report_source from = {
		.attributes = a != NULL && a->reported ? a : NULL,
		.dane = d->tlsa_reported ? &d->dane : NULL,
		.sts = d->sts,
	};

	return !d->site->want_tlsrpt || tls_report_fill(d->p, &from);
}

static void fill_fixed(struct deciding *d)
{
	struct pen_tls_policy *p = d->p;
	enum pen_tls_demand demand = d->site->demand;

	snprintf(p->host, sizeof(p->host), "%s", d->facts->host);
	for (char *c = p->host; *c != '\0'; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
	memcpy(p->nexthop, d->site->nexthop, sizeof(p->nexthop));
	if ((demand == PEN_DEMAND_REQUIRETLS && !d->s->requiretls_enable) ||
		(demand == PEN_DEMAND_NOT_REQUIRED && !d->s->required_enable))
		demand = PEN_DEMAND_NONE;
	p->demand = demand;
	p->requiretls = d->site->requiretls;
	p->requiretls_strict = d->s->requiretls_strict;
	p->wrapper = d->s->wrapper;
	p->one_use = d->a->one_use;
}

// False: no memory.
static bool decide(struct deciding *d)
{
	struct tls_base base;

	fill_fixed(d);
	bool going = apply_base(d, &base) && apply_dane(d) && apply_table_sts(d) &&
		     apply_own_sts(d, base.local) && apply_engine(d);
	if (going && d->p->level > PEN_TLS_NONE && (!fill_servername(d) || !fill_match(d)))
		return false;
	if (d->p->skipped)
		d->p->level = d->p->skip_level;
	if (!fill_rule(d, &base) || !fill_report(d))
		return false;
	d->p->identity = tls_identity(d->p, d->profile_hash);
	return true;
}

struct pen_tls_policy *pen_tls_host_decide(const struct pen_tls_settings *s,
	const struct pen_tls_site_decision *site, const struct pen_tls_host_facts *facts,
	char warning[512])
{
	struct deciding d = {
		.judged = true, .s = s, .site = site, .facts = facts, .warning = warning};

	d.a = site->attributes != NULL ? site->attributes : s->defaults;
	d.dane.base = facts->host;
	warning[0] = '\0';
	d.p = pen_tls_policy_new();
	if (d.p == NULL)
		return NULL;
	if (decide(&d))
		return d.p;
	pen_tls_policy_unref(d.p);
	return NULL;
}

uint32_t pen_tls_tlsa_names(const struct pen_tls_settings *s,
	const struct pen_tls_site_decision *site, const struct pen_tls_host_facts *facts,
	char name[2][256])
{
	struct tls_base base;
	const char *found[2];

	tls_base_decide(s, site, facts->host, &base);
	if (base.invalid)
		return 0;
	uint32_t n = tls_dane_names(s, base.level, facts, found);
	for (uint32_t i = 0; i < n; i++)
		snprintf(name[i], 256, "%s", found[i]);
	return n;
}
