// SPDX-License-Identifier: BSD-3-Clause

// How many replies per second one thread classifies and holds against rules: with
// the shipped classes alone, with the shipped provider rules, and with user rules
// besides; beside it a loop of PCRE2 over the same patterns (JIT, which favours the
// loop). bench_reply_rules [user rules [replies]]

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "pen_provider_rules.h"
#include "pen_reply_rules.h"
#include "pen_ucl.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SHIPPED_MAX 512
#define REPLIES_MAX 1024

static const char class_table[] =
#include "reply_table.inc"
	;

static struct pen_span reply[REPLIES_MAX];
static size_t nreplies;
static struct pen_shape_rule *rule;
static uint32_t nshipped;
static struct pen_ucl_node *root; // the rules point into it
static volatile uint64_t sink;

static void load_replies(void)
{
	for (const char *p = class_table; *p != '\0' && nreplies < REPLIES_MAX;) {
		size_t n = strcspn(p, "\n"), skip = strcspn(p, " \n");
		if (n > skip && *p != '#')
			reply[nreplies++] = pen_span_trim(pen_span(p + skip, n - skip));
		p += n + (p[n] != '\0');
	}
}

static const char *text_of(const struct pen_ucl_node *n, const char *key)
{
	for (n = n->child; n != NULL; n = n->next) {
		if (strcmp(n->key, key) == 0)
			return n->text;
	}
	return "";
}

static void load_rules(uint32_t user)
{
	struct pen_report rep = {0};

	root = pen_ucl_parse(pen_provider_rules_text(), PEN_PROVIDER_RULES_NAME, &rep);
	rule = calloc(SHIPPED_MAX + user, sizeof(*rule));
	for (const struct pen_ucl_node *n = root->child; n != NULL; n = n->next) {
		for (const struct pen_ucl_node *c = n->child->child; c != NULL; c = c->next) {
			if (strcmp(c->key, "rule") == 0 && nshipped < SHIPPED_MAX)
				rule[nshipped++] = (struct pen_shape_rule){.line = c->line,
					.provider = n->child->key,
					.pattern = text_of(c, "reply")};
		}
	}
	// As operators write them: a code, a status and words of one sender or list.
	for (uint32_t i = 0; i < user; i++) {
		char *p = NULL;
		if (asprintf(&p,
			    "/^%u%u%u .*(customer|list)-?%u.*(blocked|limit(ed)? (by|at) [0-9]+)/",
			    4 + i % 2, i % 6, i % 10, i) < 0)
			exit(1);
		rule[nshipped + i] =
			(struct pen_shape_rule){.line = i, .provider = "", .pattern = p};
	}
}

// Of this thread: others on the machine don't count.
static pen_time_us cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * PEN_US_PER_S + t.tv_nsec / 1000;
}

static double report(const char *what, uint32_t nrules, uint64_t n, pen_time_us took)
{
	double per_s = (double)n / ((double)took / PEN_US_PER_S);

	printf("%-46s %6u rules  %9.0f replies/s  %7.2f us each\n", what, nrules, per_s,
		1e6 / per_s);
	return per_s;
}

static double one_scan(const char *what, uint32_t nrules, uint64_t n)
{
	struct pen_shape_config cfg = {.nrules = nrules, .rule = rule};
	char err[300];
	pen_time_us t0 = pen_clock_mono();
	struct pen_reply_rules *r =
		pen_reply_rules_new(NULL, "egress.conf", &cfg, err, sizeof(err));

	if (r == NULL) {
		fprintf(stderr, "%s\n", err);
		exit(1);
	}
	pen_time_us compiled = pen_clock_mono() - t0;
	struct pen_pattern_scratch *s = pen_reply_rules_scratch(r);
	struct pen_reply_match m;
	t0 = cpu_now();
	for (uint64_t i = 0; i < n; i++) {
		pen_reply_rules_match(r, s, reply[i % nreplies], "google", pen_span("", 0), &m);
		sink += m.nrules + m.klass_id;
	}
	double per_s = report(what, nrules, n, cpu_now() - t0);
	printf("%-46s %6.2f s to compile\n", "", (double)compiled / PEN_US_PER_S);
	pen_pattern_scratch_free(s);
	pen_reply_rules_free(r);
	return per_s;
}

// The rules alone; the loop would have the classes to go through besides.
static double loop(const char *what, uint32_t nrules, uint64_t n)
{
	pcre2_code **code = calloc(nrules, sizeof(*code));
	pcre2_match_data *md = pcre2_match_data_create(32, NULL);
	int error;
	PCRE2_SIZE at;

	for (uint32_t k = 0; k < nrules; k++) {
		const char *p = rule[k].pattern;
		code[k] = pcre2_compile((PCRE2_SPTR)p + 1, strlen(p) - 2,
			PCRE2_CASELESS | PCRE2_DOTALL, &error, &at, NULL);
		pcre2_jit_compile(code[k], PCRE2_JIT_COMPLETE);
	}
	pen_time_us t0 = cpu_now();
	for (uint64_t i = 0; i < n; i++) {
		struct pen_span t = reply[i % nreplies];
		for (uint32_t k = 0; k < nrules; k++)
			sink += pcre2_match(code[k], t.p, t.n, 0, 0, md, NULL) >= 0;
	}
	double per_s = report(what, nrules, n, cpu_now() - t0);
	for (uint32_t k = 0; k < nrules; k++)
		pcre2_code_free(code[k]);
	pcre2_match_data_free(md);
	free(code);
	return per_s;
}

int main(int argc, char **argv)
{
	uint32_t user = argc > 1 ? (uint32_t)atoi(argv[1]) : 1000;
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 200000;

	load_replies();
	load_rules(user);
	double none = one_scan("one scan, classes only", 0, n);
	one_scan("one scan, classes and shipped rules", nshipped, n);
	double all = one_scan("one scan, with user rules", nshipped + user, n);
	double shipped_loop = loop("PCRE2 loop, shipped rules, without classes", nshipped, n / 20);
	double all_loop =
		loop("PCRE2 loop, with user rules, without classes", nshipped + user, n / 20);
	printf("with %u rules a reply takes %.2f times as long as without any in one scan, %.1f "
	       "times as long as with %u in a loop; one scan is %.0f times as fast\n",
		nshipped + user, none / all, shipped_loop / all_loop, nshipped, all / all_loop);
	for (uint32_t i = 0; i < user; i++)
		free((char *)rule[nshipped + i].pattern);
	free(rule);
	pen_ucl_free(root);
	return 0;
}
