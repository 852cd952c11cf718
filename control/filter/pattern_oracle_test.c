// SPDX-License-Identifier: BSD-3-Clause

// The oracle: a plain loop of PCRE2 over the patterns, in order. For random
// pattern sets and random texts of the patterns' own alphabet, one scan must
// find what the loop finds.

#include "pen_test.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "pen_buf.h"
#include "pen_pattern.h"
#include "pen_rand.h"

#define PATTERNS 24
#define ROUNDS 40
#define TEXTS 200
#define GAVE_UP (-2)

static struct pen_rand rnd;
static uint64_t total_gave_up;

static size_t below(size_t n)
{
	return pen_rand_below(&rnd, n);
}

// Returns true for a group: those are not repeated without end, since a repeat
// of a repeat takes PCRE2 exponential time.
static bool add_atom(struct pen_buf *b, int depth);

static void add_regex(struct pen_buf *b, int depth)
{
	static const char *const repeats[] = {
		"", "", "", "", "?", "*", "+", "{2}", "{1,3}", "*?", "+?"};

	for (size_t n = 1 + below(4); n > 0; n--) {
		if (add_atom(b, depth))
			pen_buf_add_cstr(b, below(3) == 0 ? "?" : below(4) == 0 ? "{2}" : "");
		else
			pen_buf_add_cstr(b, repeats[below(sizeof(repeats) / sizeof(repeats[0]))]);
	}
	if (depth > 0 && below(4) == 0) {
		pen_buf_add_cstr(b, "|");
		add_regex(b, depth - 1);
	}
}

static bool add_atom(struct pen_buf *b, int depth)
{
	static const char *const atoms[] = {"a", "b", "c", "A", "1", " ", "\\d", "\\w", "\\s", ".",
		"[ab]", "[^a]", "[a-c1]", "ab", "ba", "\\n", "\\W", "[[:alpha:]]"};

	if (depth == 0 || below(3) > 0) {
		pen_buf_add_cstr(b, atoms[below(sizeof(atoms) / sizeof(atoms[0]))]);
		return false;
	}
	static const char *const open[] = {"(", "(", "(?:", "(?:", "(?:", "(?>", "(?i:", "(?s:"};
	pen_buf_add_cstr(b, open[below(sizeof(open) / sizeof(open[0]))]);
	add_regex(b, depth - 1);
	pen_buf_add_cstr(b, ")");
	return true;
}

static void random_pattern(struct pen_buf *b)
{
	static const char *const starts[] = {
		"", "", "", "", "", "^", "^", "\\b", "\\A", "(?=b)", "(?<!a)", "(?i)"};
	static const char *const ends[] = {
		"", "", "", "", "", "$", "$", "\\b", "\\z", "\\Z", "(?!b)", "(?<=a)"};

	pen_buf_add_cstr(b, starts[below(sizeof(starts) / sizeof(starts[0]))]);
	if (below(10) == 0) {
		pen_buf_add_cstr(b, "([ab]+)");
		add_regex(b, 1);
		pen_buf_add_cstr(b, "\\1");
	} else {
		add_regex(b, 2);
	}
	pen_buf_add_cstr(b, ends[below(sizeof(ends) / sizeof(ends[0]))]);
}

static unsigned random_flags(void)
{
	static const unsigned choice[] = {PEN_PATTERN_CASELESS, PEN_PATTERN_MULTILINE,
		PEN_PATTERN_DOTALL, PEN_PATTERN_EXTENDED, PEN_PATTERN_ANCHORED,
		PEN_PATTERN_DOLLAR_END, PEN_PATTERN_UNGREEDY};
	unsigned flags = 0;

	for (size_t n = below(4); n > 0; n--)
		flags |= choice[below(sizeof(choice) / sizeof(choice[0]))];
	return flags;
}

static pcre2_code *oracle_compile(const struct pen_pattern *p)
{
	static const struct {
		unsigned ours;
		uint32_t theirs;
	} map[] = {{PEN_PATTERN_CASELESS, PCRE2_CASELESS}, {PEN_PATTERN_MULTILINE, PCRE2_MULTILINE},
		{PEN_PATTERN_DOTALL, PCRE2_DOTALL}, {PEN_PATTERN_EXTENDED, PCRE2_EXTENDED},
		{PEN_PATTERN_ANCHORED, PCRE2_ANCHORED},
		{PEN_PATTERN_DOLLAR_END, PCRE2_DOLLAR_ENDONLY},
		{PEN_PATTERN_UNGREEDY, PCRE2_UNGREEDY}};
	uint32_t options = 0;
	PCRE2_SIZE at;
	int code;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		options |= p->flags & map[i].ours ? map[i].theirs : 0;
	return pcre2_compile(p->text.p, p->text.n, options, &code, &at, NULL);
}

static ptrdiff_t oracle_first(pcre2_code **code, pcre2_match_data *md, struct pen_span text)
{
	for (size_t i = 0; i < PATTERNS; i++) {
		int rc = pcre2_match(code[i], text.p, text.n, 0, 0, md, NULL);

		if (rc >= 0)
			return (ptrdiff_t)i;
		if (rc != PCRE2_ERROR_NOMATCH)
			return GAVE_UP;
	}
	return -1;
}

static void compare_texts(
	struct pen_pattern_set *set, const struct pen_pattern *p, pcre2_code **code)
{
	static const char alphabet[] = "aaabbbccAB11  \n\n.x";
	struct pen_pattern_scratch *s = pen_pattern_scratch_new(set);
	pcre2_match_data *md = pcre2_match_data_create(64, NULL);
	uint64_t gave_up = 0, limit_hits = 0;
	uint8_t text[64];

	for (int t = 0; t < TEXTS; t++) {
		size_t n = t == 0 ? 0 : below(t % 2 ? 8 : sizeof(text));

		for (size_t i = 0; i < n; i++)
			text[i] = (uint8_t)alphabet[below(sizeof(alphabet) - 1)];
		assert_int_equal(pen_pattern_scan(s, pen_span(text, n), false), 0);
		ptrdiff_t ours = pen_pattern_first(s);
		ptrdiff_t theirs = oracle_first(code, md, pen_span(text, n));
		// Exponential patterns end at a limit, where neither side has an answer.
		if (theirs == GAVE_UP || pen_pattern_limit_hits(s) != limit_hits) {
			limit_hits = pen_pattern_limit_hits(s);
			gave_up++;
			continue;
		}
		if (ours != theirs) {
			for (size_t i = 0; i < PATTERNS; i++)
				if ((ptrdiff_t)i == ours || (ptrdiff_t)i == theirs)
					print_message("%zu: /%.*s/ flags %#x engine %d\n", i,
						PEN_SPAN_ARG(p[i].text), p[i].flags,
						pen_pattern_set_engine(set, i));
			print_message("text \"%.*s\"\n", (int)n, (char *)text);
		}
		assert_int_equal(ours, theirs);
	}
	total_gave_up += gave_up;
	pcre2_match_data_free(md);
	pen_pattern_scratch_free(s);
}

static void one_scan_finds_what_a_loop_of_pcre2_finds(void **state)
{
	unsigned engines[3] = {0};

	(void)state;
	pen_rand_seed(&rnd, pen_test_seed());
	for (int round = 0; round < ROUNDS; round++) {
		struct pen_pattern p[PATTERNS];
		struct pen_buf text[PATTERNS];
		pcre2_code *code[PATTERNS];
		char err[300] = "";

		for (size_t i = 0; i < PATTERNS; i++) {
			text[i] = PEN_BUF_INIT;
			do { // a repeat of ignored white space does not compile
				pen_buf_reset(&text[i]);
				random_pattern(&text[i]);
				p[i] = (struct pen_pattern){
					pen_buf_span(&text[i]), random_flags(), "random", 1};
				code[i] = oracle_compile(&p[i]);
			} while (code[i] == NULL);
		}
		struct pen_pattern_set *set =
			pen_pattern_set_new(p, PATTERNS, 60 * PEN_US_PER_S, err, sizeof(err));
		assert_string_equal(err, "");
		compare_texts(set, p, code);
		for (size_t i = 0; i < PATTERNS; i++) {
			engines[pen_pattern_set_engine(set, i)]++;
			pcre2_code_free(code[i]);
			pen_buf_fini(&text[i]);
		}
		pen_pattern_set_free(set);
	}
	print_message("%u patterns by Hyperscan, %u prefiltered, %u by PCRE2 alone\n", engines[0],
		engines[1], engines[2]);
	print_message("%llu of %d texts were given up\n", (unsigned long long)total_gave_up,
		ROUNDS * TEXTS);
	assert_true(engines[0] > 0 && engines[1] > 0);
	assert_true(total_gave_up < ROUNDS * TEXTS / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_scan_finds_what_a_loop_of_pcre2_finds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
