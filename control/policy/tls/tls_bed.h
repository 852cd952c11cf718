// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// For tests: settings from the text of a main.cf, and decisions in one call.

#include "pen_tls_decide.h"
#include "report_lines.h"

#include <stdio.h>
#include <stdlib.h>

struct tls_bed {
	struct pen_config config;
	struct report_lines lines;
	struct pen_tls_settings *settings;
	struct pen_tls_profile_spec spec[64]; // of the profiles asked for, in order
	char text[64][1024];
	uint32_t nspecs;
	const char *refuse; // a profile whose anchor or ciphers have this cannot be made
	// Of the last decision; owned by the bed.
	struct pen_tls_site_decision site;
	struct pen_tls_policy *policy;
	char warning[512];
};

static const void *tls_bed_profile(
	void *ctx, const struct pen_tls_profile_spec *spec, char *err, size_t cap)
{
	struct tls_bed *b = ctx;
	uint32_t i = b->nspecs;

	if (i >= 64 || (b->refuse != NULL && ((spec->anchor_file != NULL &&
						      strstr(spec->anchor_file, b->refuse)) ||
						     strstr(spec->ciphers, b->refuse)))) {
		snprintf(err, cap, "cannot be loaded");
		return NULL;
	}
	b->spec[i] = *spec;
	snprintf(b->text[i], sizeof(b->text[i]), "%s", spec->ciphers);
	b->spec[i].ciphers = b->text[i];
	b->nspecs++;
	return &b->spec[i];
}

static inline void tls_bed_drop(struct tls_bed *b)
{
	pen_tls_policy_unref(b->policy);
	b->policy = NULL;
	pen_tls_site_decision_fini(&b->site);
}

static inline void tls_bed_fini(struct tls_bed *b)
{
	tls_bed_drop(b);
	pen_tls_settings_free(b->settings);
	pen_params_fini(&b->config.params);
	report_lines_fini(&b->lines);
	*b = (struct tls_bed){0};
}

// Loads `text`; false when it is refused (b->lines says why).
static inline bool tls_bed_load(struct tls_bed *b, const char *text)
{
	static char directory[] = "/etc/penstock";
	const struct pen_params_env env = {"gw1.example.com", directory};
	const char *refuse = b->refuse;
	struct pen_main_cf cf;

	tls_bed_fini(b);
	b->refuse = refuse;
	report_lines_init(&b->lines);
	b->config.directory = directory;
	int err = pen_main_cf_parse(
		&cf, pen_span_cstr(text), "/etc/penstock/main.cf", &b->lines.report);
	if (err == 0)
		err = pen_params_load(&b->config.params, &cf, &env, &b->lines.report);
	pen_main_cf_fini(&cf);
	if (err == 0)
		b->settings =
			pen_tls_settings_new(&b->config, tls_bed_profile, b, &b->lines.report);
	return b->settings != NULL;
}

static inline const struct pen_tls_site_decision *tls_bed_site(
	struct tls_bed *b, const char *nexthop, enum pen_tls_demand demand)
{
	struct pen_nexthop hop;
	const char *wrong = pen_nexthop_parse(&hop, pen_span_cstr(nexthop));

	if (wrong != NULL) {
		fprintf(stderr, "next hop %s: %s\n", nexthop, wrong);
		abort();
	}
	tls_bed_drop(b);
	pen_tls_site_decide(b->settings, &hop, nexthop, demand, false, &b->site);
	return &b->site;
}

// A secure host of a signed zone, found by a signed MX, with TLS to be had.
static inline struct pen_tls_host_facts tls_bed_facts(const char *host)
{
	return (struct pen_tls_host_facts){.host = host,
		.canonical = "",
		.from_mx = true,
		.mx_secure = true,
		.addr_secure = true,
		.domain_canonical = "",
		.port = 25,
		.engine = true};
}

// After tls_bed_site.
static inline const struct pen_tls_policy *tls_bed_host(
	struct tls_bed *b, const struct pen_tls_host_facts *facts)
{
	pen_tls_policy_unref(b->policy);
	b->policy = pen_tls_host_decide(b->settings, &b->site, facts, b->warning);
	return b->policy;
}

// Site and host in one, for ordinary mail and a host that has nothing to look up.
static inline const struct pen_tls_policy *tls_bed_decide(
	struct tls_bed *b, const char *nexthop, const char *host)
{
	struct pen_tls_host_facts facts = tls_bed_facts(host);

	tls_bed_site(b, nexthop, PEN_DEMAND_NONE);
	facts.from_mx = nexthop[0] != '[';
	return tls_bed_host(b, &facts);
}
