// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The structured configuration syntax: what egress.conf needs of UCL.
//
//   key = value; key: value, "key" value      ";", "," or a new line ends a value
//   key { ... }   key name { ... }            objects; a name makes one more level
//   [a, b, c]                                 arrays
//   "text\n"  'text'  word  10  512kb  yes    values
//   "/a\.b\d/i"  a text that begins with "/" is a pattern: of the escapes only \" and
//                 \\ are undone, the others are the pattern's
//   # comment   /* comment, may be nested */
//
// Left out of UCL on purpose: macros (.include), variables and here-documents.
// Debian has no libucl (its package of that name is a compression library),
// and libucl keeps no line numbers, which our error messages must name.
//
// Memory:  pen_ucl_free frees the whole tree.
// Limits:  PEN_UCL_DEPTH_MAX levels, PEN_UCL_NODES_MAX values.
// Errors:  a syntax error is reported with its line and ends the parse.

#include "pen_report.h"
#include "pen_span.h"

#define PEN_UCL_DEPTH_MAX 16
#define PEN_UCL_NODES_MAX 1000000
#define PEN_UCL_FILE_MAX (64u * 1024 * 1024)

enum pen_ucl_type {
	PEN_UCL_STRING, // in quotes
	PEN_UCL_WORD,   // without quotes: numbers, booleans, names
	PEN_UCL_ARRAY,
	PEN_UCL_OBJECT,
};

struct pen_ucl_node {
	enum pen_ucl_type type;
	unsigned line;
	char *key;  // NULL in an array and at the root
	char *text; // STRING and WORD
	struct pen_ucl_node *child, *last_child;
	struct pen_ucl_node *next;
	bool used; // for readers, which report what they did not look at
};

// pen_ucl_parse returns the root object, or NULL after a reported error.
struct pen_ucl_node *pen_ucl_parse(struct pen_span text, const char *file, struct pen_report *r);
void pen_ucl_free(struct pen_ucl_node *n);
// pen_ucl_type_name: "a text", "an object"...
const char *pen_ucl_type_name(enum pen_ucl_type type);
// pen_ucl_number reads a WORD: digits, then k, m, g (powers of 1000) or kb, mb,
// gb (powers of 1024).
bool pen_ucl_number(const struct pen_ucl_node *n, uint64_t *out);
// pen_ucl_bool reads true, yes, on, false, no, off.
bool pen_ucl_bool(const struct pen_ucl_node *n, bool *out);
