// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a refusal means, found in one scan: the class of the failure for people
// and statistics, and the automation rules of egress.conf that it matches.
//
// All patterns, classes and rules, are one Hyperscan database, made once per
// configuration. A rule that stands in a provider's or site's section matches only
// replies from there.
//
// Threads: read-only once made; a scratch belongs to one thread.

#include "pen_reply_class.h"
#include "pen_shape_config.h"

struct pen_reply_rules;

#define PEN_REPLY_RULES_MAX 16 // that one reply can match; more are not reported

struct pen_reply_match {
	const char *klass; // PEN_REPLY_CLASS_OTHER when nothing matches; lives as long as the rules
	uint16_t klass_id; // 0 is "other"; below pen_reply_class_count
	uint32_t nrules;
	uint32_t rule[PEN_REPLY_RULES_MAX]; // indexes of pen_shape_config.rule, in order
};

// class_file NULL: the built-in set. `egress` names the file in messages. cfg NULL: no rules;
// nothing of it is needed afterwards. NULL on failure, with one sentence in err that names file,
// line and position.
struct pen_reply_rules *pen_reply_rules_new(const char *class_file, const char *egress,
	const struct pen_shape_config *cfg, char *err, size_t err_cap);
void pen_reply_rules_free(struct pen_reply_rules *r);
struct pen_pattern_scratch *pen_reply_rules_scratch(const struct pen_reply_rules *r);
uint32_t pen_reply_class_count(const struct pen_reply_rules *r);
const char *pen_reply_class_name(const struct pen_reply_rules *r, uint32_t id);
// 0 when there is no such class. Those of pen_failure_class are always there.
uint32_t pen_reply_class_find(const struct pen_reply_rules *r, const char *name);

// `reply` is a whole reply on one line ("550 5.1.1 no such user"); provider and site are the
// names of the sections, "" none. The site may also be the rolled-up name of its hosts
// (pen_site_rollup), which is then held against the mx patterns of the sections; a section that
// names domains cannot be told from hosts, so its rules are reported for any site, and it is for
// the caller to know better.
void pen_reply_rules_match(const struct pen_reply_rules *r, struct pen_pattern_scratch *s,
	struct pen_span reply, const char *provider, struct pen_span site,
	struct pen_reply_match *out);
