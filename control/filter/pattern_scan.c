// SPDX-License-Identifier: BSD-3-Clause

// Matching: one pass marks candidates, and a candidate is confirmed only when
// somebody asks about it.

#include "pattern_internal.h"

#include "pen_buf.h"
#include "pen_err.h"

#include <errno.h>
#include <stdlib.h>

// Enough for any sane pattern over a header block; a pattern that backtracks
// without end gives up after some milliseconds.
#define PCRE_MATCH_LIMIT 200000
#define TEXT_MAX ((size_t)1 << 30)

struct pen_pattern_scratch {
	const struct pen_pattern_set *set;
	hs_scratch_t *hs;
	pcre2_match_data *match;
	pcre2_match_context *limits;
	uint64_t *candidate; // bit i: pattern i may match
	struct pen_span text;
	struct pen_buf copy;
	uint64_t limit_hits;
};

struct pen_pattern_scratch *pen_pattern_scratch_new(const struct pen_pattern_set *set)
{
	struct pen_pattern_scratch *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->set = set;
	s->candidate = calloc(set->words, sizeof(*s->candidate));
	s->match = pcre2_match_data_create(PEN_PATTERN_GROUPS_MAX, NULL);
	s->limits = pcre2_match_context_create(NULL);
	if (s->candidate == NULL || s->match == NULL || s->limits == NULL ||
		(set->scratch != NULL && hs_clone_scratch(set->scratch, &s->hs) != HS_SUCCESS)) {
		pen_pattern_scratch_free(s);
		return NULL;
	}
	pcre2_set_match_limit(s->limits, PCRE_MATCH_LIMIT);
	return s;
}

void pen_pattern_scratch_free(struct pen_pattern_scratch *s)
{
	if (s == NULL)
		return;
	if (s->hs != NULL)
		hs_free_scratch(s->hs);
	pcre2_match_data_free(s->match);
	pcre2_match_context_free(s->limits);
	free(s->candidate);
	pen_buf_fini(&s->copy);
	free(s);
}

uint64_t pen_pattern_limit_hits(const struct pen_pattern_scratch *s)
{
	return s->limit_hits;
}

static int on_match(
	unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *arg)
{
	struct pen_pattern_scratch *s = arg;

	(void)from;
	(void)to;
	(void)flags;
	s->candidate[id / 64] |= 1ull << (id % 64);
	return 0;
}

int pen_pattern_scan(struct pen_pattern_scratch *s, struct pen_span text, bool padded)
{
	static const uint8_t zeros[PEN_PATTERN_PADDING];
	size_t candidates = s->set->words * sizeof(*s->candidate);

	memset(s->candidate, 0, candidates);
	s->text = pen_span("", 0);
	if (text.n > TEXT_MAX)
		return -EINVAL;
	if (!padded) {
		pen_buf_reset(&s->copy);
		s->copy.failed = false;
		pen_buf_add_span(&s->copy, text);
		pen_buf_add(&s->copy, zeros, sizeof(zeros));
		if (s->copy.failed)
			return -ENOMEM;
		text = pen_span(s->copy.p, text.n);
	}
	s->text = text;
	memcpy(s->candidate, s->set->always, candidates);
	if (s->set->db == NULL)
		return 0;
	hs_error_t rc =
		hs_scan(s->set->db, (const char *)text.p, (unsigned)text.n, 0, s->hs, on_match, s);
	PEN_ASSERT(rc == HS_SUCCESS); // anything else is a misuse of the scratch
	return 0;
}

// The number of groups that PCRE2 set, 0 for no match.
static int confirm(struct pen_pattern_scratch *s, size_t i)
{
	int rc = pcre2_match(
		s->set->pattern[i].code, s->text.p, s->text.n, 0, 0, s->match, s->limits);

	if (rc == PCRE2_ERROR_NOMATCH)
		return 0;
	if (rc < 0) {
		s->limit_hits++;
		return 0;
	}
	return rc == 0 ? PEN_PATTERN_GROUPS_MAX : rc;
}

bool pen_pattern_hit(struct pen_pattern_scratch *s, size_t i)
{
	PEN_ASSERT(i < s->set->n);
	if ((s->candidate[i / 64] >> (i % 64) & 1) == 0)
		return false;
	return s->set->pattern[i].engine == PEN_ENGINE_HYPERSCAN || confirm(s, i) > 0;
}

ptrdiff_t pen_pattern_next(struct pen_pattern_scratch *s, size_t from)
{
	uint64_t mask = ~0ull << (from % 64);

	for (size_t w = from / 64; w < s->set->words; w++, mask = ~0ull) {
		for (uint64_t bits = s->candidate[w] & mask; bits != 0; bits &= bits - 1) {
			size_t i = w * 64 + (size_t)__builtin_ctzll(bits);

			if (pen_pattern_hit(s, i))
				return (ptrdiff_t)i;
		}
	}
	return -1;
}

ptrdiff_t pen_pattern_first(struct pen_pattern_scratch *s)
{
	return pen_pattern_next(s, 0);
}

size_t pen_pattern_capture(
	struct pen_pattern_scratch *s, size_t i, struct pen_span *groups, size_t cap)
{
	PEN_ASSERT(i < s->set->n);
	int set = confirm(s, i);
	size_t n = s->set->pattern[i].groups + 1;
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(s->match);

	if (set == 0)
		return 0;
	if (n > PEN_PATTERN_GROUPS_MAX)
		n = PEN_PATTERN_GROUPS_MAX;
	if (n > cap)
		n = cap;
	for (size_t g = 0; g < n; g++) {
		bool used =
			g < (size_t)set && at[2 * g] != PCRE2_UNSET && at[2 * g] <= at[2 * g + 1];

		groups[g] = used ? pen_span(s->text.p + at[2 * g], at[2 * g + 1] - at[2 * g])
				 : pen_span(s->text.p, 0);
	}
	return n;
}
