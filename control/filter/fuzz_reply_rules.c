// SPDX-License-Identifier: BSD-3-Clause

// Rules from anywhere, over replies and names of sites from anywhere: "pattern NUL
// site NUL reply". A pattern compiles or is refused with a sentence; what matches
// is in range, in order, and in its place.

#include "pen_reply_rules.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pen_reply_rules *make(const char *classes, const char *pattern)
{
	static const char *mx[] = {"*.example.com", "mx.one.test", "*"};
	struct pen_shape_section site[] = {
		{.name = "a", .match = {.nmx = 2, .mx = mx}},
		{.name = "b", .match = {.nmx = 3, .mx = mx}},
	};
	struct pen_shape_rule rule[] = {
		{.line = 1, .pattern = pattern},
		{.line = 2, .pattern = pattern, .provider = "p"},
		{.line = 3, .pattern = "", .signal = PEN_SIGNAL_RESET},
		{.line = 4, .pattern = "/./", .site = "a"},
		{.line = 5, .pattern = "/./", .site = "b"},
	};
	struct pen_shape_config cfg = {.nsites = 2, .site = site, .nrules = 5, .rule = rule};
	char err[200] = "";
	struct pen_reply_rules *r = pen_reply_rules_new(classes, "fuzz", &cfg, err, sizeof(err));

	if (r == NULL && strncmp(err, "fuzz", 4) != 0)
		abort();
	return r;
}

static void match(const struct pen_reply_rules *r, struct pen_pattern_scratch *s,
	struct pen_span site, struct pen_span reply)
{
	struct pen_reply_match m;

	pen_reply_rules_match(r, s, reply, "q", site, &m);
	if (m.klass_id >= pen_reply_class_count(r) || m.nrules > 4)
		abort();
	for (uint32_t i = 0; i < m.nrules; i++) {
		// Never another provider's, and never one that waits for a signal.
		if (m.rule[i] == 1 || m.rule[i] == 2 || m.rule[i] > 4)
			abort();
		if (i > 0 && m.rule[i] <= m.rule[i - 1])
			abort();
	}
}

static struct pen_span part(struct pen_span *rest)
{
	ptrdiff_t nul = pen_span_find(*rest, 0);
	struct pen_span p = pen_span(rest->p, nul >= 0 ? (size_t)nul : rest->n);

	*rest = pen_span_from(*rest, p.n + (nul >= 0));
	return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pen_reply_rules *fixed;
	static struct pen_pattern_scratch *scratch;
	struct pen_span rest = pen_span(data, size);
	char pattern[128];

	if (fixed == NULL) {
		fixed = make(NULL, "/^[45]/");
		if (fixed == NULL)
			abort();
		scratch = pen_reply_rules_scratch(fixed);
	}
	struct pen_span p = part(&rest), site = part(&rest);
	match(fixed, scratch, site, rest);
	if (p.n == 0 || p.n >= sizeof(pattern))
		return 0;
	memcpy(pattern, p.p, p.n);
	pattern[p.n] = '\0';
	struct pen_reply_rules *r = make("/dev/null", pattern); // no classes: quicker
	if (r != NULL) {
		struct pen_pattern_scratch *s = pen_reply_rules_scratch(r);
		match(r, s, site, rest);
		pen_pattern_scratch_free(s);
		pen_reply_rules_free(r);
	}
	return 0;
}
