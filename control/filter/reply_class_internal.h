// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What reply_class.c and reply_rules.c share.

#include "pen_reply_class.h"

#define REPLY_CLASS_NAMES_MAX 1024

struct pen_reply_classes {
	struct pen_rule_table *table;
	uint16_t *id;                               // by index of the table
	char (*name)[PEN_REPLY_CLASS_NAME_MAX + 1]; // by id; 0 is "other"
	uint32_t nnames;
};

// Classes whose scan also looks for `extra` patterns. file NULL: the built-in set.
struct pen_reply_classes *reply_classes_load(const char *file, const struct pen_pattern *extra,
	size_t nextra, char *err, size_t err_cap);
