// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What header_checks_load.c and header_checks.c share.

#include "pen_header_checks.h"

struct header_rule {
	enum pen_header_action action;
	struct pen_span text; // in the table, with macros
};

struct pen_header_checks {
	struct pen_rule_table *table;
	struct header_rule *rule; // by index of the table
};
