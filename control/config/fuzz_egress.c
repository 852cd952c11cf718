// SPDX-License-Identifier: BSD-3-Clause
#include "pen_egress.h"
#include "pen_err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What the readers of a configuration without faults rely on.
static void check_shape(const struct pen_shape_config *c)
{
	PEN_ASSERT(c->npools > 0 && strcmp(c->pool[0].name, "default") == 0);
	for (uint32_t i = 0; i < c->npools; i++) {
		PEN_ASSERT(c->pool[i].nmembers > 0);
		for (uint32_t m = 0; m < c->pool[i].nmembers; m++)
			PEN_ASSERT(c->pool[i].member[m].source < c->nsources &&
				   c->pool[i].member[m].weight > 0);
	}
	for (uint32_t i = 0; i < c->nsites; i++)
		PEN_ASSERT(c->site[i].match.nmx + c->site[i].match.ndomains > 0);
	for (uint32_t i = 0; i < c->nrules; i++) {
		const struct pen_shape_rule *r = &c->rule[i];
		PEN_ASSERT((r->pattern[0] == '/') != (r->signal != PEN_SIGNAL_NONE) &&
			   r->action < PEN_ACT_COUNT && r->duration > 0);
	}
	for (uint32_t i = 0; i < c->nwarmups; i++)
		PEN_ASSERT(c->warmup[i].source < c->nsources && c->warmup[i].ndays > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pen_egress e;
	struct pen_report report = {0};

	// The shipped rules are the same each time: without them it is faster.
	if (pen_egress_parse_with(
		    &e, pen_span(data, size), "egress.conf", pen_span(NULL, 0), &report) == 0) {
		PEN_ASSERT(report.errors == 0 && e.dataplane.nports > 0);
		for (uint32_t i = 0; i < e.dataplane.nsources; i++)
			PEN_ASSERT(e.dataplane.source[i].port < e.dataplane.nports);
		check_shape(e.shape);
	}
	pen_egress_fini(&e);
	return 0;
}
