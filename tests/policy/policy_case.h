// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A case of tests/policy: what is given and what is expected, as written in
// cases/*.cases (README.md has the format).
//
// A case is a list of lines, each a word and its arguments; who knows the word
// gives it a meaning. Memory: one case at a time, valid until the next.

#include <stdbool.h>
#include <stddef.h>

#define CASE_LINES_MAX 64
#define CASE_WORDS_MAX 48

struct case_line {
	unsigned number;  // in the file
	const char *rest; // behind the first word, as written
	int n;
	char *word[CASE_WORDS_MAX];
};

struct policy_case {
	const char *file;
	char id[64], title[256];
	int part;
	int n;
	struct case_line line[CASE_LINES_MAX];
	// The text of the first fault, or "".
	char fault[2048];
};

struct case_file;
// NULL with a message on stderr.
struct case_file *case_open(const char *path);
void case_close(struct case_file *f);
// False at the end. A file with a fault ends the program: it is ours.
bool case_next(struct case_file *f, struct policy_case *c);

// The value of "key=value" among the words of a line; NULL: not there.
const char *case_value(const struct case_line *l, const char *key);
// Notes that the case failed; the first reason stays.
void case_fail(struct policy_case *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void case_expect_text(struct policy_case *c, const char *what, const char *got, const char *want);

// Each runs the lines it knows and returns true if the case was one of its own.
bool case_session(struct policy_case *c);   // host ...: a delivery attempt
bool case_function(struct policy_case *c);  // one pure function
bool case_lookup(struct policy_case *c);    // dns ...: from a next hop to hosts
bool case_scheduler(struct policy_case *c); // window, preempt, retry
