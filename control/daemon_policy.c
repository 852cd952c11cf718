// SPDX-License-Identifier: BSD-3-Clause
#include "daemon_policy.h"

#include "pen_err.h"
#include "pen_log.h"

#include <stdio.h>
#include <stdlib.h>

PEN_LOG_TYPE("control.main");

static uint32_t keyword_bits(const char *list)
{
	static const struct {
		const char *word;
		uint32_t bit;
	} words[] = {{"pipelining", PEN_EHLO_PIPELINING}, {"size", PEN_EHLO_SIZE},
		{"8bitmime", PEN_EHLO_8BITMIME}, {"starttls", PEN_EHLO_STARTTLS},
		{"dsn", PEN_EHLO_DSN}, {"requiretls", PEN_EHLO_REQUIRETLS},
		{"smtputf8", PEN_EHLO_SMTPUTF8}, {"silent-discard", 0}};
	uint32_t bits = 0;

	while (*(list += strspn(list, ", \t")) != '\0') {
		size_t n = strcspn(list, ", \t"), i = 0;
		while (i < sizeof(words) / sizeof(words[0]) &&
			!pen_span_ieq(pen_span(list, n), pen_span_cstr(words[i].word)))
			i++;
		if (i < sizeof(words) / sizeof(words[0]))
			bits |= words[i].bit;
		else
			pen_warning("smtp_discard_ehlo_keywords: %.*s: no such keyword is used",
				(int)n, list);
		list += n;
	}
	return bits;
}

static void keep_fault(void *ctx, const struct pen_report_entry *e)
{
	char line[2048];

	(void)ctx;
	fprintf(stderr, "penstockd: %s\n", pen_report_format(e, line, sizeof(line)));
}

void daemon_load_tls_policy(struct pen_gateway *g)
{
	const struct pen_params *p = &g->config->params;
	struct pen_wire_tls_globals globals = {
		.workers = g->config->egress.dataplane.nworkers,
		.ca_file = p->smtp_tls_CAfile,
		.ca_path = p->smtp_tls_CApath,
		.system_store = p->tls_append_default_CA,
		.verify_depth = (uint32_t)p->smtp_tls_scert_verifydepth,
		.cert_file = p->smtp_tls_cert_file,
		.key_file = p->smtp_tls_key_file,
		.sessions = (uint32_t)p->smtp_tls_session_cache_size,
		.session_lifetime = p->smtp_tls_session_cache_timeout / PEN_US_PER_S,
	};
	struct pen_report report = {.fn = keep_fault};

	g->tls_profiles = pen_wire_tls_profiles_new(&globals);
	if (g->tls_profiles == NULL)
		pen_fatal("out of memory");
	g->tls_settings =
		pen_tls_settings_new(g->config, pen_wire_tls_profile, g->tls_profiles, &report);
	if (g->tls_settings == NULL)
		pen_fatal("the TLS policy cannot be used");
}

void daemon_set_rules(struct pen_gateway *g)
{
	const struct pen_params *p = &g->config->params;

	g->smtp_rules = (struct pen_smtp_rules){
		.session_limit = (uint32_t)p->smtp_mx_session_limit,
		.last_error_wins = p->smtp_last_error_wins,
		.refused_is_final = p->smtp_tls_refused_is_final,
		.skip_5xx_greeting = true,
		.block_early_reply = p->smtp_tls_block_early_mail_reply,
		.discard_keywords = keyword_bits(p->smtp_discard_ehlo_keywords),
		.race_delay = p->smtp_address_race_delay,
	};
	if (p->smtp_cname_overrides_servername)
		pen_warning(
			"smtp_cname_overrides_servername = yes: hosts are known by the name that "
			"was looked up, as with no; yes is not supported");
	g->tls_hosts =
		tls_hosts_new(65536, p->smtp_tls_downgrade_memory, (uint64_t)pen_clock_mono());
	if (g->tls_hosts == NULL)
		pen_fatal("out of memory");
}

// best_mx_transport = smtp:nexthop.
static void set_best_mx(struct pen_gateway *g)
{
	const char *value = g->config->params.best_mx_transport;
	const char *colon = strchr(value, ':');
	struct pen_nexthop hop;
	const char *wrong = NULL;

	if (value[0] == '\0')
		return;
	if (colon == NULL || (strncmp(value, "smtp:", 5) != 0 && strncmp(value, "relay:", 6) != 0))
		wrong = "give smtp:nexthop or relay:nexthop";
	else
		wrong = pen_nexthop_parse(&hop, pen_span_cstr(colon + 1));
	if (wrong != NULL)
		pen_fatal("best_mx_transport = %s: %s", value, wrong);
	pen_nexthop_str(&hop, g->hop.best_mx);
}

void daemon_open_policy(struct pen_gateway *g)
{
	const struct pen_params *p = &g->config->params;
	struct pen_tlsrpt_config report = {.params = p, .mail = pen_tlsrpt_mail, .ctx = g};
	char err[512];

	g->dns = pen_dns_new(p, (uint64_t)pen_clock_mono(), err, sizeof(err));
	if (g->dns == NULL)
		pen_fatal("%s", err);
	if (p->mta_sts_enable) {
		g->sts = pen_sts_service_new(p, g->dns, err, sizeof(err));
		if (g->sts == NULL)
			pen_fatal("%s", err);
	}
	report.dns = g->dns;
	if (p->tlsrpt_enable) {
		g->tlsrpt = pen_tlsrpt_new(&report, err, sizeof(err));
		if (g->tlsrpt == NULL)
			pen_fatal("%s", err);
	}
	const struct pen_dataplane_config *dp = &g->config->egress.dataplane;
	for (uint32_t i = 0; i < dp->nsources; i++) {
		if (pen_dns_add_own(g->dns, &dp->source[i].addr) != 0)
			pen_fatal("out of memory");
	}
	g->hop = (struct pen_hop_service){.dns = g->dns,
		.settings = g->tls_settings,
		.sts = g->sts,
		.timeout = p->dns_timeout,
		.engine = true};
	set_best_mx(g);
}
