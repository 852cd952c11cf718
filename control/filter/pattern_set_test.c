// SPDX-License-Identifier: BSD-3-Clause

#include "pen_test.h"

#include "pen_pattern.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT (30 * PEN_US_PER_S)

static struct pen_pattern_set *set_of(const struct pen_pattern *p, size_t n)
{
	char err[300] = "";
	struct pen_pattern_set *set = pen_pattern_set_new(p, n, LIMIT, err, sizeof(err));

	if (set == NULL)
		print_message("%s\n", err);
	assert_non_null(set);
	return set;
}

static struct pen_pattern pat(const char *text, unsigned flags)
{
	return (struct pen_pattern){pen_span_cstr(text), flags, "test", 1};
}

static ptrdiff_t first(struct pen_pattern_scratch *s, const char *text)
{
	assert_int_equal(pen_pattern_scan(s, pen_span_cstr(text), false), 0);
	return pen_pattern_first(s);
}

static void the_lowest_index_wins_whatever_the_engine(void **state)
{
	const struct pen_pattern p[] = {
		pat("^x(?=yz)", 0),                  // look-ahead: prefilter
		pat("(a|b)\\1", 0),                  // back-reference: prefilter
		pat("needle", PEN_PATTERN_CASELESS), // Hyperscan
		pat("(?|(q)u|(k)w)\\R", 0),          // PCRE2 alone
		pat("a.c", PEN_PATTERN_LITERAL),     // Hyperscan, escaped
		pat("n.{0,3}e", 0),                  // later than `needle`
		pat("^$", 0),                        // the empty text
	};
	struct pen_pattern_set *set = set_of(p, sizeof(p) / sizeof(p[0]));
	struct pen_pattern_scratch *s = pen_pattern_scratch_new(set);

	(void)state;
	assert_int_equal(pen_pattern_set_engine(set, 0), PEN_ENGINE_PREFILTER);
	assert_int_equal(pen_pattern_set_engine(set, 1), PEN_ENGINE_PREFILTER);
	assert_int_equal(pen_pattern_set_engine(set, 2), PEN_ENGINE_HYPERSCAN);
	assert_int_equal(pen_pattern_set_engine(set, 3), PEN_ENGINE_PCRE2);
	assert_int_equal(pen_pattern_set_engine(set, 4), PEN_ENGINE_HYPERSCAN);
	assert_int_equal(first(s, "xyz needle"), 0);
	assert_int_equal(first(s, "xya needle"), 2); // the prefilter alone would say 0
	assert_int_equal(first(s, "bb NEEDLE"), 1);
	assert_int_equal(first(s, "ab NEEDLE"), 2);
	assert_int_equal(first(s, "qu\r\n a.c"), 3);
	assert_int_equal(first(s, "qu a.c"), 4);
	assert_int_equal(first(s, "abc"), -1);
	assert_int_equal(first(s, "nxxe"), 5);
	assert_int_equal(first(s, ""), 6);
	assert_int_equal(first(s, "z"), -1);
	pen_pattern_scratch_free(s);
	pen_pattern_set_free(set);
}

static void flags_mean_what_pcre_means(void **state)
{
	const struct pen_pattern p[] = {
		pat("^second", PEN_PATTERN_MULTILINE),
		pat("one.two", PEN_PATTERN_DOTALL),
		pat("a b # comment\n c", PEN_PATTERN_EXTENDED | PEN_PATTERN_ANCHORED),
		pat("end$", PEN_PATTERN_DOLLAR_END),
		pat("x|(?:y)", PEN_PATTERN_ANCHORED),
	};
	struct pen_pattern_set *set = set_of(p, sizeof(p) / sizeof(p[0]));
	struct pen_pattern_scratch *s = pen_pattern_scratch_new(set);

	(void)state;
	assert_int_equal(first(s, "the first\nsecond"), 0);
	assert_int_equal(first(s, "the second"), -1);
	assert_int_equal(first(s, "one\ntwo"), 1);
	assert_int_equal(first(s, "abc"), 2);
	assert_int_equal(first(s, " abc"), -1);
	assert_int_equal(first(s, "the end"), 3);
	assert_int_equal(first(s, "the end\n"), -1);
	assert_int_equal(first(s, "y"), 4);
	assert_int_equal(first(s, "\ny"), -1);
	pen_pattern_scratch_free(s);
	pen_pattern_set_free(set);
}

static void captures_come_from_the_pattern_that_hit(void **state)
{
	const struct pen_pattern p[] = {pat("from: (\\w+)@(x)?(\\w+)", PEN_PATTERN_CASELESS)};
	struct pen_pattern_set *set = set_of(p, 1);
	struct pen_pattern_scratch *s = pen_pattern_scratch_new(set);
	struct pen_span g[8];

	(void)state;
	assert_int_equal(pen_pattern_set_groups(set, 0), 3);
	assert_int_equal(first(s, "> From: ann@example"), 0);
	assert_int_equal(pen_pattern_capture(s, 0, g, 8), 4);
	assert_true(pen_span_eq(g[0], PEN_SPAN_LIT("From: ann@example")));
	assert_true(pen_span_eq(g[1], PEN_SPAN_LIT("ann")));
	assert_int_equal(g[2].n, 0);
	assert_true(pen_span_eq(g[3], PEN_SPAN_LIT("example")));
	assert_int_equal(pen_pattern_capture(s, 0, g, 2), 2);
	assert_int_equal(first(s, "nothing"), -1);
	assert_int_equal(pen_pattern_capture(s, 0, g, 8), 0);
	pen_pattern_scratch_free(s);
	pen_pattern_set_free(set);
}

static void errors_name_file_line_position_and_pattern(void **state)
{
	const struct pen_pattern p[] = {{PEN_SPAN_LIT("fine"), 0, "/etc/checks", 3},
		{PEN_SPAN_LIT("ab(cd"), 0, "/etc/checks", 17}};
	char err[300];

	(void)state;
	assert_null(pen_pattern_set_new(p, 2, LIMIT, err, sizeof(err)));
	assert_string_equal(err,
		"/etc/checks:17: missing closing parenthesis at position 6 of pattern \"ab(cd\"");
}

static void an_empty_set_matches_nothing(void **state)
{
	struct pen_pattern_set *set = set_of(NULL, 0);
	struct pen_pattern_scratch *s = pen_pattern_scratch_new(set);

	(void)state;
	assert_int_equal(first(s, "anything"), -1);
	pen_pattern_scratch_free(s);
	pen_pattern_set_free(set);
}

// In a child, because the compilation that is given up goes on in its thread.
static void a_compilation_that_takes_too_long_is_refused(void **state)
{
	pid_t child = fork();

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		struct pen_pattern p[300];
		char text[300][40], err[300] = "";

		for (int i = 0; i < 300; i++) {
			snprintf(text[i], sizeof(text[i]), "(a|b%d)[^x]{%d}c.*d", i, 50 + i);
			p[i] = pat(text[i], PEN_PATTERN_DOTALL);
		}
		if (pen_pattern_set_new(p, 300, 1000, err, sizeof(err)) != NULL)
			_exit(1);
		_exit(strstr(err, "took longer than") != NULL ? 0 : 2);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void catastrophic_backtracking_gives_up(void **state)
{
	const struct pen_pattern p[] = {pat("^(?:a+)+(?!b)b$", 0)};
	struct pen_pattern_set *set = set_of(p, 1);
	struct pen_pattern_scratch *s = pen_pattern_scratch_new(set);

	(void)state;
	assert_int_equal(
		first(s, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), -1);
	assert_int_equal(pen_pattern_limit_hits(s), 1);
	pen_pattern_scratch_free(s);
	pen_pattern_set_free(set);
}

// Hyperscan's vector code reads behind its buffer on AVX512VBMI: without the
// padded copy some of these scans die.
static void a_text_at_the_end_of_a_page_is_scanned_safely(void **state)
{
	static const char *const words[] = {"bat", "cat", "mat", "hat", "rat", "sat", "fat", "pat",
		"vat", "oat", "eat", "gnat", "chat", "that", "flat", "brat"};
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = sizeof(words) / sizeof(words[0]);
	struct pen_pattern p[16];

	(void)state;
	for (size_t i = 0; i < n; i++)
		p[i] = pat(words[i], PEN_PATTERN_CASELESS);
	struct pen_pattern_set *set = set_of(p, n);
	struct pen_pattern_scratch *s = pen_pattern_scratch_new(set);
	uint8_t *map =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(map != MAP_FAILED);
	assert_int_equal(mprotect(map + page, page, PROT_NONE), 0);
	memset(map, 'x', page);
	memcpy(map + page - 3, "vat", 3);
	for (size_t len = 0; len <= 300; len++) {
		assert_int_equal(pen_pattern_scan(s, pen_span(map + page - len, len), false), 0);
		assert_int_equal(pen_pattern_first(s), len >= 3 ? 8 : -1);
	}
	munmap(map, 2 * page);
	pen_pattern_scratch_free(s);
	pen_pattern_set_free(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_lowest_index_wins_whatever_the_engine),
		cmocka_unit_test(flags_mean_what_pcre_means),
		cmocka_unit_test(captures_come_from_the_pattern_that_hit),
		cmocka_unit_test(errors_name_file_line_position_and_pattern),
		cmocka_unit_test(an_empty_set_matches_nothing),
		cmocka_unit_test(a_compilation_that_takes_too_long_is_refused),
		cmocka_unit_test(catastrophic_backtracking_gives_up),
		cmocka_unit_test(a_text_at_the_end_of_a_page_is_scanned_safely),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
