// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Lists of suppressed addresses as files: CSV (RFC 4180) with the columns
//
//   address,reason,source,since,tenant
//
// in this order, or in that of a first line with their names. Only the address is
// needed: a file with one address per line is such a file. `since` is
// 2026-11-21T10:00:00Z, 2026-11-21, or seconds since 1970.
//
// Pure. One record has at most SUPPRESSION_CSV_LINE_MAX bytes and lies in one line.

#include "pen_buf.h"
#include "pen_time.h"

#define SUPPRESSION_CSV_LINE_MAX 4096
#define SUPPRESSION_CSV_COLUMNS 5

struct suppression_csv {
	int8_t column[SUPPRESSION_CSV_COLUMNS]; // of address, reason, ...; -1: it has none
	bool begun;                             // the first line was read
	char text[SUPPRESSION_CSV_LINE_MAX];
};

struct suppression_record {
	struct pen_span address, reason, source, tenant; // inside the reader
	pen_wall_us since;                               // 0: not given
};

enum suppression_csv_result {
	SUPPRESSION_CSV_RECORD,
	SUPPRESSION_CSV_NOTHING, // an empty line, a comment (#), or the names
	SUPPRESSION_CSV_BAD,     // *why says what is wrong
};

void suppression_csv_init(struct suppression_csv *r);
// One line without its line end.
enum suppression_csv_result suppression_csv_line(struct suppression_csv *r, struct pen_span line,
	struct suppression_record *out, const char **why);
// False: it is no time.
bool suppression_time_parse(struct pen_span text, pen_wall_us *out);

// The other way: appends a field, quoted where it must be.
void suppression_csv_put(struct pen_buf *b, struct pen_span field, bool last);
