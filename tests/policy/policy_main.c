// SPDX-License-Identifier: BSD-3-Clause

// Runs the cases of the files given and prints the count by part.
//
//   policy_cases [-v] FILE...      exit status 1 when a case failed

#include "policy_case.h"

#include <stdio.h>
#include <string.h>

#define PARTS 10

struct totals {
	int passed[PARTS], failed[PARTS];
};

static void run(struct policy_case *c)
{
	static bool (*const kinds[])(struct policy_case * c) = {
		case_session, case_function, case_lookup, case_scheduler};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i](c))
			return;
	}
	case_fail(c, "nothing in it can be run");
}

static bool run_file(const char *path, bool verbose, struct totals *t)
{
	static struct policy_case c;
	struct case_file *f = case_open(path);

	if (f == NULL)
		return false;
	while (case_next(f, &c)) {
		run(&c);
		bool ok = c.fault[0] == '\0';
		int part = c.part > 0 && c.part < PARTS ? c.part : 0;
		++*(ok ? &t->passed[part] : &t->failed[part]);
		if (!ok)
			printf("FAIL  %-8s %s\n      %s (%s:%u)\n", c.id, c.title, c.fault, path,
				c.n > 0 ? c.line[0].number : 0);
		else if (verbose)
			printf("ok    %-8s %s\n", c.id, c.title);
	}
	case_close(f);
	return true;
}

int main(int argc, char **argv)
{
	struct totals t = {0};
	int passed = 0, failed = 0, at = 1;
	bool verbose = argc > 1 && strcmp(argv[1], "-v") == 0;

	for (at += verbose; at < argc; at++) {
		if (!run_file(argv[at], verbose, &t))
			return 2;
	}
	for (int p = 0; p < PARTS; p++) {
		if (t.passed[p] + t.failed[p] > 0)
			printf("part %d: %d passed, %d failed\n", p, t.passed[p], t.failed[p]);
		passed += t.passed[p];
		failed += t.failed[p];
	}
	printf("%d cases passed, %d failed\n", passed, failed);
	return failed > 0 || passed == 0;
}
