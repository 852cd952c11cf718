// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What an audit found, for people and as JSON: totals, and each record that breaks
// the balance, with what the event log says about it.

#include "audit_book.h"

#include <jansson.h>
#include <stdio.h>

struct audit_file {
	char *name;
	FILE *f;
	uint64_t size; // as far as it is read
	uint64_t mark; // where the picture of the spool was taken; UINT64_MAX: not in this file
	uint64_t lines, bad;
	int64_t first; // timestamp of the first record
	bool begins_with_start;
};

struct audit_report {
	struct audit_file *file;
	unsigned nfiles;
	unsigned limit; // records named of each kind
	json_t *named;  // a list
	unsigned told[BOOK_FAULTS];
	uint64_t lost_records;
};

// Of a record: file and offset of its line in one number. Never 0.
uint64_t audit_where(unsigned file, uint64_t offset);
// A book_fault_fn with the report as ctx.
void audit_note(void *ctx, enum book_fault fault, uint64_t id, uint32_t index, enum pen_fate fate,
	enum pen_fate earlier_fate, uint64_t where, uint64_t earlier);
// True: accepted is the sum of the rest, and nothing is wrong.
bool audit_balanced(const struct audit_report *r, const struct book_totals *t);
void audit_show(FILE *out, const struct audit_report *r, const struct book_totals *t);
json_t *audit_json(const struct audit_report *r, const struct book_totals *t);
