// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The texts of notifications that an operator wrote (bounce_template_file).
//
// Threads: read-only once made.
// Memory:  the maker's (control/config/pen_bounce_templates.h).

#include <stddef.h>

// One template. A NULL field has no value of its own: the built-in one is used.
struct pen_dsn_template {
	const char *charset;            // "us-ascii", "utf-8"
	const char *from;               // as written: "MAILER-DAEMON (Mail Delivery System)"
	const char *subject;            // of what the sender gets
	const char *postmaster_subject; // of what the postmaster gets
	const char *text;               // CRLF line ends, parameters filled in
};

struct pen_dsn_templates {
	struct pen_dsn_template failure, delay, success;
};
