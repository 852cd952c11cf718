// SPDX-License-Identifier: BSD-3-Clause

// TLS policy decisions per second on one core: a next hop and one host each, with
// warm tables. A mix of entries of a large policy table, domains without an
// entry, DANE and MTA-STS, with TLS reports on.
//
//   bench_policy [entries [decisions]]

#include "pen_sts.h"
#include "pen_tls_decide.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MIX 4
#define NEXTHOPS 4096

struct bench {
	struct pen_config config;
	struct pen_main_cf cf;
	struct pen_tls_settings *settings;
	struct pen_nexthop hop[NEXTHOPS];
	char text[NEXTHOPS][64];
	struct pen_tls_host_facts facts[MIX];
	struct pen_sts_policy sts;
	struct pen_tlsa tlsa;
	uint64_t levels[PEN_TLS_LEVELS], skipped;
};

static void say(void *ctx, const struct pen_report_entry *e)
{
	char line[1024];

	(void)ctx;
	fprintf(stderr, "%s\n", pen_report_format(e, line, sizeof(line)));
}

static const void *profile(
	void *ctx, const struct pen_tls_profile_spec *spec, char *err, size_t cap)
{
	(void)spec;
	(void)err;
	(void)cap;
	return ctx;
}

static char *write_table(unsigned entries)
{
	static char path[] = "/tmp/bench-policy-XXXXXX";
	int fd = mkstemp(path);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (f == NULL)
		return NULL;
	for (unsigned i = 0; i < entries; i++)
		fprintf(f, "d%u.example %s\n", i,
			i % 3 == 0   ? "encrypt"
			: i % 3 == 1 ? "secure match=nexthop:dot-nexthop ciphers=high"
				     : "verify match=hostname protocols=>=TLSv1.2");
	fclose(f);
	return path;
}

static bool load(struct bench *b, unsigned entries)
{
	struct pen_report r = {.fn = say};
	const struct pen_params_env env = {"gw.example.com", "/tmp"};
	char *table = write_table(entries), main_cf[512];
	static char directory[] = "/tmp";

	if (table == NULL)
		return false;
	snprintf(main_cf, sizeof(main_cf),
		"smtp_tls_security_level = dane\ndns_trust_anchor_file = /k\n"
		"smtp_tls_policy_maps = texthash:%s\n",
		table);
	b->config.directory = directory;
	if (pen_main_cf_parse(&b->cf, pen_span_cstr(main_cf), "main.cf", &r) == 0 &&
		pen_params_load(&b->config.params, &b->cf, &env, &r) == 0)
		b->settings = pen_tls_settings_new(&b->config, profile, b, &r);
	remove(table);
	return b->settings != NULL;
}

static void fill(struct bench *b, unsigned entries)
{
	static const uint8_t digest[32] = {1, 2, 3};
	static char *lines[] = {NULL};

	for (unsigned i = 0; i < NEXTHOPS; i++) {
		if (i % MIX == 0)
			snprintf(b->text[i], sizeof(b->text[i]), "d%u.example",
				(unsigned)((uint64_t)i * 7919 % (entries != 0 ? entries : 1)));
		else
			snprintf(b->text[i], sizeof(b->text[i]), "mail%u.dept.example.org", i);
		if (pen_nexthop_parse(&b->hop[i], pen_span_cstr(b->text[i])) != NULL)
			abort();
	}
	b->tlsa = (struct pen_tlsa){.usage = 3, .selector = 1, .mtype = 1, .n = 32, .data = digest};
	b->sts = (struct pen_sts_policy){.mode = PEN_STS_ENFORCE,
		.domain = "example.org",
		.nmx = 1,
		.mx = {(char *)(uintptr_t) "*.example.org"},
		.line = lines};
	for (unsigned i = 0; i < MIX; i++) {
		struct pen_tls_host_facts *f = &b->facts[i];
		*f = (struct pen_tls_host_facts){.host = "mx1.example.org",
			.canonical = "",
			.domain_canonical = "",
			.from_mx = true,
			.mx_secure = true,
			.addr_secure = true,
			.port = 25,
			.engine = true};
		f->tlsa[0] = (struct pen_tlsa_lookup){.asked = true, .status = PEN_DNS_NODATA};
	}
	b->facts[1].tlsa[0] = (struct pen_tlsa_lookup){
		.asked = true, .status = PEN_DNS_OK, .secure = true, .n = 1, .record = &b->tlsa};
	b->facts[2].sts = &b->sts;
}

static void decide(struct bench *b, uint64_t i)
{
	struct pen_tls_site_decision site;
	char warning[512];
	unsigned n = (unsigned)(i % NEXTHOPS);

	pen_tls_site_decide(b->settings, &b->hop[n], b->text[n], PEN_DEMAND_NONE, false, &site);
	struct pen_tls_policy *p =
		pen_tls_host_decide(b->settings, &site, &b->facts[n % MIX], warning);
	if (p == NULL)
		abort();
	if (p->skipped)
		b->skipped++;
	else
		b->levels[p->level]++;
	pen_tls_policy_unref(p);
	pen_tls_site_decision_fini(&site);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	unsigned entries = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100000;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 2000000;
	static struct bench b;

	if (!load(&b, entries))
		return 1;
	fill(&b, entries);
	for (uint64_t i = 0; i < NEXTHOPS; i++)
		decide(&b, i);
	double start = now();
	for (uint64_t i = 0; i < count; i++)
		decide(&b, i);
	double took = now() - start;
	printf("%.0f decisions/s (%u table entries, %.0f ns each)", (double)count / took, entries,
		took / (double)count * 1e9);
	for (int l = 0; l < PEN_TLS_LEVELS; l++) {
		if (b.levels[l] > 0)
			printf(" %s %llu", pen_tls_level_name((enum pen_tls_level)l),
				(unsigned long long)b.levels[l]);
	}
	printf(" skipped %llu\n", (unsigned long long)b.skipped);
	pen_tls_settings_free(b.settings);
	pen_params_fini(&b.config.params);
	pen_main_cf_fini(&b.cf);
	return b.skipped > 0;
}
