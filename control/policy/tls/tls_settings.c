// SPDX-License-Identifier: BSD-3-Clause
#include "tls_private.h"

#include "pen_tls_profile.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct loading {
	struct pen_tls_settings *s;
	const struct pen_params *p;
	struct pen_report *r;
	char file[512]; // main.cf
};

__attribute__((format(printf, 3, 4))) static void error(
	const struct loading *l, const char *param, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pen_report_error(l->r, l->file, pen_params_line(l->p, param), "%s = %s", param, text);
}

static void warning(const struct loading *l, const char *param, const char *text)
{
	pen_report_warning(l->r, l->file, pen_params_line(l->p, param), "%s: %s", param, text);
}

static void load_global(struct loading *l)
{
	static const char *const legacy[] = {
		"smtp_use_tls", "smtp_enforce_tls", "smtp_tls_enforce_peername"};
	const struct pen_params *p = l->p;
	struct pen_span text = pen_span_trim(pen_span_cstr(p->smtp_tls_security_level));
	bool old = false;

	for (size_t i = 0; i < sizeof(legacy) / sizeof(legacy[0]); i++)
		old = old || pen_params_line(p, legacy[i]) != 0;
	if (text.n > 0) {
		l->s->global = pen_tls_level_parse(text);
		snprintf(l->s->global_rule, sizeof(l->s->global_rule),
			"smtp_tls_security_level = %.40s", p->smtp_tls_security_level);
		if (l->s->global == PEN_TLS_INVALID)
			error(l, "smtp_tls_security_level",
				"%.80s: accepted is none, may, encrypt, fingerprint, dane, "
				"dane-only, verify, secure, or nothing",
				p->smtp_tls_security_level);
	} else if (old) {
		l->s->global = pen_tls_legacy_global(
			p->smtp_use_tls, p->smtp_enforce_tls, p->smtp_tls_enforce_peername);
		snprintf(l->s->global_rule, sizeof(l->s->global_rule),
			"smtp_use_tls, smtp_enforce_tls, smtp_tls_enforce_peername");
	} else {
		l->s->global = PEN_TLS_MAY;
		snprintf(l->s->global_rule, sizeof(l->s->global_rule),
			"smtp_tls_security_level is empty: may");
	}
}

static void load_tables(struct loading *l)
{
	const struct pen_params *p = l->p;
	struct pen_tls_settings *s = l->s;
	struct pen_map_where at = {
		l->file, pen_params_line(p, "smtp_tls_policy_maps"), "smtp_tls_policy_maps"};

	pen_maps_open(&s->policy_maps, p->smtp_tls_policy_maps, &at, l->r);
	at = (struct pen_map_where){
		l->file, pen_params_line(p, "smtp_tls_per_site"), "smtp_tls_per_site"};
	pen_maps_open(&s->per_site, p->smtp_tls_per_site, &at, l->r);
	s->use_per_site = s->per_site.n > 0 && s->policy_maps.n == 0;
	if (s->per_site.n > 0 && !s->use_per_site)
		warning(l, "smtp_tls_per_site", "ignored, because smtp_tls_policy_maps is set");
	at = (struct pen_map_where){
		l->file, pen_params_line(p, "smtp_requiretls_policy"), "smtp_requiretls_policy"};
	s->requiretls = pen_requiretls_list_new(p->smtp_requiretls_policy, &at, l->r);
	at = (struct pen_map_where){
		l->file, pen_params_line(p, "lmtp_requiretls_policy"), "lmtp_requiretls_policy"};
	s->lmtp_requiretls = pen_requiretls_list_new(p->lmtp_requiretls_policy, &at, l->r);
}

static void load_match(struct loading *l)
{
	const struct pen_params *p = l->p;
	struct pen_tls_settings *s = l->s;
	const char *wrong;

	if ((wrong = tls_match_add(
		     &s->verify_match, pen_span_cstr(p->smtp_tls_verify_cert_match), ",:")) != NULL)
		error(l, "smtp_tls_verify_cert_match", "%.80s: %s", p->smtp_tls_verify_cert_match,
			wrong);
	if ((wrong = tls_match_add(
		     &s->secure_match, pen_span_cstr(p->smtp_tls_secure_cert_match), ",:")) != NULL)
		error(l, "smtp_tls_secure_cert_match", "%.80s: %s", p->smtp_tls_secure_cert_match,
			wrong);
	if ((wrong = tls_fingerprint_add(&s->defaults->fingerprint,
		     pen_span_cstr(p->smtp_tls_fingerprint_cert_match), ",|", s->digest)) != NULL)
		error(l, "smtp_tls_fingerprint_cert_match", "%.80s: %s",
			p->smtp_tls_fingerprint_cert_match, wrong);
	if (s->global == PEN_TLS_FINGERPRINT && s->defaults->fingerprint.n == 0)
		warning(l, "smtp_tls_fingerprint_cert_match",
			"empty: at level fingerprint mail without match= is deferred");
	struct pen_span name = pen_span_cstr(p->smtp_tls_servername);
	s->bad_servername = name.n > 0 && !pen_hostname_valid(name);
	if (s->bad_servername)
		warning(l, "smtp_tls_servername",
			"this is no valid host name: mail that would use it is deferred");
	else if (name.n > 0)
		s->defaults->servername = strdup(p->smtp_tls_servername);
}

// "sha512 sha256", strongest first; "=number" after a name is Postfix's older form.
static void load_digests(struct loading *l)
{
	struct pen_span rest = pen_span_cstr(l->p->tls_dane_digests), item;
	uint8_t rank = 255;

	while (pen_list_next(&rest, &item)) {
		ptrdiff_t eq = pen_span_find(item, '=');
		struct pen_span name = pen_span(item.p, eq > 0 ? (size_t)eq : item.n);
		bool sha256 = pen_span_ieq(name, PEN_SPAN_LIT("sha256"));
		if (sha256 || pen_span_ieq(name, PEN_SPAN_LIT("sha512"))) {
			uint8_t *r = &l->s->digests.rank[sha256 ? 1 : 2];
			*r = *r == 0 ? rank-- : *r;
		} else {
			error(l, "tls_dane_digests", "%.80s: accepted are sha512 and sha256",
				l->p->tls_dane_digests);
			return;
		}
	}
}

static void load_lists(struct loading *l)
{
	const struct pen_params *p = l->p;
	uint32_t bits;

	if (!tls_protocols_parse(pen_span_cstr(p->smtp_tls_protocols), &bits))
		error(l, "smtp_tls_protocols", "%.80s: a word of it is no protocol list item",
			p->smtp_tls_protocols);
	if (!tls_protocols_parse(pen_span_cstr(p->smtp_tls_mandatory_protocols), &bits))
		error(l, "smtp_tls_mandatory_protocols",
			"%.80s: a word of it is no protocol list item",
			p->smtp_tls_mandatory_protocols);
}

static void load_switches(struct loading *l)
{
	static const enum pen_tls_level insecure[] = {PEN_TLS_DANE, PEN_TLS_ENCRYPT, PEN_TLS_MAY};
	const struct pen_params *p = l->p;
	struct pen_tls_settings *s = l->s;

	s->params = p;
	s->required_enable = p->tls_required_enable;
	s->requiretls_enable = p->requiretls_enable;
	s->requiretls_strict = p->smtp_requiretls_strict;
	s->wrapper = p->smtp_tls_wrappermode;
	s->enforce_sts_mx = p->smtp_tls_enforce_sts_mx_patterns;
	s->sts_enable = p->mta_sts_enable;
	s->tlsrpt_enable = p->tlsrpt_enable;
	s->force_tlsa = p->smtp_tls_force_insecure_host_tlsa_lookup;
	s->insecure_mx = insecure[p->smtp_tls_dane_insecure_mx_policy];
	s->digest = (enum pen_tls_digest)p->smtp_tls_fingerprint_digest;
	// smtp_dns_support_level: 2 is dnssec; smtp_host_lookup: 1 is native alone.
	s->dane_possible = p->smtp_dns_support_level == 2 && p->smtp_host_lookup != 1 &&
			   !p->disable_dns_lookups && !p->ignore_mx_lookup_error;
}

static bool uses_dane(const struct pen_tls_settings *s)
{
	bool dane = pen_tls_is_dane(s->global);

	for (size_t i = 0; i < s->nvalues; i++)
		dane = dane || pen_tls_is_dane(s->value[i]->level);
	return dane;
}

// main.cf's own profiles: for the levels that can come up without a table value.
static bool prepare_defaults(struct loading *l)
{
	struct pen_tls_settings *s = l->s;
	enum pen_tls_level lowest = s->wrapper ? PEN_TLS_ENCRYPT : PEN_TLS_MAY;
	bool ok = tls_profiles_prepare(s, s->defaults, s->global);

	if (s->global > lowest && s->required_enable)
		ok = ok && tls_profiles_prepare(s, s->defaults, lowest);
	if (s->sts_enable && s->global > PEN_TLS_NONE)
		ok = ok && tls_profiles_prepare(s, s->defaults, PEN_TLS_SECURE) &&
		     tls_profiles_prepare_testing(s, s->defaults);
	if (s->use_per_site)
		ok = ok && tls_profiles_prepare(s, s->defaults, PEN_TLS_MAY) &&
		     tls_profiles_prepare(s, s->defaults, PEN_TLS_ENCRYPT) &&
		     tls_profiles_prepare(s, s->defaults, PEN_TLS_VERIFY);
	for (size_t i = 0; i < s->nprofiles; i++) {
		if (!s->profile[i]->usable && ok)
			pen_report_warning(l->r, l->file, 0,
				"TLS settings that cannot be used; mail that needs them is "
				"deferred: %s",
				s->profile[i]->why);
	}
	return ok;
}

static void load_all(struct loading *l)
{
	unsigned errors = l->r->errors;

	load_switches(l);
	load_global(l);
	load_tables(l);
	load_match(l);
	load_digests(l);
	load_lists(l);
	if (l->r->errors > errors)
		return;
	if (!prepare_defaults(l) || !tls_values_load(l->s, l->file, l->r)) {
		pen_report_error(l->r, l->file, 0, "out of memory");
		return;
	}
	if (!uses_dane(l->s))
		return;
	if (!l->s->dane_possible)
		warning(l, "smtp_dns_support_level",
			"DANE needs dnssec here, DNS for hosts, and ignore_mx_lookup_error = no: "
			"dane is treated as may, and dane-only mail is deferred");
	else if (*l->p->dns_trust_anchor_file == '\0')
		warning(l, "dns_trust_anchor_file",
			"DANE needs it: without a trust anchor no answer is validated");
}

struct pen_tls_settings *pen_tls_settings_new(
	const struct pen_config *c, pen_tls_profile_fn *profile, void *ctx, struct pen_report *r)
{
	struct loading l = {.p = &c->params, .r = r, .s = calloc(1, sizeof(*l.s))};
	unsigned errors = r->errors;

	snprintf(l.file, sizeof(l.file), "%.500s/main.cf",
		c->directory != NULL ? c->directory : ".");
	if (l.s != NULL)
		l.s->defaults = calloc(1, sizeof(*l.s->defaults));
	if (l.s == NULL || l.s->defaults == NULL) {
		pen_report_error(r, l.file, 0, "out of memory");
		free(l.s);
		return NULL;
	}
	l.s->profile_fn = profile;
	l.s->profile_ctx = ctx;
	load_all(&l);
	if (r->errors == errors)
		return l.s;
	pen_tls_settings_free(l.s);
	return NULL;
}

void pen_tls_settings_free(struct pen_tls_settings *s)
{
	if (s == NULL)
		return;
	tls_values_free(s);
	tls_profiles_free(s);
	pen_maps_fini(&s->policy_maps);
	pen_maps_fini(&s->per_site);
	pen_requiretls_list_free(s->requiretls);
	pen_requiretls_list_free(s->lmtp_requiretls);
	tls_match_fini(&s->verify_match);
	tls_match_fini(&s->secure_match);
	tls_attributes_free(s->defaults);
	free(s);
}
