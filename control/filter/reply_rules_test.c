// SPDX-License-Identifier: BSD-3-Clause

#include "pen_test.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "pen_buf.h"
#include "pen_provider_rules.h"
#include "pen_rand.h"
#include "pen_reply_rules.h"
#include "pen_ucl.h"

#include <time.h>

static const char provider_table[] =
#include "provider_table.inc"
	;
static const char class_table[] =
#include "reply_table.inc"
	;

static struct pen_span take(struct pen_span *s, uint8_t end)
{
	ptrdiff_t at = pen_span_find(*s, end);
	struct pen_span head = pen_span(s->p, at >= 0 ? (size_t)at : s->n);

	*s = pen_span_from(*s, head.n + (at >= 0));
	return head;
}

static struct pen_span word(struct pen_span *line)
{
	*line = pen_span_trim(*line);
	return take(line, ' ');
}

// ---- rules by hand

#define RULES_MAX 2048

struct hand {
	struct pen_shape_config cfg;
	struct pen_shape_rule rule[RULES_MAX];
	struct pen_shape_section site[4];
};

static struct pen_shape_rule *add(struct hand *h, const char *pattern)
{
	struct pen_shape_rule *r = &h->rule[h->cfg.nrules++];

	h->cfg.rule = h->rule;
	h->cfg.site = h->site;
	*r = (struct pen_shape_rule){
		.line = h->cfg.nrules, .provider = "", .site = "", .pattern = pattern};
	return r;
}

static struct pen_reply_rules *make(const struct pen_shape_config *cfg)
{
	char err[300] = "";
	struct pen_reply_rules *r = pen_reply_rules_new(NULL, "egress.conf", cfg, err, sizeof(err));

	assert_string_equal(err, "");
	assert_non_null(r);
	return r;
}

// "1,4": the rules that a reply matches.
static const char *hits(
	const struct pen_reply_rules *r, const char *reply, const char *provider, const char *site)
{
	static char out[200];
	struct pen_pattern_scratch *s = pen_reply_rules_scratch(r);
	struct pen_reply_match m;
	size_t n = 0;

	pen_reply_rules_match(r, s, pen_span_cstr(reply), provider, pen_span_cstr(site), &m);
	out[0] = '\0';
	for (uint32_t i = 0; i < m.nrules; i++)
		n += (size_t)snprintf(
			out + n, sizeof(out) - n, "%s%u", i > 0 ? "," : "", m.rule[i]);
	pen_pattern_scratch_free(s);
	return out;
}

static void a_reply_has_a_class_and_every_rule_that_it_matches(void **state)
{
	static struct hand h;
	struct pen_reply_match m;

	(void)state;
	add(&h, "/^421 4\\.7\\.28/");
	add(&h, "mailbox");
	add(&h, "")->signal = PEN_SIGNAL_RESET;
	add(&h, "/FULL/i"); // like a table's: "i" turns case on
	add(&h, "/full/");
	struct pen_reply_rules *r = make(&h.cfg);
	struct pen_pattern_scratch *s = pen_reply_rules_scratch(r);
	assert_string_equal(hits(r, "452 4.2.2 Mailbox full", "", ""), "1,4");
	assert_string_equal(hits(r, "452 4.2.2 MAILBOX FULL", "", ""), "1,3,4");
	assert_string_equal(hits(r, "421 4.7.28 unusual rate", "", ""), "0");
	assert_string_equal(hits(r, "550 no such user", "", ""), "");
	pen_reply_rules_match(
		r, s, PEN_SPAN_LIT("452 4.2.2 Mailbox full"), "", pen_span("", 0), &m);
	assert_string_equal(m.klass, "quota-issues");
	assert_string_equal(pen_reply_class_name(r, m.klass_id), "quota-issues");
	assert_true(m.klass_id < pen_reply_class_count(r));
	pen_reply_rules_match(r, s, PEN_SPAN_LIT("554 xyzzy"), "", pen_span("", 0), &m);
	assert_int_equal(m.klass_id, 0);
	assert_string_equal(m.klass, PEN_REPLY_CLASS_OTHER);
	assert_int_equal(pen_reply_class_find(r, "tls-failed") > 0, 1);
	assert_int_equal(pen_reply_class_find(r, "no-such-class"), 0);
	pen_pattern_scratch_free(s);
	pen_reply_rules_free(r);
}

static void a_rule_in_a_section_matches_only_replies_from_there(void **state)
{
	static struct hand h;
	static const char *mx[] = {"*.google.com", "mx.one.test"}, *domains[] = {"two.test"};

	(void)state;
	h.site[0] = (struct pen_shape_section){.name = "gmail", .match = {.nmx = 2, .mx = mx}};
	h.site[1] = (struct pen_shape_section){
		.name = "two", .match = {.ndomains = 1, .domains = domains}};
	h.cfg.nsites = 2;
	add(&h, "/x/");
	add(&h, "/x/")->provider = "google";
	add(&h, "/x/")->site = "gmail";
	add(&h, "/x/")->site = "two";
	struct pen_reply_rules *r = make(&h.cfg);
	memset(&h, 0, sizeof(h)); // nothing of the configuration is needed any more
	assert_string_equal(hits(r, "421 x", "", ""), "0");
	assert_string_equal(hits(r, "421 x", "google", ""), "0,1");
	assert_string_equal(hits(r, "421 x", "yahoo", ""), "0");
	assert_string_equal(hits(r, "421 x", "", "gmail"), "0,2,3");
	// The rolled-up name of hosts. "two" names a domain, which hosts do not tell.
	assert_string_equal(
		hits(r, "421 x", "", "(alt1|alt2)?.gmail-smtp-in.l.google.com."), "0,2,3");
	assert_string_equal(hits(r, "421 x", "", "google.com"), "0,2,3");
	assert_string_equal(hits(r, "421 x", "", "MX.one.test."), "0,2,3");
	assert_string_equal(hits(r, "421 x", "", "a.test.,mx.one.test."), "0,2,3");
	assert_string_equal(hits(r, "421 x", "", "(mail|mx)?.one.test."), "0,2,3");
	assert_string_equal(hits(r, "421 x", "", "(alt1|alt2)?.mx.one.test."), "0,2,3");
	assert_string_equal(hits(r, "421 x", "", "(mail|mx1)?.one.test."), "0,3");
	assert_string_equal(hits(r, "421 x", "", "notgoogle.com."), "0,3");
	pen_reply_rules_free(r);
}

static void no_more_rules_are_reported_than_there_is_room_for(void **state)
{
	static struct hand h;

	(void)state;
	for (int i = 0; i < PEN_REPLY_RULES_MAX + 5; i++)
		add(&h, "/x/");
	struct pen_reply_rules *r = make(&h.cfg);
	assert_string_equal(hits(r, "421 x", "", ""), "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15");
	pen_reply_rules_free(r);
}

static void a_bad_pattern_is_named_with_file_line_and_position(void **state)
{
	static const struct {
		const char *pattern, *err;
	} cases[] = {
		{"/a(b/", "egress.conf:7: missing closing parenthesis at position 4 of pattern "
			  "\"a(b\""},
		{"a[", "egress.conf:7: missing terminating ] for character class at position 3 of "
		       "pattern \"a[\""},
		{"/ab", "egress.conf:7: reply = \"/ab\": no closing \"/\" at position 4"},
		{"/ab/iz", "egress.conf:7: reply = \"/ab/iz\": \"z\" at position 6 is no flag: "
			   "accepted are i m s x A E U X"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static struct hand h;
		char err[300] = "";
		h.cfg.nrules = 0;
		add(&h, "/fine/");
		add(&h, cases[i].pattern)->line = 7;
		assert_null(pen_reply_rules_new(NULL, "egress.conf", &h.cfg, err, sizeof(err)));
		assert_string_equal(err, cases[i].err);
	}
	char err[300] = "";
	assert_null(
		pen_reply_rules_new("/nonexistent/classes", "egress.conf", NULL, err, sizeof(err)));
	assert_string_equal(err, "/nonexistent/classes: No such file or directory");
}

// ---- the shipped rules

static const struct pen_ucl_node *child(const struct pen_ucl_node *n, const char *key)
{
	for (const struct pen_ucl_node *c = n->child; c != NULL; c = c->next) {
		if (c->key != NULL && strcmp(c->key, key) == 0)
			return c;
	}
	return NULL;
}

static const char *text_of(const struct pen_ucl_node *n, const char *key)
{
	const struct pen_ucl_node *c = child(n, key);

	if (c == NULL || c->text == NULL)
		fail_msg("line %u: no %s", n->line, key);
	return c->text;
}

struct shipped {
	struct hand h;
	const char *action[RULES_MAX];
	struct pen_ucl_node *root;
};

static void add_shipped(struct shipped *sh, const struct pen_ucl_node *provider)
{
	static const char *const actions[] = {"backoff", "disable-source", "suspend-campaign"};

	assert_non_null(child(provider, "mx"));
	for (const struct pen_ucl_node *n = provider->child; n != NULL; n = n->next) {
		bool known = false;
		if (strcmp(n->key, "rule") != 0) { // rules only, no limits
			assert_string_equal(n->key, "mx");
			continue;
		}
		sh->action[sh->h.cfg.nrules] = text_of(n, "action");
		for (size_t i = 0; i < 3; i++)
			known |= strcmp(text_of(n, "action"), actions[i]) == 0;
		assert_true(known);
		// Never on one reply alone, never for ever.
		assert_true(atoi(text_of(n, "trigger")) >= 2);
		assert_non_null(strchr(text_of(n, "trigger"), '/'));
		assert_true(atoi(text_of(n, "duration")) > 0);
		struct pen_shape_rule *r = add(&sh->h, text_of(n, "reply"));
		r->provider = provider->key;
		r->line = n->line;
		assert_null(strchr(r->pattern, '\\')); // reads the same in all quotes
	}
}

static void print_entry(void *ctx, const struct pen_report_entry *e)
{
	char line[300];

	(void)ctx;
	print_message("%s\n", pen_report_format(e, line, sizeof(line)));
}

static void load_shipped(struct shipped *sh)
{
	struct pen_report rep = {.fn = print_entry};

	memset(sh, 0, sizeof(*sh));
	sh->root = pen_ucl_parse(pen_provider_rules_text(), PEN_PROVIDER_RULES_NAME, &rep);
	assert_non_null(sh->root);
	for (const struct pen_ucl_node *n = sh->root->child; n != NULL; n = n->next) {
		assert_string_equal(n->key, "provider");
		add_shipped(sh, n->child);
	}
	assert_true(sh->h.cfg.nrules > 50);
}

// The rules of the provider that match, checked to be what the table says.
static unsigned check_reply(const struct shipped *sh, const struct pen_reply_rules *r,
	struct pen_pattern_scratch *s, const char *provider, struct pen_span want,
	struct pen_span reply, bool *used)
{
	struct pen_reply_match m;

	pen_reply_rules_match(r, s, reply, provider, pen_span("", 0), &m);
	bool none = pen_span_eq(want, PEN_SPAN_LIT("none"));
	bool ok = none ? m.nrules == 0
		       : m.nrules == 1 && pen_span_eq(want, pen_span_cstr(sh->action[m.rule[0]]));
	for (uint32_t i = 0; i < m.nrules; i++)
		used[m.rule[i]] = true;
	if (ok)
		return 0;
	print_message("%s: %.*s\n  wants %.*s and matches %u rules\n", provider,
		PEN_SPAN_ARG(reply), PEN_SPAN_ARG(want), m.nrules);
	for (uint32_t i = 0; i < m.nrules; i++)
		print_message("  line %u, %s: %s\n", sh->h.rule[m.rule[i]].line,
			sh->action[m.rule[i]], sh->h.rule[m.rule[i]].pattern);
	return 1;
}

static void every_reply_of_a_provider_triggers_exactly_its_rule(void **state)
{
	static struct shipped sh;
	static bool used[RULES_MAX];
	struct pen_span rest = pen_span_cstr(provider_table);
	unsigned wrong = 0, elsewhere = 0;

	(void)state;
	load_shipped(&sh);
	struct pen_reply_rules *r = make(&sh.h.cfg);
	struct pen_pattern_scratch *s = pen_reply_rules_scratch(r);
	while (rest.n > 0) {
		struct pen_span line = pen_span_trim(take(&rest, '\n'));
		struct pen_reply_match m;
		char provider[64];
		if (line.n == 0 || line.p[0] == '#')
			continue;
		struct pen_span name = word(&line);
		snprintf(provider, sizeof(provider), "%.*s", PEN_SPAN_ARG(name));
		struct pen_span want = word(&line), reply = pen_span_trim(line);
		wrong += check_reply(&sh, r, s, provider, want, reply, used);
		// From anybody else it means nothing.
		pen_reply_rules_match(r, s, reply, "somebody", pen_span("", 0), &m);
		elsewhere += m.nrules;
	}
	for (uint32_t i = 0; i < sh.h.cfg.nrules; i++) {
		if (used[i])
			continue;
		print_message("line %u: no reply of the table matches %s\n", sh.h.rule[i].line,
			sh.h.rule[i].pattern);
		wrong++;
	}
	assert_int_equal(wrong, 0);
	assert_int_equal(elsewhere, 0);
	pen_pattern_scratch_free(s);
	pen_reply_rules_free(r);
	pen_ucl_free(sh.root);
}

// ---- the oracle: a loop of PCRE2 over all patterns

struct loop {
	pcre2_code *code[RULES_MAX];
	pcre2_match_data *md;
	uint32_t n;
};

static void loop_make(struct loop *l, const struct pen_shape_config *cfg)
{
	l->md = pcre2_match_data_create(32, NULL);
	for (l->n = 0; l->n < cfg->nrules; l->n++) {
		const char *p = cfg->rule[l->n].pattern;
		size_t len = strlen(p);
		int code;
		PCRE2_SIZE at;
		l->code[l->n] = pcre2_compile((PCRE2_SPTR)p + 1, len - 2,
			PCRE2_CASELESS | PCRE2_DOTALL, &code, &at, NULL);
		assert_non_null(l->code[l->n]);
	}
}

static bool loop_hit(struct loop *l, uint32_t i, struct pen_span text)
{
	return pcre2_match(l->code[i], text.p, text.n, 0, 0, l->md, NULL) >= 0;
}

static void loop_free(struct loop *l)
{
	for (uint32_t i = 0; i < l->n; i++)
		pcre2_code_free(l->code[i]);
	pcre2_match_data_free(l->md);
}

// A reply of the tables, perhaps with a piece of another in it.
static struct pen_span random_reply(struct pen_rand *rnd, struct pen_buf *b)
{
	pen_buf_reset(b);
	for (size_t pieces = 1 + pen_rand_below(rnd, 2); pieces > 0; pieces--) {
		bool first = pen_rand_below(rnd, 2) == 0;
		struct pen_span rest = pen_span_cstr(first ? provider_table : class_table);
		rest = pen_span_from(rest, pen_rand_below(rnd, (uint32_t)rest.n - 600));
		take(&rest, '\n');
		struct pen_span line = take(&rest, '\n');
		word(&line);
		if (first)
			word(&line);
		pen_buf_add_span(b, pen_span_trim(line));
		if (pen_rand_below(rnd, 4) == 0 && b->n > 0) // a fault somewhere
			b->p[pen_rand_below(rnd, (uint32_t)b->n)] =
				(uint8_t)pen_rand_below(rnd, 128);
	}
	return pen_buf_span(b);
}

static void one_scan_finds_the_rules_that_a_loop_finds(void **state)
{
	static struct shipped sh;
	static struct loop l;
	struct pen_buf b = PEN_BUF_INIT;
	struct pen_rand rnd;
	uint64_t found = 0;

	(void)state;
	pen_rand_seed(&rnd, pen_test_seed());
	load_shipped(&sh);
	for (uint32_t i = 0; i < sh.h.cfg.nrules; i++)
		sh.h.rule[i].provider = "";
	add(&sh.h, "/(?<!un)usual/"); // what Hyperscan only filters
	add(&sh.h, "/\\b(\\w+) \\1\\b/");
	struct pen_reply_rules *r = make(&sh.h.cfg);
	struct pen_pattern_scratch *s = pen_reply_rules_scratch(r);
	loop_make(&l, &sh.h.cfg);
	for (int round = 0; round < 3000; round++) {
		struct pen_span text = random_reply(&rnd, &b);
		struct pen_reply_match m;
		uint32_t k = 0;
		pen_reply_rules_match(r, s, text, "", pen_span("", 0), &m);
		for (uint32_t i = 0; i < sh.h.cfg.nrules && k < PEN_REPLY_RULES_MAX; i++) {
			bool ours = k < m.nrules && m.rule[k] == i;
			if (loop_hit(&l, i, text) != ours)
				fail_msg("rule %u (%s) and \"%.*s\": the scan says %d", i,
					sh.h.rule[i].pattern, PEN_SPAN_ARG(text), ours);
			k += ours;
		}
		assert_int_equal(k, m.nrules);
		found += k;
	}
	assert_true(found > 1000);
	loop_free(&l);
	pen_buf_fini(&b);
	pen_pattern_scratch_free(s);
	pen_reply_rules_free(r);
	pen_ucl_free(sh.root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reply_has_a_class_and_every_rule_that_it_matches),
		cmocka_unit_test(a_rule_in_a_section_matches_only_replies_from_there),
		cmocka_unit_test(no_more_rules_are_reported_than_there_is_room_for),
		cmocka_unit_test(a_bad_pattern_is_named_with_file_line_and_position),
		cmocka_unit_test(every_reply_of_a_provider_triggers_exactly_its_rule),
		cmocka_unit_test(one_scan_finds_the_rules_that_a_loop_finds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
