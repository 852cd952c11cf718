// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// header_checks: what to do about the headers of a message.
//
// The table is a pen_rule_table whose results are actions:
//   REJECT [text]   HOLD [text]   DISCARD [text]   WARN [text]   INFO [text]
//   PREPEND header  IGNORE        STRIP [text]     DUNNO
// Each logical header (continuation lines included, joined by newlines) is
// matched once against the whole table; the first rule that matches acts.
// REJECT and DISCARD end the inspection, the others go on with the next header.
// Only the message's own headers are looked at, not those of MIME parts.
//
// Threads: checks are read-only once loaded; a scratch belongs to one thread.
// Memory:  heap. A verdict is reused from message to message; its texts are
//          valid until it is applied to again.
// Limits:  a header is matched up to 100 KiB.
// Follows: header_checks(5) except for BCC, FILTER, PASS, REDIRECT and REPLACE,
//          which are refused at load.

#include "pen_dsn.h"
#include "pen_rule_table.h"

enum pen_header_action {
	PEN_HEADER_DUNNO, // never in a verdict
	PEN_HEADER_REJECT,
	PEN_HEADER_HOLD,
	PEN_HEADER_DISCARD,
	PEN_HEADER_WARN,
	PEN_HEADER_INFO,
	PEN_HEADER_PREPEND,
	PEN_HEADER_IGNORE, // drop the header
	PEN_HEADER_STRIP,  // drop it and log
};

struct pen_header_decision {
	enum pen_header_action action;
	unsigned line;          // of the rule, in its file
	struct pen_span header; // the raw header with its line end, in the caller's block
	struct pen_span text;   // expanded, one line, possibly empty; the verdict's
};

struct pen_header_verdict {
	struct pen_header_decision *list; // in header order
	size_t n;
	bool hold;
	bool discard;
	// klass 4 or 5 when the message is to be refused: reply (550 or 451),
	// status and text are what the client is told. klass 0 otherwise.
	struct pen_dsn reject;

	size_t cap; // private
	struct pen_buf texts;
};

struct pen_header_checks;
struct pen_header_scratch;

// NULL on failure, with one sentence in err that names file and line.
struct pen_header_checks *pen_header_checks_load(
	const char *file, enum pen_rule_syntax syntax, char *err, size_t err_cap);
struct pen_header_checks *pen_header_checks_parse(const char *name, struct pen_span text,
	enum pen_rule_syntax syntax, char *err, size_t err_cap);
void pen_header_checks_free(struct pen_header_checks *c);

// NULL: out of memory. The checks must outlive it.
struct pen_header_scratch *pen_header_scratch_new(const struct pen_header_checks *c);
void pen_header_scratch_free(struct pen_header_scratch *s);

// pen_header_checks_apply inspects a header block: lines ended by CRLF or LF, up
// to an empty line or the end. 0, or -ENOMEM (the verdict is then not to be
// used). A verdict begins as {0} and ends with pen_header_verdict_fini.
int pen_header_checks_apply(const struct pen_header_checks *c, struct pen_header_scratch *s,
	struct pen_span headers, struct pen_header_verdict *v);
void pen_header_verdict_fini(struct pen_header_verdict *v);

// True when the verdict changes the header block (PREPEND, IGNORE, STRIP);
// pen_header_verdict_rewrite then appends the changed block, with CRLF behind
// what was prepended. `headers` is the block that was applied.
bool pen_header_verdict_changes(const struct pen_header_verdict *v);
void pen_header_verdict_rewrite(
	const struct pen_header_verdict *v, struct pen_span headers, struct pen_buf *out);

// "reject", "hold"... as Postfix logs it.
const char *pen_header_action_name(enum pen_header_action a);
