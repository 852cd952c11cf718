// SPDX-License-Identifier: BSD-3-Clause

// The suppression list alone: a million entries in, then lookups that find and that
// don't. bench_suppression FOLDER [ENTRIES]

#include "pen_suppression.h"

#include <stdio.h>
#include <stdlib.h>

static size_t address(char *out, size_t cap, uint64_t i)
{
	uint64_t x = i * 0x9e3779b97f4a7c15u; // in no order

	return (size_t)snprintf(out, cap, "user%llx@d%llu.example", (unsigned long long)x,
		(unsigned long long)(x >> 50));
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000, hits = 0;
	struct pen_suppression *s;
	struct pen_suppression_hit hit;
	char err[300], text[100];
	bool fresh;

	if (argc < 2 || pen_suppression_open(argv[1], 0, &s, err, sizeof(err)) != 0) {
		fprintf(stderr, "usage: bench_suppression FOLDER [ENTRIES]\n%s\n",
			argc < 2 ? "" : err);
		return 2;
	}
	pen_time_us t0 = pen_clock_mono();
	for (uint64_t i = 0; i < n; i++) {
		if (i % PEN_SUPPRESSION_BATCH == 0 &&
			((i > 0 && pen_suppression_batch_commit(s) != 0) ||
				pen_suppression_batch_begin(s) != 0))
			return 1;
		struct pen_suppression_entry e = {
			.address = pen_span(text, address(text, sizeof(text), i)),
			.source = PEN_SUPPRESSION_IMPORT,
			.since = 1795232580000000,
			.reason = PEN_SPAN_LIT("bad-mailbox")};
		if (pen_suppression_batch_put(s, &e, &fresh) != 0)
			return 1;
	}
	if (pen_suppression_batch_commit(s) != 0)
		return 1;
	pen_time_us t1 = pen_clock_mono();
	for (uint64_t i = 0; i < n; i++) {
		size_t len = address(text, sizeof(text), i * 7 % (2 * n));
		hits += pen_suppression_find(s, PEN_SPAN_LIT("acme"), pen_span(text, len), &hit);
	}
	pen_time_us t2 = pen_clock_mono();
	printf("%llu entries in %.2f s, lookups %.2f us each, %llu found\n",
		(unsigned long long)pen_suppression_count(s), (double)(t1 - t0) / 1e6,
		(double)(t2 - t1) / (double)n, (unsigned long long)hits);
	pen_suppression_close(s);
	return 0;
}
