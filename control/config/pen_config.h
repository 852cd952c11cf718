// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The whole configuration: main.cf, egress.conf and the tables they name.
//
// A reload makes a second pen_config and swaps it in only when it is good.
//
// Threads: loaded by one thread; then read-only for all.
// Memory:  one owner; pen_config_free frees everything that it points to.

#include "pen_bounce_templates.h"
#include "pen_egress.h"
#include "pen_map.h"
#include "pen_params.h"

struct pen_config {
	char *directory;
	char *egress_file; // path of egress_config
	struct pen_params params;
	struct pen_egress egress;
	struct pen_maps transport_maps;
	struct pen_maps sender_tenant_maps;
	struct pen_maps smtpd_sasl_tenant_maps;
	struct pen_bounce_templates *bounce_templates; // NULL: the built-in texts
};

// pen_config_load reads DIR/main.cf and what it names. Every fault and warning
// goes to r; NULL when there was an error.
struct pen_config *pen_config_load(const char *directory, struct pen_report *r);
void pen_config_free(struct pen_config *c);

// pen_config_show appends "name = value" lines as postconf(1) prints them.
// flags: PEN_SHOW_CHANGED, PEN_SHOW_EXPANDED.
void pen_config_show(const struct pen_config *c, unsigned flags, struct pen_buf *out);
