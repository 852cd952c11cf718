// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The configuration of a case: a folder with the main.cf and the tables that its
// lines describe, loaded as the daemon loads it.

#include "pen_sts.h"
#include "pen_tls_decide.h"
#include "policy_case.h"

struct policy_world {
	char folder[64];
	struct pen_config *config;
	struct pen_tls_settings *settings;
	struct pen_sts_policy *sts; // from "sts" lines, or NULL
	int warnings;
};

// False after case_fail. policy_world_free is due in every case.
bool policy_world_make(struct policy_world *w, struct policy_case *c);
void policy_world_free(struct policy_world *w);
