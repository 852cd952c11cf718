// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A set of regular expressions that is scanned once.
//
// All patterns are compiled into one Hyperscan database. What Hyperscan cannot
// express exactly (look-around, back-references) it only filters, and PCRE2
// confirms the few candidates; what it refuses altogether PCRE2 runs alone. The
// answers are those of PCRE2 either way: `pen_pattern_first` is what a loop over
// the patterns in order would find.
//
// Threads: a set is read-only after pen_pattern_set_new and shared freely. A
//          scratch belongs to one thread and one set; the set outlives it.
// Memory:  heap; a scratch keeps a copy of the text scanned last.
// Limits:  PEN_PATTERN_MAX patterns of PEN_PATTERN_TEXT_MAX bytes; a match by
//          PCRE2 that needs too many steps counts as no match (`limit_hits`).

#include "pen_span.h"
#include "pen_time.h"

#define PEN_PATTERN_MAX 20000
#define PEN_PATTERN_TEXT_MAX 8192
#define PEN_PATTERN_GROUPS_MAX 32 // captures that can be asked for, and $0
// Hyperscan's vector code reads past the end of its buffer on some CPUs. This
// many readable bytes behind the text keep that harmless.
#define PEN_PATTERN_PADDING 64

enum pen_pattern_flag {
	PEN_PATTERN_CASELESS = 1 << 0,
	PEN_PATTERN_MULTILINE = 1 << 1,  // ^ and $ match at newlines
	PEN_PATTERN_DOTALL = 1 << 2,     // . matches a newline
	PEN_PATTERN_LITERAL = 1 << 3,    // no metacharacters at all
	PEN_PATTERN_EXTENDED = 1 << 4,   // white space and # comments are ignored
	PEN_PATTERN_ANCHORED = 1 << 5,   // matches at the start of the text only
	PEN_PATTERN_DOLLAR_END = 1 << 6, // $ does not match before a last newline
	PEN_PATTERN_UNGREEDY = 1 << 7,
};

struct pen_pattern {
	struct pen_span text;
	unsigned flags;   // enum pen_pattern_flag
	const char *file; // for messages; borrowed until pen_pattern_set_new returns
	unsigned line;
};

struct pen_pattern_set;
struct pen_pattern_scratch;

// How a pattern is run; for statistics and tests.
enum pen_pattern_engine {
	PEN_ENGINE_HYPERSCAN,
	PEN_ENGINE_PREFILTER, // Hyperscan, confirmed by PCRE2
	PEN_ENGINE_PCRE2,
};

// pen_pattern_set_new copies what it needs. The index of a pattern is its id and
// its priority: the lowest wins. A set may be empty. NULL on failure, with one
// sentence in err that names file, line, position and pattern. `time_limit`
// bounds the compilation (which is left behind in its thread when it exceeds
// it, since it cannot be interrupted).
struct pen_pattern_set *pen_pattern_set_new(const struct pen_pattern *patterns, size_t n,
	pen_time_us time_limit, char *err, size_t err_cap);
void pen_pattern_set_free(struct pen_pattern_set *set);
size_t pen_pattern_set_count(const struct pen_pattern_set *set);
enum pen_pattern_engine pen_pattern_set_engine(const struct pen_pattern_set *set, size_t i);
// The number of capture groups of a pattern.
size_t pen_pattern_set_groups(const struct pen_pattern_set *set, size_t i);

// NULL: out of memory.
struct pen_pattern_scratch *pen_pattern_scratch_new(const struct pen_pattern_set *set);
void pen_pattern_scratch_free(struct pen_pattern_scratch *s);
// Matches that PCRE2 gave up on, since the scratch was made.
uint64_t pen_pattern_limit_hits(const struct pen_pattern_scratch *s);

// pen_pattern_scan looks at `text` once, for all patterns; the questions below
// are about the text scanned last. `padded`: the caller guarantees
// PEN_PATTERN_PADDING readable bytes behind the text and keeps it unchanged
// until the next scan; otherwise it is copied. 0, -ENOMEM, or -EINVAL for a
// text above 1 GiB.
int pen_pattern_scan(struct pen_pattern_scratch *s, struct pen_span text, bool padded);
// Whether pattern i matches.
bool pen_pattern_hit(struct pen_pattern_scratch *s, size_t i);
// The first pattern that matches, or -1.
ptrdiff_t pen_pattern_first(struct pen_pattern_scratch *s);
// The first from pattern `from` on, or -1.
ptrdiff_t pen_pattern_next(struct pen_pattern_scratch *s, size_t from);
// pen_pattern_capture writes $0, $1... of pattern i and returns how many (0: no
// match). A group that took no part is empty. Spans point into the text.
size_t pen_pattern_capture(
	struct pen_pattern_scratch *s, size_t i, struct pen_span *groups, size_t cap);
