// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// smtp_requiretls_policy: what mail with REQUIRETLS needs on its way to a
// domain. An ordered list of tables and of the words enforce,
// opportunistic+starttls, opportunistic, disable; the first that says a word
// decides, and none at all means enforce.
//
// Threads: a list is read-only once made.

#include "pen_map.h"
#include "pen_tls_policy.h"

struct pen_requiretls_list;

// NULL after reported errors. A word that is unknown is no error until reached.
struct pen_requiretls_list *pen_requiretls_list_new(
	const char *list, const struct pen_map_where *where, struct pen_report *r);
void pen_requiretls_list_free(struct pen_requiretls_list *l);

struct pen_requiretls_result {
	bool failed; // the configuration is broken: 4.7.10
	enum pen_requiretls level;
	char rule[256];    // which item decided
	char warning[256]; // "" or what the log should say
};

// `domain`: the next hop without brackets and port; U-labels or A-labels.
void pen_requiretls_find(const struct pen_requiretls_list *l, struct pen_span domain,
	struct pen_requiretls_result *out);

const char *pen_requiretls_name(enum pen_requiretls level);
