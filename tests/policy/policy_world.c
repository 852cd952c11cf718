// SPDX-License-Identifier: BSD-3-Clause
#include "policy_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static FILE *create(const struct policy_world *w, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", w->folder, name);
	return fopen(path, "we");
}

// The rows of one table: lines that begin with `word`. False: there are none.
static bool write_table(const struct policy_world *w, const struct policy_case *c, const char *word)
{
	FILE *f = create(w, word);
	bool some = false;

	for (int i = 0; f != NULL && i < c->n; i++) {
		if (strcmp(c->line[i].word[0], word) != 0)
			continue;
		fprintf(f, "%s\n", c->line[i].rest);
		some = true;
	}
	if (f != NULL)
		fclose(f);
	return some;
}

static void write_main_cf(const struct policy_world *w, const struct policy_case *c)
{
	FILE *f = create(w, "main.cf");

	if (f == NULL)
		return;
	fputs("myhostname = gateway.bulk.example\nmydomain = bulk.example\n"
	      "smtp_tls_CAfile =\n",
		f);
	if (write_table(w, c, "policy"))
		fprintf(f, "smtp_tls_policy_maps = texthash:%s/policy\n", w->folder);
	if (write_table(w, c, "persite"))
		fprintf(f, "smtp_tls_per_site = texthash:%s/persite\n", w->folder);
	for (int i = 0; i < c->n; i++) {
		if (strcmp(c->line[i].word[0], "main") == 0)
			fprintf(f, "%s\n", c->line[i].rest);
	}
	fclose(f);
	f = create(w, "egress.conf");
	if (f == NULL)
		return;
	fputs("port p0 { device = \"net_null0\"; prefix = 24; gateway = \"192.0.2.254\"; }\n"
	      "source s0 { port = p0; address = \"192.0.2.10\"; }\n",
		f);
	fclose(f);
}

static void note(void *ctx, const struct pen_report_entry *e)
{
	struct policy_world *w = ctx;

	(void)e;
	w->warnings++;
}

static const void *profile(
	void *ctx, const struct pen_tls_profile_spec *spec, char *err, size_t cap)
{
	static const char made;

	(void)ctx;
	if (spec->anchor_file != NULL && access(spec->anchor_file, R_OK) != 0) {
		snprintf(err, cap, "%s cannot be read", spec->anchor_file);
		return NULL;
	}
	if (spec->ciphers != NULL && spec->ciphers[0] == '\0') {
		snprintf(err, cap, "no cipher is left");
		return NULL;
	}
	return &made;
}

// "sts MODE MX...": the domain's MTA-STS policy.
static void make_sts(struct policy_world *w, struct policy_case *c)
{
	char body[2048] = "version: STSv1\n";

	for (int i = 0; i < c->n; i++) {
		const struct case_line *l = &c->line[i];
		if (strcmp(l->word[0], "sts") != 0 || l->n < 2)
			continue;
		snprintf(body + strlen(body), sizeof(body) - strlen(body),
			"mode: %s\nmax_age: 86400\n", l->word[1]);
		for (int k = 2; k < l->n; k++)
			snprintf(body + strlen(body), sizeof(body) - strlen(body), "mx: %s\n",
				l->word[k]);
		w->sts = calloc(1, sizeof(*w->sts));
		const char *wrong = pen_sts_parse(pen_span_cstr(body), w->sts);
		if (wrong != NULL)
			case_fail(c, "the sts line is no policy: %s", wrong);
		snprintf(w->sts->domain, sizeof(w->sts->domain), "example.com");
	}
}

bool policy_world_make(struct policy_world *w, struct policy_case *c)
{
	struct pen_report report = {.fn = note, .ctx = w};

	strcpy(w->folder, "/tmp/policy-case-XXXXXX");
	if (mkdtemp(w->folder) == NULL) {
		case_fail(c, "no folder can be made");
		w->folder[0] = '\0';
		return false;
	}
	write_main_cf(w, c);
	make_sts(w, c);
	w->config = pen_config_load(w->folder, &report);
	w->warnings = 0; // of what follows
	if (w->config != NULL)
		w->settings = pen_tls_settings_new(w->config, profile, NULL, &report);
	if (w->settings == NULL)
		case_fail(c, "the configuration is refused");
	return w->settings != NULL;
}

void policy_world_free(struct policy_world *w)
{
	static const char *const files[] = {"main.cf", "egress.conf", "policy", "persite"};
	char path[128];

	pen_tls_settings_free(w->settings);
	pen_config_free(w->config);
	if (w->sts != NULL)
		pen_sts_policy_fini(w->sts);
	free(w->sts);
	for (size_t i = 0; w->folder[0] != '\0' && i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", w->folder, files[i]);
		unlink(path);
	}
	if (w->folder[0] != '\0')
		rmdir(w->folder);
}
