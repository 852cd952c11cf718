// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// bounce_template_file: the texts of notifications, as bounce(5) of Postfix has them.
//
//   failure_template = <<EOF
//   Charset: us-ascii
//   From: MAILER-DAEMON (Mail Delivery System)
//   Subject: Undelivered Mail Returned to Sender
//   Postmaster-Subject: Postmaster Copy: Undelivered Mail
//
//   This is the mail system at host $myhostname.
//   EOF
//
// Templates: failure_template, delay_template, success_template; verify_template is
// read and has no use here. Fields may be missing. The text may have $name, ${name}
// and the other forms of main.cf, with the names of its parameters; of a parameter
// that is a time, name_seconds, _minutes, _hours, _days and _weeks are its value in
// that unit, rounded up. "#" begins a comment between templates.
//
// Threads: read-only once loaded. Memory: owned by the value until it is freed.

#include "pen_dsn_template.h"
#include "pen_params.h"

struct pen_bounce_templates;

// NULL after reported errors.
struct pen_bounce_templates *pen_bounce_templates_read(
	const char *file, const struct pen_params *params, struct pen_report *r);
struct pen_bounce_templates *pen_bounce_templates_parse(struct pen_span text, const char *file,
	const struct pen_params *params, struct pen_report *r);
void pen_bounce_templates_free(struct pen_bounce_templates *t); // NULL is fine
// What notifications are made with; lives as long as t. NULL for NULL.
const struct pen_dsn_templates *pen_bounce_templates_get(const struct pen_bounce_templates *t);
